"""Syncs that run at a cadence: which are due, as the log says, and the loop that does them.

No daemon and no state of its own: cron, Airflow or any other scheduler calls it now and
then, and each call does what is due by then. A call that is repeated does nothing twice.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from os import PathLike
from typing import cast, overload

from attrs import field, frozen

from .._arguments import check_kind
from .._html import html_table
from .._time import to_utc
from ..diff.progress import Progress
from ..errors import ArgumentTypeError, CohortS3Error
from ..format.filename import DiffType
from ..log.location import StreamLocation
from ..log.records import SyncRecord
from ..settings.cohort_sync import CohortSync, check_is_sync
from ..sources.protocol import MemberSource, SupportsArrow, SupportsCsv, SupportsUnchanged
from ..storage.capabilities import check_storages
from ..storage.protocol import Storage
from .commit import SyncResult
from .commit_protocol import finish, predict
from .head import read_state
from .prepare import begin_at

JobMembers = MemberSource | str | PathLike[str] | Callable[[], MemberSource]
"""What ``sync_cohort`` takes; or a function that fetches it, called only if the sync is due."""


class JobOutcome(Enum):
    """What became of one sync in a run."""

    DUE = "due"
    """In a dry run: it would be synced."""
    NOT_DUE = "not due"
    """Its hour or day has been served; the source was not asked."""
    UNCHANGED = "unchanged"
    """It was due, but its source says that the members are still the same."""
    DONE = "done"
    ALREADY_DONE = "already done"
    """Another process did the same at the same time."""
    FAILED = "failed"
    """Nothing of it is visible; the next run tries again."""


@frozen(kw_only=True)
class JobResult:
    """One sync of a run.

    Attributes:
        sync: What is synced where.
        outcome: What became of it.
        result: The sync, where it is done.
        error: What went wrong, where it failed.
    """

    sync: CohortSync
    outcome: JobOutcome
    result: SyncResult | None = None
    error: Exception | None = field(default=None, repr=lambda error: type(error).__name__)

    @property
    def detail(self) -> str:
        """Counts, or the error's text. Only our own errors are quoted: others may name users."""
        if self.result is not None:
            record = self.result.record
            entered, exited = (record.files[t].rows for t in _CHANGES)
            return f"{record.members:,} members, {entered:,} entered, {exited:,} exited"
        if isinstance(self.error, CohortS3Error):
            return f"{type(self.error).__name__}: {self.error}"
        return "" if self.error is None else type(self.error).__name__


_JOBS_CURE = "give pairs of a CohortSync and its members: [(sync, members), …]"

_CHANGES = (DiffType.ENTERING, DiffType.EXITING)


