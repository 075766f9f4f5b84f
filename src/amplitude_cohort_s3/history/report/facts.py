"""The facts of a report, read from the listings, the log and the churn. None names a user."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from ...format.filename import DiffType
from ...format.notes import count_notes
from ...log.amendments import Amendment
from ...log.listing import BucketSync, SyncState
from ...log.records import SyncRecord
from ...log.stream import CohortStream
from ..events import Churn
from ..findings import Finding
from ..replay import Replay
from ..runs import listed_bytes, recorded_syncs, stored_bytes

_TOKEN = 8
"""The number of characters of a writer's token that a report shows."""


@frozen(kw_only=True)
class Counts:
    """The numbers of a sync.

    Attributes:
        at: The time of the sync in UTC.
        members: The number of members after it.
        entered: The number of users who entered.
        exited: The number of users who exited.
    """

    at: datetime
    members: int
    entered: int
    exited: int

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The three numbers."""
        return self.members, self.entered, self.exited


@frozen(kw_only=True)
class Run:
    """One run: a sync, or a call of ``forget`` or ``prune``.

    Attributes:
        at: The time of the sync in UTC; for other runs the time of the request.
        requested_at: The exact time of the request of a sync, if the log has it.
        state: The kind of the run, or how the sync ended.
        counts: The numbers of the sync, if they are known.
        size: The number of bytes of the three files, as they are stored.
        skipped: The number of source rows without a key.
        source: The origin of the members.
        writer: The first characters of the writer's token.
        notes: More information, as sentences.
    """

    at: datetime
    requested_at: datetime | None = None
    state: str
    counts: Counts | None = None
    size: int | None = None
    skipped: int | None = None
    source: Mapping[str, str] = field(factory=dict[str, str])
    writer: str = ""
    notes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Facts:
    """Everything that a report shows.

    Attributes:
        stream: The stream.
        match_by: The column by which members are matched.
        syncs: The numbers of each sync that was published, oldest first.
        filled: For each property the share of the members with a value, at each recorded sync
            that has members.
        runs: The runs, newest first.
        findings: The findings of ``verify``; None if the files were not verified.
        generated: The time at which the report was made, or None to leave it out.
    """

    stream: CohortStream
    match_by: str
    syncs: Sequence[Counts]
    filled: Mapping[str, Sequence[tuple[datetime, float]]]
    runs: Sequence[Run]
    findings: tuple[Finding, ...] | None
    generated: datetime | None


def facts_of(
    history: Replay,
    churn: Callable[[], Iterable[Churn]],
    findings: tuple[Finding, ...] | None,
    generated: datetime | None,
) -> Facts:
    """Return the facts of a history.

    The numbers are those of the log, also of syncs whose files were pruned or damaged. Only if
    syncs are not in the log, they are counted in the files.

    Args:
        history: The history.
        churn: A function that counts the changes of each of its syncs.
        findings: Its findings, or None.
        generated: The time of the report, or None.

    Raises:
        NoSyncYetError: There is nothing to report: no sync, and no run in the log.
        RecordFormatError: The log can't be read.
    """
    history.check_log()
    visible = {sync.synced_at: sync for sync in history.syncs}
    filled = dict[str, list[tuple[datetime, float]]]()
    published, others = list[Run](), list[Run]()
    for record, outcome in recorded_syncs(history.log):
        when = record.synced_at
        if not history.window.contains(when):
            continue
        if outcome not in ("published", "adopted"):
            others.append(_run_of(record, outcome))
            continue
        listed = visible.pop(when, None)
        published.append(_run_of(record, outcome, listed, _missing(listed)))
        for name, count in record.filled.items() if record.members else ():
            filled.setdefault(name, []).append((when, count / record.members))
    if visible:
        published += (_unlogged(visible[n.synced_at], n) for n in churn() if n.synced_at in visible)
    runs = [*published, *others, *_other_runs(history)]
    if not runs:
        raise history.no_sync_yet()
    counts = (run.counts for run in published if run.counts is not None)
    return Facts(
        stream=history.stream,
        match_by=history.match_by,
        syncs=sorted(counts, key=lambda one: one.at),
        filled=filled,
        runs=sorted(runs, key=lambda run: run.at, reverse=True),
        findings=findings,
        generated=generated,
    )


def _other_runs(history: Replay) -> Iterator[Run]:
    """Yield the calls of forget and prune, and the syncs whose members are not known."""
    log, window = history.log, history.window
    pending = [] if log.pending is None else [log.pending]
    for amendment in (*log.amendments, *pending):
        if window.contains(amendment.requested_at):
            yield _run_of_amendment(amendment, is_pending=amendment in pending)
    for sync in history.unpublished:
        if sync.state is SyncState.INCOMPLETE:
            yield Run(at=sync.synced_at, state=sync.state.value, size=listed_bytes(sync))


def _unlogged(sync: BucketSync, churn: Churn) -> Run:
    return Run(
        at=sync.synced_at,
        state="not in the log",
        counts=Counts(
            at=sync.synced_at, members=churn.members, entered=churn.entered, exited=churn.exited
        ),
        size=listed_bytes(sync),
        notes=_missing(sync),
    )


def _run_of(
    record: SyncRecord,
    state: str,
    listed: BucketSync | None = None,
    missing: tuple[str, ...] = (),
) -> Run:
    empty = [f"no member has a value of {n}" for n, count in record.filled.items() if not count]
    notes = count_notes(
        key=record.schema.key,
        members=record.members,
        skipped=record.skipped,
        collapsed=record.collapsed,
        filled={},  # The report has its own table of them.
    )
    return Run(
        at=record.synced_at,
        requested_at=record.requested_at,
        state=state,
        counts=Counts(
            at=record.synced_at,
            members=record.members,
            entered=record.files[DiffType.ENTERING].rows,
            exited=record.files[DiffType.EXITING].rows,
        ),
        size=stored_bytes(record, listed),
        skipped=record.skipped,
        source=record.source,
        writer=record.writer[:_TOKEN],
        notes=(*notes, *(empty if record.members else ()), *missing),
    )


def _run_of_amendment(amendment: Amendment, *, is_pending: bool) -> Run:
    counts = {"rewritten": len(amendment.replaced), "deleted": len(amendment.removed)}
    return Run(
        at=amendment.requested_at,
        state=f"{amendment.purpose}, unfinished" if is_pending else amendment.purpose,
        writer=amendment.writer[:_TOKEN],
        notes=tuple(f"files {word}: {count:,}" for word, count in counts.items() if count),
    )


def _missing(sync: BucketSync | None) -> tuple[str, ...]:
    if sync is None:
        return ("its files are no longer in the bucket",)
    missing = ", ".join(str(t) for t in sync.missing)
    return (f"no longer in the bucket: {missing}",) if missing else ()
