"""What a listing of a bucket shows: streams, their files, and which of them are one sync."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen

from .._html import html_table
from ..errors import InvalidFileNameError
from ..format.filename import CohortFileName, DiffType
from ..storage.protocol import ObjectInfo
from .stream import CohortStream

SAME_SYNC = "another name says the same"
"""Why a file of the stream is skipped: two spellings of one name stand side by side."""


@frozen
class StreamFile:
    """An object in a listing that is a file of the stream."""

    info: ObjectInfo
    name: CohortFileName


@frozen
class SkippedObject:
    """An object in a listing that is none, and why."""

    key: str
    reason: str


def parse_listing(
    stream: CohortStream, listing: Iterable[ObjectInfo]
) -> Iterator[StreamFile | SkippedObject]:
    """Tells a stream's files from strangers; it never raises.

    Args:
        stream: Whose files.
        listing: Of ``stream.data_prefix``.
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


def _diff_types(files: Mapping[DiffType, ObjectInfo]) -> str:
    return f"<{', '.join(map(str, files))}>"


def _html(title: str, files: Mapping[DiffType, ObjectInfo]) -> str:
    rows = [
        (str(t), files[t].size, files[t].key) if t in files else (str(t), "-", "-")
        for t in DiffType
    ]
    return html_table(title, ("file", "bytes", "key"), rows)


class SyncState(Enum):
    """What is known of a sync that is not whole."""

    INCOMPLETE = "incomplete"
    """No log knows it, and it lacks files from which its members could be told."""
    IN_DOUBT = "in doubt"
    """It is recorded and has no outcome yet: ``recover`` gives it one."""
    VOID = "void"
    """It never happened; it may have left the files entering or exiting."""


@frozen(kw_only=True)
class BucketSync:
    """One sync as a listing shows it.

    Attributes:
        synced_at: The time in its names.
        files: Its visible files. Older syncs may lack ``existing``: pruned, or lost.
    """

    synced_at: datetime
    files: Mapping[DiffType, ObjectInfo] = field(repr=_diff_types)

    def _repr_html_(self) -> str:
        return _html(f"sync of {self.synced_at.isoformat()}", self.files)

    @property
    def missing(self) -> tuple[DiffType, ...]:
        """The files that it lacks."""
        return tuple(t for t in DiffType if t not in self.files)


@frozen(kw_only=True)
class UnpublishedSync:
    """A sync that is not part of the history, and why.

    Attributes:
        synced_at: The time in its names.
        state: What is known of it.
        files: Its visible files.
    """

    synced_at: datetime
    state: SyncState
    files: Mapping[DiffType, ObjectInfo] = field(repr=_diff_types)

    def _repr_html_(self) -> str:
        title = f"sync of {self.synced_at.isoformat()}: {self.state.value}"
        return _html(title, self.files)


@frozen(kw_only=True)
class StreamOverview:
    """One stream as the listing of a bucket shows it.

    Attributes:
        stream: Its identity: what ``read_history`` takes.
        first: The time of its first sync.
        last: The time of its newest sync.
        syncs: How many times there are files of.
        files: How many files.
        has_log: Whether there is a log beside the data.
    """

    stream: CohortStream
    first: datetime
    last: datetime
    syncs: int
    files: int
    has_log: bool


def overview(listing: Iterable[ObjectInfo]) -> Iterator[StreamOverview]:
    """The streams that a listing shows, by their paths, projects and cohorts.

    Args:
        listing: Of a whole bucket, or of a folder in it.
    """
    times = dict[CohortStream, list[datetime]]()
    logs = set[str]()
    for info in listing:
        try:
            path, name = CohortFileName.from_key(info.key)
        except InvalidFileNameError:
            logs.add(info.key.rpartition("/")[0] + "/")
            continue
        stream = CohortStream(
            project_id=name.project_id,
            cohort_id=name.cohort_id,
            path=path,
            routing_key=name.routing_key,
        )
        times.setdefault(stream, []).append(name.synced_at)
    for stream, seen in sorted(times.items(), key=lambda item: item[0].log_prefix):
        yield StreamOverview(
            stream=stream,
            first=min(seen),
            last=max(seen),
            syncs=len(set(seen)),
            files=len(seen),
            has_log=stream.log_prefix in logs,
        )