@frozen
class RunReport(Sequence[JobResult]):
    """What a run did, sync by sync, in the order of its jobs. No user is named.

    Attributes:
        results: One for each job.
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
        """Those that failed."""
        return tuple(one for one in self.results if one.outcome is JobOutcome.FAILED)

    def raise_failures(self) -> None:
        """Raises what went wrong, so that a scheduler sees the run as failed.

        Raises:
            ExceptionGroup: Syncs failed; it holds the error of each.
        """
        errors = [one.error for one in self.failed if one.error is not None]
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(self)} syncs failed", errors)

    def __str__(self) -> str:
        """A summary, one sync a line."""
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
        syncs = "1 sync" if len(self) == 1 else f"{len(self)} syncs"
        return f"{syncs}: {listed or 'nothing to do'}"


def _label(sync: CohortSync) -> str:
    parts = (sync.destination.name, sync.cohort_id, sync.routing_key)
    return " ".join(part for part in parts if part is not None)


def run_due(
    jobs: Iterable[tuple[CohortSync, JobMembers]],
    storage: Storage,
    now: datetime | None = None,
    *,
    dry_run: bool = False,
    log: Storage | None = None,
    work_dir: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Syncs the cohorts that are due by now, one after the other.

    What is due, the log says: see ``Cadence.is_due``. A source that knows that its members
    are still those of the newest sync (``SupportsUnchanged``) is not read. A cohort that
    fails does not stop the others: its error is in the report. Nothing is kept between
    runs, so a scheduler may repeat a run as often as it likes.

    Args:
        jobs: What is synced, and where its members come from: what ``sync_cohort`` takes,
            or a function that fetches it, which is called only if the sync is due.
        storage: The bucket or folder of all of them.
        now: An aware datetime: the time of the run, and of its syncs. By default the
            present, which each sync takes anew.
        dry_run: Only say what is due; no sync is begun, and none that is unfinished is ended.
        log: Another storage for the logs, where ``storage`` holds data files only.
        work_dir: Where temporary files go.
        progress: Told of the rows read so far, in each sync anew.

    Raises:
        NaiveDatetimeError: ``now`` has no time zone.
        ArgumentTypeError: An argument, or one of the jobs, is of another type.

    >>> from amplitude_cohort_s3 import Cadence, Destination, MemoryStorage
    >>> sync = CohortSync(destination=Destination(name="warehouse"), project_id=1,
    ...                   cohort_id="26umsb5", cadence=Cadence.HOURLY)
    >>> jobs, storage = [(sync, [("42", "ann")])], MemoryStorage()
    >>> print(run_due(jobs, storage, datetime(2026, 11, 23, 14, 5, tzinfo=UTC)))
    1 sync: 1 done
    done         warehouse 26umsb5  1 members, 1 entered, 0 exited
    >>> print(run_due(jobs, storage, datetime(2026, 11, 23, 14, 59, tzinfo=UTC)))
    1 sync: 1 not due
    not due      warehouse 26umsb5
    """
    storages = check_storages(storage, log)
    check_kind("jobs", jobs, Iterable, _JOBS_CURE)
    if now is not None:
        now = to_utc(now, "now")

    def run(sync: CohortSync, members: JobMembers) -> JobResult:
        time = datetime.now(UTC) if now is None else now
        location = StreamLocation(*storages, sync.stream)
        head = read_state(location, partial(predict if dry_run else finish, location)).head
        outcome = due_outcome(sync, members, None if head is None else head.record, time)
        if dry_run or outcome is not JobOutcome.DUE:
            return JobResult(sync=sync, outcome=outcome)
        start = begin_at(sync, location, synced_at=None, max_exits=None, now=time, dry_run=False)
        with start.diff(_fetched(members), work_dir=work_dir, progress=progress) as diff:
            result = start.commit(start.plan(diff), diff)
        done = JobOutcome.ALREADY_DONE if result.already_done else JobOutcome.DONE
        return JobResult(sync=sync, outcome=done, result=result)

    results = list[JobResult]()
    for job in jobs:
        sync, members = _pair(job)
        try:
            results.append(run(sync, members))
        except Exception as error:  # noqa: BLE001 -- whatever a source raises, others go on
            results.append(JobResult(sync=sync, outcome=JobOutcome.FAILED, error=error))
    return RunReport(tuple(results))


def _pair(job: tuple[CohortSync, JobMembers]) -> tuple[CohortSync, JobMembers]:
    check_kind("each of jobs", job, Sequence, _JOBS_CURE)
    if len(job) != 2:  # noqa: PLR2004 -- a pair
        raise ArgumentTypeError("each of jobs", f"{type(job).__name__} of {len(job)}", _JOBS_CURE)
    check_is_sync(job[0])
    return job


def due_outcome(
    sync: CohortSync, members: JobMembers, newest: SyncRecord | None, now: datetime
) -> JobOutcome:
    """Whether a sync is due, not due, or due but unchanged. Only a source is asked.

    Args:
        sync: What is synced where.
        members: Where its members come from.
        newest: The record of its newest sync, or None before the first.
        now: An aware datetime.
    """
    if not sync.is_due(None if newest is None else newest.synced_at, now):
        return JobOutcome.NOT_DUE
    if (
        newest is not None
        and isinstance(members, SupportsUnchanged)
        # With other columns the same members make other files.
        and newest.schema == sync.schema
        and newest.existing is sync.destination.existing
        and members.is_unchanged(newest.source)
    ):
        return JobOutcome.UNCHANGED
    return JobOutcome.DUE


def _fetched(members: JobMembers) -> MemberSource | str | PathLike[str]:
    if callable(members) and not isinstance(members, SupportsCsv | SupportsArrow | Iterable):
        return members()
    return cast("MemberSource | str | PathLike[str]", members)  # type: ignore[redundant-cast]
