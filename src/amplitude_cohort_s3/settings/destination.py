"""The destination of syncs, and the user properties that its files contain."""

import re
from collections.abc import Iterator
from typing import Any, Literal, cast

from attrs import field, frozen

from .._arguments import check_kind
from .._display import short_repr
from ..errors import ConfigurationError, InvalidKeyError
from ..format.columns import ID_COLUMNS, id_column
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import NameStyle
from ..storage.keys import check_key
from ._faults import type_faults
from .words import member_of, word_faults


@frozen(repr=False)
class UserProperty:
    """A user property, which is a column of each file.

    Attributes:
        name: The property's name in Amplitude and in the source of the members. Requests to
            Amplitude use this name; the column of other sources may have the name or the header.
        source_app: The app that the value comes from, for portfolio projects: each app has a
            column of its own. Amplitude does not document the names of these columns. If a
            source has only one column with the property's name, its values are used for each app.
        header: The column's name in the file. Default: ``name``, or ``name_app``.

    >>> UserProperty("plan", source_app="ios").column
    'plan_ios'
    """

    name: str
    source_app: str | None = None
    header: str | None = None

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        faults = type_faults(self, name=str, source_app=str | None, header=str | None)
        if "" in (self.name, self.source_app, self.header):
            faults.append("name, source_app and header must not be empty")
        if faults:
            raise ConfigurationError("UserProperty", tuple(faults))

    @property
    def column(self) -> str:
        """The column's name in the file."""
        if self.header is not None:
            return self.header
        return self.name if self.source_app is None else f"{self.name}_{self.source_app}"


def as_property(value: UserProperty | str) -> UserProperty:
    """Return the property itself, or a property with this name."""
    return UserProperty(value) if isinstance(value, str) else value


def _as_optional_property(value: UserProperty | str | None) -> UserProperty | None:
    return None if value is None else as_property(value)


def _as_match_by(match_by: str | UserProperty) -> "MatchBy":
    if not isinstance(match_by, str):
        return match_by
    column = id_column(match_by)
    return UserProperty(match_by) if column is None else cast("MatchBy", column)


def _as_existing(
    value: ExistingMeaning | Literal["members", "stayed", "previous"],
) -> ExistingMeaning:
    return member_of(ExistingMeaning, value)


def _without_outer_slashes(path: Any) -> Any:
    return path.strip("/") if isinstance(path, str) and "://" not in path else path


MatchBy = Literal["amplitude_id", "user_id"] | UserProperty
"""The column that identifies a member."""


