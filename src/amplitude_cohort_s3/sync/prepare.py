"""Preparing a sync: everything that happens before the decision.

Only temporary files are written, with one exception: if the caller is going to commit, the staging
of large files begins here. It is revoked if the plan is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from os import PathLike
from time import perf_counter
from typing import Literal, Unpack

from attrs import define, field, frozen

from ..diff.cohort_diff import CohortDiff
from ..diff.progress import Progress, ProgressEvent, Reporter, reporting
from ..diff.protocol import DiffEngine, Duplicates
from ..log.stream_events import EventKind, Observer, is_observed
from ..settings.cohort_sync import CohortSync
from ..settings.guard import Guard
from ..sources.protocol import MemberSource
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from .clock import utc_now
from .commit import SyncResult
from .early_staging import EarlyStaging, FollowedDiff
from .plan import SyncPlan
from .start import SyncStart, begin_sync, check_is_not_storage, diff_of_start, early_staging_of
from .work_files import DiffOptions


@frozen(kw_only=True)
class PreparedSync:
    """A sync that is ready to be committed, with the diff that it will write.

    Attributes:
        plan: The plan, with all names, counts and digests.
        diff: The difference to the previous members, open until the ``with`` block ends.
    """

    plan: SyncPlan
    diff: CohortDiff
    _start: SyncStart = field(repr=False, alias="start")
    _early: EarlyStaging | None = field(repr=False, alias="early")
    _reporter: Reporter | None = field(repr=False, alias="reporter")

    @property
    def already_done(self) -> bool:
        """True if an earlier run did the same sync, so that a commit changes nothing."""
        return self.plan.already_done

    def commit(self) -> SyncResult:
        """Carry out the sync: all three files become visible, or none.

        Raises:
            ConfigurationError: The sync was prepared as a dry run.
            ConcurrentSyncError, SyncVoidError, UnknownOutcomeError, UnusableDiffError,
                LogLimitError: As ``commit``.
        """
        diff = FollowedDiff(self.diff, self._early, self._reporter)
        return self._start.commit(self.plan, diff)


@contextmanager
def prepare_sync(
    sync: CohortSync,
    members: MemberSource | str | PathLike[str],
    storage: Storage | StorageLocation,
    *,
    synced_at: datetime | None = None,
    guard: Guard | Literal[False] | None = None,
    duplicates: Duplicates = "refuse",
    engine: DiffEngine | None = None,
    work_dir: str | PathLike[str] | None = None,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    progress: Progress | Literal[True] | None = None,
    dry_run: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> Generator[PreparedSync]:
    """Compute a sync without writing its files; commit it, or only look at its plan.

    The steps: read the head of the stream, after recovering an unfinished sync; choose the
    time; compute the difference to the previous members; recognise a repeated run; check
    the guard; decide names, counts and digests.

    Args: see ``sync_cohort``.

    Yields:
        The prepared sync. Its diff has temporary files, which are removed after the block. Commit
        within a day: in a local folder, another sync or ``recover`` of the stream removes older
        ones like those of a dead process, and ``commit`` then raises UnusableDiffError.

    Raises:
        GuardError, SyncTimeTakenError, SyncTimeError, UnloggedSyncsError,
            HeadFilesMissingError, MatchByChangedError, UnfinishedSyncError, EmptyKeyError,
            DuplicateKeyError, MalformedCsvError, MissingColumnsError, InvalidCellError,
            ArgumentTypeError: As ``sync_cohort``.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> with prepare_sync(sync, [("1", "ann"), ("2", "bob")], MemoryStorage()) as prepared:
    ...     prepared.plan.members_before, prepared.plan.members, prepared.already_done
    (0, 2, False)
    """
    check_is_not_storage(members)
    start = begin_sync(
        sync,
        storage,
        synced_at=synced_at,
        guard=guard,
        log=log,
        observer=observer,
        dry_run=dry_run,
        clock=clock,
    )
    with prepare_start(
        start,
        members,
        duplicates=duplicates,
        engine=engine,
        work_dir=work_dir,
        progress=progress,
        commits=False,
    ) as prepared:
        yield prepared


@contextmanager
def prepare_start(
    start: SyncStart,
    members: MemberSource | str | PathLike[str],
    *,
    commits: bool,
    progress: Progress | Literal[True] | None,
    **options: Unpack[DiffOptions],
) -> Generator[PreparedSync]:
    """Prepare a sync from its ``SyncStart``: see :func:`prepare_sync`.

    Args:
        start: The head that the sync continues, and the time of the sync.
        members: The members of the cohort now.
        commits: True if the sync is committed unless its plan is refused. Then large files may
            be staged while they are written.
        progress: A callback for the progress, which is called until the preparation ends.
        options: The arguments of ``sync_cohort`` that are about the diff.
    """
    early = early_staging_of(start) if commits else None
    watch = _Watch(start) if is_observed(start.location.observer) else None
    with (
        reporting(progress, watch) as reporter,
        diff_of_start(start, members, early, reporter, **options) as diff,
    ):
        if watch is not None:
            watch.diffed(diff)
        yield PreparedSync(
            plan=start.plan(diff), diff=diff, start=start, early=early, reporter=reporter
        )


@define
class _Watch:
    """Reports the ends of reading and of comparing, from the progress of a diff."""

    start: SyncStart
    _began: float = field(factory=perf_counter, init=False)
    _read: ProgressEvent | None = field(default=None, init=False)

    def __call__(self, event: ProgressEvent) -> None:
        if event.step == "read":
            self._read = event
        else:
            self._end_reading()

    def diffed(self, diff: CohortDiff) -> None:
        """Report the counts of the diff."""
        self._end_reading()  # An engine need not report the step "compare".
        report = diff.report
        self._report(
            "diffed",
            members=report.members_now,
            members_before=report.members_before,
            entered=diff.entering.rows,
            exited=diff.exiting.rows,
            skipped=report.skipped,
        )

    def _end_reading(self) -> None:
        if self._read is not None:
            self._report("read", **{self._read.unit: self._read.done})
            self._read = None

    def _report(self, kind: EventKind, **facts: int) -> None:
        now = perf_counter()
        self.start.location.report(kind, now - self._began, self.start.synced_at, **facts)
        self._began = now
