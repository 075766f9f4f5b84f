"""The streams and syncs that a listing of a bucket shows."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen

from .._display import counted, html_table, short_repr, text_table
from ..errors import InvalidFileNameError
from ..format.filename import CohortFileName, DiffType
from ..storage.protocol import ObjectInfo
from .stream import CohortStream, stream_of

SAME_SYNC = "another object is the same file of the same sync"
"""The reason for skipping a file whose name is another spelling of a listed name."""


@frozen
class StreamFile:
    """A listed object that is a file of the stream."""

    info: ObjectInfo
    name: CohortFileName


@frozen
class SkippedObject:
    """A listed object that is not a file of the stream, and the reason."""

    key: str
    reason: str


def parse_listing(
    stream: CohortStream, listing: Iterable[ObjectInfo]
) -> Iterator[StreamFile | SkippedObject]:
    """Yield each listed object as a file of the stream or as a skipped object.

    Args:
        stream: The stream.
        listing: A listing of ``stream.data_prefix``.
    """
    for info in listing:
        try:
            path, name = CohortFileName.from_key(info.key)
        except InvalidFileNameError as error:
            yield SkippedObject(info.key, error.rule)
            continue
        if stream.owns(path, name):
            yield StreamFile(info, name)
        else:
            yield SkippedObject(info.key, "it belongs to another stream")


def hour_in_name(when: datetime) -> str:
    """Return the date and hour of a time, in the form in which file names contain them.

    The names of one stream sort by date and hour, whatever their style.

    >>> hour_in_name(datetime(2026, 11, 23, 14, 5))
    '2026-11-23T14'
    """
    return when.isoformat()[: len("YYYY-MM-DDTHH")]


def _diff_types(files: Mapping[DiffType, ObjectInfo]) -> str:
    return f"<{', '.join(map(str, files))}>"


def _html(title: str, files: Mapping[DiffType, ObjectInfo]) -> str:
    rows = [
        (str(t), files[t].size, files[t].key) if t in files else (str(t), "-", "-")
        for t in DiffType
    ]
    return html_table(title, ("file", "bytes", "key"), rows)


class SyncState(Enum):
    """The reason why a sync is not part of the history."""

    INCOMPLETE = "incomplete"
    """It has no record, and its files are not enough to know its members."""
    UNFINISHED = "unfinished"
    """It has a record and no outcome yet; ``recover`` creates one."""
    VOID = "void"
    """It was never published, but its file entering or exiting may be visible."""


@frozen(kw_only=True, repr=False)
class BucketSync:
    """One sync as a listing shows it.

    Attributes:
        synced_at: The time in the file names.
        files: The visible files. Those of an older sync may have been pruned or lost.
    """

    synced_at: datetime
    files: Mapping[DiffType, ObjectInfo] = field(repr=_diff_types)

    __repr__ = short_repr

    def _repr_html_(self) -> str:
        return _html(f"sync of {self.synced_at.isoformat()}", self.files)

    @property
    def missing(self) -> tuple[DiffType, ...]:
        """The types of the files that are not visible."""
        return tuple(t for t in DiffType if t not in self.files)


@frozen(kw_only=True, repr=False)
class UnpublishedSync:
    """A sync that is not part of the history.

    Attributes:
        synced_at: The time in the file names.
        state: The reason.
        files: The visible files.
    """

    synced_at: datetime
    state: SyncState
    files: Mapping[DiffType, ObjectInfo] = field(repr=_diff_types)

    __repr__ = short_repr

    def _repr_html_(self) -> str:
        title = f"sync of {self.synced_at.isoformat()}: {self.state.value}"
        return _html(title, self.files)


@frozen(kw_only=True, repr=False)
class StreamOverview:
    """One stream as the listing of a bucket shows it.

    Attributes:
        stream: The stream, for ``read_history``.
        first: The time of the first sync.
        last: The time of the newest sync.
        syncs: The number of syncs, counted by their times.
        files: The number of files.
        has_log: True if the listing contains the stream's log too.
    """

    stream: CohortStream
    first: datetime
    last: datetime
    syncs: int
    files: int
    has_log: bool

    __repr__ = short_repr


class StreamList(tuple[StreamOverview, ...]):
    """The streams of a bucket: a tuple that is printed as a table, with a line for each."""

    __slots__ = ()

    def __str__(self) -> str:
        return text_table(_LIST_COLUMNS, self._rows) if self else "no streams"

    def _repr_html_(self) -> str:
        return html_table(counted(len(self), "stream"), _LIST_COLUMNS, self._rows)

    @property
    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                one.stream.path or ".",
                "-" if one.stream.project_id is None else str(one.stream.project_id),
                one.stream.cohort_id,
                one.stream.routing_key or "-",
                one.syncs,
                f"{one.first:%Y-%m-%d %H:%M}",
                f"{one.last:%Y-%m-%d %H:%M}",
                "yes" if one.has_log else "no",
            )
            for one in self
        ]


_LIST_COLUMNS = ("path", "project", "cohort", "routing key", "syncs", "first", "last", "log")


def overview(listing: Iterable[ObjectInfo]) -> Iterator[StreamOverview]:
    """Yield the streams that a listing shows, sorted by path, project and cohort.

    Args:
        listing: A listing of a bucket or of a folder in it.
    """
    times = dict[CohortStream, list[datetime]]()
    logs = set[str]()
    for info in listing:
        try:
            path, name = CohortFileName.from_key(info.key)
        except InvalidFileNameError:
            logs.add(info.key.rpartition("/")[0] + "/")
            continue
        times.setdefault(stream_of(path, name), []).append(name.synced_at)
    for stream, seen in sorted(times.items(), key=lambda item: item[0].log_prefix):
        yield StreamOverview(
            stream=stream,
            first=min(seen),
            last=max(seen),
            syncs=len(set(seen)),
            files=len(seen),
            has_log=stream.log_prefix in logs,
        )
