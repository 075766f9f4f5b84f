"""What is synced where: Amplitude's own settings as frozen values."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Literal
from urllib.parse import quote

from attrs import evolve, field, frozen

from .._arguments import check_kind, kind_faults
from ..errors import (
    ConfigurationError,
    InvalidFileNameError,
    InvalidKeyError,
    MissingRoutingKeyError,
)
from ..format.filename import CohortFileName, DiffType, NameStyle, to_utc
from ..format.schema import RowSchema
from ..storage.keys import check_key

LOG_FOLDER = "_syncs"
"""The folder below a destination's path that holds the logs. Tools that read whole
folders (Spark, Athena, Hive) skip names that begin with ``_``."""

_LONGEST_ENCODED = 128
"""How much of a log's folder an encoded routing key may take: file systems have segments of
255 bytes at most, and a cohort's id stands in it too."""


class ExistingMeaning(Enum):
    """What the file ``existing`` holds.

    Amplitude's page says it twice, differently: "the users that existed in the cohort
    at the time of the last sync", and "the full list of users who qualify in that cohort
    at that time". Under all three readings the members at a sync are
    ``(entering | existing) - exiting``, and the keys of those before it are
    ``(existing - entering) | exiting``; the library reads by these two lines only.
    """

    MEMBERS = "members"
    """Everyone in the cohort at this sync. Entering is a part of it. The default."""
    STAYED = "stayed"
    """The members of this sync who did not just enter."""
    PREVIOUS = "previous"
    """Everyone at the previous sync. Exiting is a part of it."""


class Cadence(Enum):
    """How often a cohort is synced, by Amplitude's words. Scheduling is the caller's."""

    ONE_TIME = "one-time"
    HOURLY = "hourly"
    DAILY = "daily"

    def is_due(self, last_synced_at: datetime | None, now: datetime) -> bool:
        """Whether a sync should run now.

        An hour or day of UTC counts as served by any sync within it, so a run that
        came late does not make the next one late as well.

        Args:
            last_synced_at: The newest sync, or None before the first.
            now: An aware datetime.

        Raises:
            NaiveDatetimeError: A datetime has no time zone.

        >>> late = datetime(2026, 11, 23, 14, 50, tzinfo=UTC)
        >>> Cadence.HOURLY.is_due(late, datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
        True
        """
        now = to_utc(now, "now")
        if last_synced_at is None:
            return True
        last = to_utc(last_synced_at, "last_synced_at")
        match self:
            case Cadence.ONE_TIME:
                return False
            case Cadence.HOURLY:
                return now - _floor_to_hour(last) >= timedelta(hours=1)
            case Cadence.DAILY:
                return now.date() > last.date()


def _floor_to_hour(when: datetime) -> datetime:
    return when.replace(minute=0, second=0, microsecond=0)


@frozen(kw_only=True)
class ExitGuard:
    """When so many members leave at once that the source is probably broken.

    An empty source where there were members always trips it; otherwise leavers must
    exceed both the share and the number.

    Attributes:
        share: Of the members before, between 0 and 1.
        number: Leavers that are always accepted.

    >>> ExitGuard().limit(members_before=1000, members_now=400)
    500
    """

    share: float = 0.5
    number: int = 100

    def __attrs_post_init__(self) -> None:
        faults = [
            *kind_faults("share", self.share, int | float),
            *kind_faults("number", self.number, int),
        ]
        if faults:
            raise ConfigurationError("ExitGuard", tuple(faults))
        if not 0 <= self.share <= 1:
            faults.append(f"share must be between 0 and 1, not {self.share!r}")
        if self.number < 0:
            faults.append(f"number must not be negative, and is {self.number!r}")
        if faults:
            raise ConfigurationError("ExitGuard", tuple(faults))

    def limit(self, *, members_before: int, members_now: int) -> int:
        """How many members may leave."""
        if members_before and not members_now:
            return 0
        return max(int(members_before * self.share), self.number)


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


def _as_tuple(properties: Iterable[UserProperty]) -> tuple[UserProperty, ...]:
    faults = kind_faults("user_properties", properties, Iterable)
    if isinstance(properties, str):
        faults.append(f"user_properties must be several, [UserProperty({properties!r})] for one")
    if faults:
        raise ConfigurationError("CohortSync", tuple(faults))
    return tuple(properties)


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


