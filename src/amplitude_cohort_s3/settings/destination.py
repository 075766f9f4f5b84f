"""What is synced where: Amplitude's own settings as frozen values."""

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from .._arguments import check_kind, kind_faults
from ..errors import ConfigurationError, InvalidKeyError
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import NameStyle
from ..storage.keys import check_key


@frozen
class UserProperty:
    """A user property that stands in each file as a column.

    Attributes:
        name: Its name in Amplitude, and where the members come from.
        source_app: In portfolio projects, the app that the value comes from: each app
            has a column of its own. Amplitude does not say how it names these.
        header: The column's name in the file; by default ``name``, or ``name_app``.

    >>> UserProperty("plan", source_app="ios").column
    'plan_ios'
    """

    name: str
    source_app: str | None = None
    header: str | None = None

    def __attrs_post_init__(self) -> None:
        faults = [
            *kind_faults("name", self.name, str),
            *kind_faults("source_app", self.source_app, str | None),
            *kind_faults("header", self.header, str | None),
        ]
        if not self.name or self.header == "" or self.source_app == "":
            faults.append("name, source_app and header must not be empty")
        if faults:
            raise ConfigurationError("UserProperty", tuple(faults))

    @property
    def column(self) -> str:
        """The column's name in the file."""
        if self.header is not None:
            return self.header
        return self.name if self.source_app is None else f"{self.name}_{self.source_app}"


_PROPERTY_CURE = 'give UserProperty("plan")'


def _path_faults(path: str) -> Iterator[str]:
    if "://" in path:
        # Not shown: it may be a URL with credentials in it.
        yield "path is a URL: give the two apart, as bucket='my-bucket' and path='cohorts'"
        return
    inner = path.strip("/")
    if inner != path:
        yield f"path {path!r}: give it without slashes at the ends, {inner!r}"
    if not inner:
        return
    try:
        check_key(inner)
    except InvalidKeyError as error:
        yield f"path {path!r}: {error.rule}"
    if inner.rpartition("/")[2].startswith(("_", ".")):
        yield f"path {path!r}: tools that read folders hide those that begin with _ or ."


@frozen(kw_only=True)
class Destination:
    """A place in a bucket that cohorts are synced to: Amplitude's "destination".

    Attributes:
        name: What you call it ("Enter a name for the destination").
        bucket: The bucket, where there is one; a bucket policy and ``open_storage`` need it.
        region: The bucket's region, as ``eu-central-1``.
        path: The folder prefix of every file, without a slash at either end.
        match_by: The column by which members are told apart: ``"amplitude_id"``,
            ``"user_id"`` or a property ("Select the Amplitude user property to match users").
        require_suffix: Whether each sync must have a routing key ("Require suffix").
        user_property: One property that stands in the files of every sync.
        existing: What the file ``existing`` holds.
        name_style: How names spell their time.
        header_style: ``"documented"`` writes ``amplitudeID`` and ``userID``, as Amplitude's
            page has them; ``"api"`` writes ``amplitude_id`` and ``user_id``, as its API does.
        compression: ``"gzip"`` writes ``.csv.gz``.

    Raises:
        ConfigurationError: Values break rules; all of them are named.

    >>> Destination(name="warehouse", bucket="my-bucket", path="cohorts").path
    'cohorts'
    """

    name: str
    bucket: str | None = None
    region: str | None = None
    path: str = ""
    match_by: Literal["amplitude_id", "user_id"] | UserProperty = "amplitude_id"
    require_suffix: bool = False
    user_property: UserProperty | None = None
    existing: ExistingMeaning = ExistingMeaning.MEMBERS
    name_style: NameStyle = NameStyle()
    header_style: Literal["documented", "api"] = "documented"
    compression: Literal["gzip"] | None = None

    def __attrs_post_init__(self) -> None:
        faults = [
            *kind_faults("name", self.name, str),
            *kind_faults("bucket", self.bucket, str | None),
            *kind_faults("region", self.region, str | None),
            *kind_faults("path", self.path, str),
            *kind_faults("user_property", self.user_property, UserProperty | None, _PROPERTY_CURE),
            *kind_faults("name_style", self.name_style, NameStyle, "give NameStyle(...)"),
        ]
        if faults:
            raise ConfigurationError(f"Destination {self.name!r}", tuple(faults))
        if not self.name:
            faults.append("name must not be empty")
        faults += _path_faults(self.path)
        if not isinstance(self.match_by, UserProperty) and self.match_by not in (
            "amplitude_id",
            "user_id",
        ):
            faults.append(
                "match_by must be 'amplitude_id', 'user_id' or a UserProperty, "
                f"not {self.match_by!r}"
            )
        if self.bucket is not None and "://" in self.bucket:
            faults.append(f"bucket {self.bucket!r}: give its name alone; a folder in it is path")
        if self.existing not in tuple(ExistingMeaning):
            faults.append(
                f"existing must be an ExistingMeaning, not {self.existing!r}: "
                "give one, such as ExistingMeaning.MEMBERS"
            )
        if self.name_style.second_group != "minutes":
            faults.append("name_style: a time without minutes is only read, never written")
        if self.name_style.empty_routing_key:
            faults.append("name_style: an empty routing key is only read, never written")
        if self.name_style.extension != ".csv":
            faults.append('name_style: the extension follows from compression="gzip"')
        if self.header_style not in ("documented", "api"):
            faults.append(f"header_style must be 'documented' or 'api', not {self.header_style!r}")
        if self.compression not in (None, "gzip"):
            faults.append(f"compression must be 'gzip' or None, not {self.compression!r}")
        if faults:
            raise ConfigurationError(f"Destination {self.name!r}", tuple(faults))


# --- What the functions that take these are given by mistake -----------------------------


def check_is_destination(value: object) -> None:
    """That an argument ``destination`` is one.

    Raises:
        WrongArgumentError: It is a sync, the name of a bucket, or anything else.
    """
    cure = "give a Destination; that of a sync is sync.destination"
    check_kind("destination", value, Destination, cure)
