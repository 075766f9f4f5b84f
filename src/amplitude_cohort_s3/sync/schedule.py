"""Running all syncs that are due.

There is no daemon and no state besides the log: cron, Airflow or any other scheduler calls
``run_due`` regularly, and each call does the syncs that are due. Repeating a call is safe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from os import PathLike
from typing import Literal, cast, overload

from attrs import evolve, field, frozen

from .._arguments import check_kind
from .._display import counted, html_table
from .._time import to_utc
from ..diff.progress import Progress, reporting
from ..errors import ArgumentTypeError, CohortS3Error
from ..history.sync_files import CHANGES
from ..log.location import StreamLocation
from ..log.records import SyncRecord
from ..log.stream_events import Observer, check_is_observer
from ..settings.cohort_sync import CohortSync, check_is_sync
from ..sources.protocol import MemberSource, SupportsArrow, SupportsCsv, SupportsUnchanged
from ..storage.capabilities import as_storages
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from .commit import SyncResult
from .commit_protocol import predict
from .head import read_state
from .prepare import prepare_start
from .recover import RecoveryReport, recovering
from .start import SyncStart, begin_at

JobMembers = MemberSource | str | PathLike[str] | Callable[[], MemberSource] | Exception
"""The members, in any form that ``sync_cohort`` accepts; a function that returns them and is
called only if the sync is due; or the error because of which there are none."""


class JobOutcome(Enum):
    """The outcome of one sync in a run."""

    DUE = "due"
    """It is due, but this is a dry run."""
    NOT_DUE = "not due"
    """There is a sync in this hour or day already; the source was not read."""
    UNCHANGED = "unchanged"
    """It was due, but according to its source the members are still the same."""
    DONE = "done"
    ALREADY_DONE = "already done"
    """Another process did the same sync at the same time."""
    FAILED = "failed"
    """Nothing of it is visible; the next run tries again."""


@frozen(kw_only=True)
class JobResult:
    """One sync of a run.

    Attributes:
        sync: The cohort and its destination.
        outcome: The outcome.
        result: The result, if the sync was done. If the members are unchanged, or if the sync is
            not due because an unfinished one was recovered, the result of the newest sync.
        error: The error, if it failed.
    """

    sync: CohortSync
    outcome: JobOutcome
    result: SyncResult | None = None
    error: Exception | None = field(default=None, repr=lambda error: type(error).__name__)

    @property
    def detail(self) -> str:
        """The counts, or the error; of a foreign error only the class: its text may name users."""
        if self.result is not None:
            record = self.result.record
            counts = counted(record.members, "member")
            if self.outcome in (JobOutcome.DONE, JobOutcome.ALREADY_DONE):
                entered, exited = (record.files[t].rows for t in CHANGES)
                counts += f", {entered:,} entered, {exited:,} exited"
            return "; ".join([counts, *self.result.notes])
        if isinstance(self.error, CohortS3Error):
            return f"{type(self.error).__name__}: {self.error}"
        return "" if self.error is None else type(self.error).__name__


_JOBS_HINT = "pass pairs of a CohortSync and its members: [(sync, members), …]"


@frozen
class RunReport(Sequence[JobResult]):
    """The results of a run, in the order of its jobs. It names no user.

    Attributes:
        results: One result per job.
    """

    results: tuple[JobResult, ...]

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int, /) -> JobResult: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[JobResult]: ...
    def __getitem__(self, index: int | slice, /) -> JobResult | Sequence[JobResult]:
        return self.results[index]

    @property
    def failed(self) -> tuple[JobResult, ...]:
        """The results of the syncs that failed."""
        return tuple(one for one in self.results if one.outcome is JobOutcome.FAILED)

    def raise_failures(self) -> None:
        """Raise the errors of the run, so that a scheduler sees it as failed.

        Raises:
            ExceptionGroup: Syncs failed; the group contains the error of each.
        """
        errors = [one.error for one in self.failed if one.error is not None]
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(self)} syncs failed", errors)

    def __str__(self) -> str:
        """Return a summary, one sync per line."""
        return "\n".join(
            [
                self._summary,
                *(
                    f"{one.outcome.value:<12} {_label(one.sync)}  {one.detail}".rstrip()
                    for one in self.results
                ),
            ]
        )

    def _repr_html_(self) -> str:
        return html_table(
            self._summary,
            ("destination", "cohort", "routing key", "outcome", "detail"),
            [
                (
                    one.sync.destination.name,
                    one.sync.cohort_id,
                    one.sync.routing_key or "",
                    one.outcome.value,
                    one.detail,
                )
                for one in self.results
            ],
        )

    @property
    def _summary(self) -> str:
        counts = Counter(one.outcome.value for one in self.results)
        listed = ", ".join(f"{counts[o.value]} {o.value}" for o in JobOutcome if counts[o.value])
        return f"{counted(len(self), 'sync')}: {listed or 'nothing to do'}"


def _label(sync: CohortSync) -> str:
    parts = (sync.destination.name, sync.cohort_id, sync.routing_key)
    return " ".join(part for part in parts if part is not None)


def run_due(
    jobs: Iterable[tuple[CohortSync, JobMembers]],
    storage: Storage | StorageLocation,
    now: datetime | None = None,
    *,
    dry_run: bool = False,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    work_dir: str | PathLike[str] | None = None,
    progress: Progress | Literal[True] | None = None,
) -> RunReport:
    """Sync the cohorts that are due, one after the other.

    Whether a sync is due follows from the log and its cadence: see ``Cadence.is_due``. A
    source that knows that its members are still those of the newest sync
    (``SupportsUnchanged``) is not read. If a cohort fails, for example because its guard refuses
    the sync, the others go on; its error is in the report.

    Args:
        jobs: Pairs of a sync and its members. The members are what ``sync_cohort`` takes; a
            function that returns that, called only if the sync is due; or the error of the job.
        storage: The storage of the data, or its location.
        now: The time of the run and of its syncs (timezone-aware). Its time zone determines
            the days of ``Cadence.DAILY``. Default: now, in the machine's time zone,
            read again for each sync.
        dry_run: True to report only what is due, and write nothing.
        log: The storage of the log, if it is not ``storage``.
        observer: A function that is called with a ``StreamEvent`` at the end of each step.
        work_dir: The folder for temporary files. Default: a hidden folder of the storage if it
            can take over files, otherwise the system's.
        progress: A callback for the progress of each sync, as for ``sync_cohort``.

    Returns:
        The results, in the order of the jobs.

    Raises:
        NaiveDatetimeError: ``now`` has no time zone.
        ArgumentTypeError: An argument, or one of the jobs, has the wrong type.

    >>> from datetime import UTC
    >>> from amplitude_cohort_s3 import Cadence, Destination, MemoryStorage
    >>> sync = CohortSync(destination=Destination(name="warehouse"), project_id=1,
    ...                   cohort_id="26umsb5", cadence=Cadence.HOURLY)
    >>> jobs, storage = [(sync, [("42", "ann")])], MemoryStorage()
    >>> print(run_due(jobs, storage, datetime(2026, 11, 23, 14, 5, tzinfo=UTC)))
    1 sync: 1 done
    done         warehouse 26umsb5  1 member, 1 entered, 0 exited
    >>> print(run_due(jobs, storage, datetime(2026, 11, 23, 14, 59, tzinfo=UTC)))
    1 sync: 1 not due
    not due      warehouse 26umsb5
    """
    storages = as_storages(storage, log)
    check_is_observer(observer)
    check_kind("jobs", jobs, Iterable, _JOBS_HINT)
    if now is not None:
        to_utc(now, "now")

    results = list[JobResult]()
    with reporting(progress) as reporter:
        for job in jobs:
            sync, members = _pair(job)
            location = StreamLocation(*storages, sync.stream, observer)
            try:
                result = _run_job(
                    sync,
                    members,
                    location,
                    now=now,
                    dry_run=dry_run,
                    work_dir=work_dir,
                    progress=reporter,
                )
            except Exception as error:  # noqa: BLE001 -- a source may raise anything; the other jobs go on
                result = JobResult(sync=sync, outcome=JobOutcome.FAILED, error=error)
            results.append(result)
    return RunReport(tuple(results))


def _run_job(
    sync: CohortSync,
    members: JobMembers,
    location: StreamLocation,
    *,
    now: datetime | None,
    dry_run: bool,
    work_dir: str | PathLike[str] | None,
    progress: Progress | None,
) -> JobResult:
    """Run one sync if it is due: see :func:`run_due`."""

    def present() -> datetime:
        return datetime.now().astimezone() if now is None else now

    if isinstance(members, Exception):
        raise members
    # The log is enough to know that a sync is not due. The data is not listed for it:
    # thousands of streams may share one folder.
    log = location.read_log()
    ended = None if log.is_unfinished else log.head
    if ended is not None and not sync.is_due(ended.begun, present()):
        return JobResult(sync=sync, outcome=JobOutcome.NOT_DUE)
    recoveries = list[RecoveryReport]()
    end = partial(predict, location) if dry_run else recovering(location, recoveries)
    head = read_state(location, end).head
    outcome = due_outcome(sync, members, None if head is None else head.record, present())
    if outcome is not JobOutcome.DUE:
        found: SyncResult | None = None
        if head is not None and (recoveries or outcome is JobOutcome.UNCHANGED):
            done = tuple(recoveries)
            found = SyncResult(record=head.record, already_done=True, recoveries=done)
        return JobResult(sync=sync, outcome=outcome, result=found)
    if dry_run:
        return JobResult(sync=sync, outcome=outcome)
    # This may take long, so the time of the sync is read afterwards.
    source = _resolved_members(members)
    at = to_utc(present(), "now")
    start = begin_at(sync, location, synced_at=None, guard=None, now=at, dry_run=False)
    start = evolve(start, recoveries=(*recoveries, *start.recoveries))
    result = _sync_now(start, source, work_dir=work_dir, progress=progress)
    outcome = JobOutcome.ALREADY_DONE if result.already_done else JobOutcome.DONE
    return JobResult(sync=sync, outcome=outcome, result=result)


def _sync_now(
    start: SyncStart,
    members: MemberSource | str | PathLike[str],
    *,
    work_dir: str | PathLike[str] | None,
    progress: Progress | None,
) -> SyncResult:
    with prepare_start(
        start,
        members,
        duplicates="refuse",
        engine=None,
        work_dir=work_dir,
        progress=progress,
        commits=True,
    ) as prepared:
        return prepared.commit()


def _pair(job: tuple[CohortSync, JobMembers]) -> tuple[CohortSync, JobMembers]:
    check_kind("each of jobs", job, Sequence, _JOBS_HINT)
    if len(job) != 2:  # noqa: PLR2004 -- a pair
        raise ArgumentTypeError("each of jobs", f"{type(job).__name__} of {len(job)}", _JOBS_HINT)
    check_is_sync(job[0])
    return job


def due_outcome(
    sync: CohortSync, members: JobMembers, newest: SyncRecord | None, now: datetime
) -> JobOutcome:
    """Return whether a sync is due, not due, or due but unchanged.

    Args:
        sync: The cohort and its destination.
        members: The source of its members.
        newest: The record of its newest sync, or None before the first.
        now: The present time, in the time zone that determines the days.
    """
    if not sync.is_due(None if newest is None else newest.begun, now):
        return JobOutcome.NOT_DUE
    if (
        newest is not None
        and isinstance(members, SupportsUnchanged)
        # The same members with other columns are a different sync.
        and newest.schema == sync.schema
        and newest.schema.names == sync.schema.names
        and newest.existing is sync.destination.existing
        and members.is_unchanged(newest.source)
    ):
        return JobOutcome.UNCHANGED
    return JobOutcome.DUE


def _resolved_members(members: JobMembers) -> MemberSource | str | PathLike[str]:
    if callable(members) and not isinstance(members, SupportsCsv | SupportsArrow | Iterable):
        return members()
    return cast("MemberSource | str | PathLike[str]", members)