@frozen(kw_only=True)
class CohortStream:
    """The identity of a series of syncs: each is the difference to the one before.

    Another path or another routing key is another stream.

    Attributes:
        project_id: The number of the Amplitude project; None where names lack it.
        cohort_id: The cohort.
        path: The folder prefix of the files.
        routing_key: The routing key, or None. Names with an empty one belong to None.

    Raises:
        ConfigurationError: The path ends in a slash; no file would ever be found there.
        InvalidFileNameError: Another part can't stand in a name.
        WrongArgumentError: A part is of another type.
    """

    project_id: int | None
    cohort_id: str
    path: str = ""
    routing_key: str | None = None

    def __attrs_post_init__(self) -> None:
        check_kind("path", self.path, str, 'give it as text, such as "cohorts/vip"')
        if self.path.endswith("/"):
            fault = f"path {self.path!r} must not end in a slash"
            raise ConfigurationError(f"CohortStream of {self.cohort_id!r}", (fault,))
        self.name(datetime.min.replace(tzinfo=UTC), DiffType.EXISTING, NameStyle())

    def name(self, synced_at: datetime, diff_type: DiffType, style: NameStyle) -> CohortFileName:
        """The name of one of the stream's files.

        Raises:
            InvalidFileNameError: The style can't spell the time.
        """
        return CohortFileName(
            project_id=self.project_id,
            cohort_id=self.cohort_id,
            synced_at=synced_at,
            diff_type=diff_type,
            routing_key=self.routing_key,
            style=style,
        )

    def owns(self, path: str, name: CohortFileName) -> bool:
        """Whether a file belongs to this stream."""
        return (path, name.project_id, name.cohort_id, name.routing_key) == (
            self.path,
            self.project_id,
            self.cohort_id,
            self.routing_key,
        )

    @property
    def data_prefix(self) -> str:
        """With what the keys of the stream's files begin; those of other routing keys too."""
        project = "" if self.project_id is None else f"{self.project_id}_"
        return _below(self.path, f"{project}{self.cohort_id}_")

    @property
    def log_prefix(self) -> str:
        """With what the keys of the stream's log begin, up to a slash.

        >>> CohortStream(project_id=1, cohort_id="a", path="p", routing_key="v_x").log_prefix
        'p/_syncs/1_a_v%5Fx/'
        """
        project = "none" if self.project_id is None else self.project_id
        folder = f"{project}_{self.cohort_id}"
        if self.routing_key is not None:
            folder += f"_{_encode_routing_key(self.routing_key)}"
        return _below(self.path, f"{LOG_FOLDER}/{folder}/")


def _below(path: str, rest: str) -> str:
    return f"{path}/{rest}" if path else rest


def _encode_routing_key(routing_key: str) -> str:
    """A routing key as a part of a folder's name, on any file system.

    One that would be too long for a segment is represented by its digest; ``~`` can't
    come out of the encoding, so the two forms never meet.
    """
    encoded = quote(routing_key, safe="").replace("_", "%5F").replace(".", "%2E")
    encoded = encoded.replace("~", "%7E")
    if len(encoded) <= _LONGEST_ENCODED:
        return encoded
    return "~" + hashlib.sha256(routing_key.encode()).hexdigest()