@frozen(repr=False)
class Destination:
    """A place in a bucket to which cohorts are synced: Amplitude's "destination".

    Attributes:
        name: A name of your choice ("Enter a name for the destination"); the only positional
            argument.
        bucket: The bucket's name, if there is one. Bucket policies and ``open_storage`` need it.
        region: The bucket's region, such as ``eu-central-1``.
        path: The folder prefix of every file. Slashes at its ends are removed.
        match_by: The column that identifies a member: ``"amplitude_id"``, ``"user_id"``, a
            property, or a property's name ("Select the Amplitude user property to match users").
        require_suffix: True if each sync must have a routing key ("Require suffix").
        user_property: A property, or its name, that the files of every sync contain.
        existing: The contents of the file ``existing``: a meaning, or its word, such as
            ``"members"``.
        name_style: The style of the file names.
        header_style: ``"documented"`` writes ``amplitudeID`` and ``userID``, as Amplitude's
            documentation does; ``"api"`` writes ``amplitude_id`` and ``user_id``, as its API does.
        compression: ``"gzip"`` writes ``.csv.gz``; None writes ``.csv``.

    Raises:
        ConfigurationError: Values break rules; the error lists all of them.

    >>> Destination("warehouse", bucket="my-bucket", path="/cohorts/").path
    'cohorts'
    """

    name: str
    bucket: str | None = field(default=None, kw_only=True)
    region: str | None = field(default=None, kw_only=True)
    path: str = field(default="", kw_only=True, converter=_without_outer_slashes)
    match_by: MatchBy = field(default="amplitude_id", kw_only=True, converter=_as_match_by)
    require_suffix: bool = field(default=False, kw_only=True)
    user_property: UserProperty | None = field(
        default=None, kw_only=True, converter=_as_optional_property
    )
    existing: ExistingMeaning = field(
        default=ExistingMeaning.MEMBERS, kw_only=True, converter=_as_existing
    )
    name_style: NameStyle = field(default=NameStyle(), kw_only=True)
    header_style: Literal["documented", "api"] = field(default="documented", kw_only=True)
    compression: Literal["gzip"] | None = field(default=None, kw_only=True)

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        faults = type_faults(
            self,
            name=str,
            bucket=str | None,
            region=str | None,
            path=str,
            user_property=UserProperty | None,
            name_style=NameStyle,
            require_suffix=bool,
        ) or [*self._value_faults()]
        if faults:
            raise ConfigurationError(f"Destination {self.name!r}", tuple(faults))

    def _value_faults(self) -> Iterator[str]:
        if not self.name:
            yield "name must not be empty"
        yield from _path_faults(self.path)
        if not isinstance(self.match_by, UserProperty) and self.match_by not in ID_COLUMNS:
            yield (
                "match_by must be 'amplitude_id', 'user_id' or a property, "
                f"not of type {type(self.match_by).__name__}"
            )
        yield from _bucket_faults(self.bucket)
        if self.region is not None and not re.fullmatch("[A-Za-z0-9-]+", self.region):
            yield f"region {self.region!r}: regions have names such as eu-west-1"
        yield from word_faults("existing", self.existing, ExistingMeaning)
        if self.name_style.separator == "_":
            yield "name_style: times with _ can be read, but not written; use ':' or '-'"
        if self.name_style.second_group != "minutes":
            yield "name_style: times without minutes can be read, but not written"
        if self.name_style.empty_routing_key:
            yield "name_style: an empty routing key can be read, but not written"
        if self.name_style.extension != ".csv":
            yield 'name_style: set the extension by compression="gzip"'
        if self.header_style not in ("documented", "api"):
            yield f"header_style must be 'documented' or 'api', not {self.header_style!r}"
        if self.compression not in (None, "gzip"):
            yield f"compression must be 'gzip' or None, not {self.compression!r}"


def _bucket_faults(bucket: str | None) -> Iterator[str]:
    if bucket is None:
        return
    name, slash, _ = bucket.partition("/")
    if "://" in bucket:
        # Not shown: it may be a signed URL.
        yield "bucket must be only a name, not a URL: set path to the folder in it"
    elif bucket.startswith("arn:aws:s3:::"):
        name = bucket.removeprefix("arn:aws:s3:::").partition("/")[0]
        yield f"bucket {bucket!r} is an ARN: set bucket={name!r}"
    elif slash and not bucket.startswith("arn:"):
        yield f"bucket {bucket!r} has a path: set bucket={name!r}, and path to the rest"
    elif not re.fullmatch("[A-Za-z0-9._:/-]+", bucket):
        yield f"bucket {bucket!r} is not the name of a bucket, such as my-bucket"


def _path_faults(path: str) -> Iterator[str]:
    if "://" in path:
        # The URL is not shown, because it may contain credentials.
        yield "path is a URL: set bucket='my-bucket' and path='cohorts' instead"
        return
    if not path:
        return
    try:
        check_key(path)
    except InvalidKeyError as error:
        yield f"path {path!r}: {error.rule}"
    if "\\" in path:
        yield f"path {path!r}: separate folders with /, not with a backslash"
    if path.rpartition("/")[2].startswith(("_", ".")):
        yield f"path {path!r}: many tools hide folders whose names begin with _ or ."


def check_is_destination(value: object) -> None:
    """Raise ArgumentTypeError unless the argument ``destination`` is a ``Destination``."""
    hint = "pass a Destination, such as sync.destination"
    check_kind("destination", value, Destination, hint)