@frozen(kw_only=True)
class CohortSync:
    """One cohort synced to one destination: Amplitude's "sync".

    Attributes:
        destination: Where to.
        project_id: The number of the Amplitude project, 0 where there is none.
        cohort_id: The cohort; letters, digits and ``-``.
        user_properties: Columns of this sync, behind the destination's own. A property
            that is named twice stands once.
        routing_key: A text at the end of every file's name, or None.
        cadence: How often it is meant to run.
        exit_guard: When to refuse that members leave.

    Raises:
        MissingRoutingKeyError: The destination requires a routing key.
        ConfigurationError: Other values break rules; all of them are named.
    """

    destination: Destination
    project_id: int
    cohort_id: str
    user_properties: tuple[UserProperty, ...] = field(default=(), converter=_as_tuple)
    routing_key: str | None = None
    cadence: Cadence = Cadence.ONE_TIME
    exit_guard: ExitGuard = ExitGuard()

    def __attrs_post_init__(self) -> None:
        faults = [
            *kind_faults("destination", self.destination, Destination),
            *kind_faults("project_id", self.project_id, int),
            *kind_faults("cohort_id", self.cohort_id, str),
            *kind_faults("routing_key", self.routing_key, str | None),
            *kind_faults("cadence", self.cadence, Cadence, "give one, such as Cadence.DAILY"),
            *kind_faults(
                "exit_guard", self.exit_guard, ExitGuard, "give one, such as ExitGuard(share=0.5)"
            ),
        ]
        for one in self.user_properties:
            faults += kind_faults("each of user_properties", one, UserProperty, _PROPERTY_CURE)
        if faults:
            raise ConfigurationError(f"CohortSync of {self.cohort_id!r}", tuple(faults))
        if self.project_id < 0:
            faults.append(f"project_id must be 0 or more, and is {self.project_id}")
        # Each part by itself, since a name reports the first rule that it breaks.
        for part, cohort_id, routing_key in (
            ("cohort_id", self.cohort_id, None),
            ("routing_key", "a", self.routing_key),
        ):
            try:
                CohortStream(project_id=0, cohort_id=cohort_id, routing_key=routing_key)
            except InvalidFileNameError as error:
                faults.append(f"{part} {getattr(self, part)!r}: {error.rule}")
        try:
            _ = self.schema
        except ConfigurationError as error:
            faults.extend(error.faults)
        if not faults:
            try:
                check_key(self._longest_key)
            except InvalidKeyError as error:
                faults.append(f"path, cohort_id and routing_key form a key: {error.rule}")
        subject = f"CohortSync of {self.cohort_id!r}"
        if self.destination.require_suffix and self.routing_key is None:
            faults.append(
                f"the destination {self.destination.name!r} requires a routing key, none is given"
            )
            raise MissingRoutingKeyError(subject, tuple(faults))
        if faults:
            raise ConfigurationError(subject, tuple(faults))

    @property
    def stream(self) -> CohortStream:
        """The series of syncs that this one continues."""
        return CohortStream(
            project_id=self.project_id,
            cohort_id=self.cohort_id,
            path=self.destination.path,
            routing_key=self.routing_key,
        )

    @property
    def _longest_key(self) -> str:
        stream = self.stream
        name = stream.name(datetime.min.replace(tzinfo=UTC), DiffType.ENTERING, self.name_style)
        log_key = stream.log_prefix + "99999999-99999999.end.json"
        return max(name.key(stream.path), log_key, key=lambda key: len(key.encode()))

    @property
    def properties(self) -> tuple[UserProperty, ...]:
        """All properties in the order of their columns, each once."""
        match_by, bucket_level = self.destination.match_by, self.destination.user_property
        listed = (
            *((match_by,) if isinstance(match_by, UserProperty) else ()),
            *((bucket_level,) if bucket_level is not None else ()),
            *self.user_properties,
        )
        return tuple(dict.fromkeys(listed))

    @property
    def schema(self) -> RowSchema:
        """The columns of the sync's files."""
        match_by = self.destination.match_by
        return RowSchema(
            properties=tuple(p.column for p in self.properties),
            key=match_by.column if isinstance(match_by, UserProperty) else match_by,
            header_style=self.destination.header_style,
        )

    @property
    def name_style(self) -> NameStyle:
        """How the sync's files are named."""
        compressed = self.destination.compression is not None
        return evolve(self.destination.name_style, extension=".csv.gz" if compressed else ".csv")

    def is_due(self, last_synced_at: datetime | None, now: datetime) -> bool:
        """Whether a sync should run now: see :meth:`Cadence.is_due`."""
        return self.cadence.is_due(last_synced_at, now)


# --- What the functions that take these are given by mistake -----------------------------


def check_is_destination(value: object) -> None:
    """That an argument ``destination`` is one.

    Raises:
        WrongArgumentError: It is a sync, the name of a bucket, or anything else.
    """
    cure = "give a Destination; that of a sync is sync.destination"
    check_kind("destination", value, Destination, cure)


def check_is_sync(value: object) -> None:
    """That an argument ``sync`` is one.

    Raises:
        WrongArgumentError: It is a destination, a stream, or anything else.
    """
    cure = "give CohortSync(destination=…, project_id=…, cohort_id=…)"
    check_kind("sync", value, CohortSync, cure)


def check_is_stream(value: object) -> None:
    """That an argument ``stream`` is one.

    Raises:
        WrongArgumentError: It is a sync, or anything else.
    """
    cure = "give a CohortStream; that of a sync is sync.stream"
    check_kind("stream", value, CohortStream, cure)
