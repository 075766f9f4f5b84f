"""Committing a planned sync: the writer's side of the commit protocol."""

import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from attrs import frozen

from .._arguments import check_kind
from .._display import short_repr
from ..diff.protocol import StageableDiff
from ..errors import (
    CohortS3Error,
    ConcurrentSyncError,
    SyncVoidError,
)
from ..format.filename import DiffType
from ..format.notes import changed_text
from ..log.files import html_of_files
from ..log.location import StreamLocation
from ..log.records import SyncRecord
from ..log.stream_events import EventKind, Observer
from ..storage.open import StorageLocation
from ..storage.protocol import StagedObject, Storage
from ._json import sync_to_json
from .commit_protocol import carry_out, outcome_of
from .decision import create_or_discard
from .leftovers import discard_old_leftovers
from .plan import SyncPlan, check_bucket
from .recover import RecoveryReport, recovering


@frozen(kw_only=True, repr=False)
class SyncResult:
    """The result of a sync that is published.

    Attributes:
        record: The record of the sync.
        already_done: True if an earlier run, or another writer, had done the same sync.
        ignored_columns: The columns of the source that the sync does not have.
        recoveries: The work of other writers that this sync has finished first, one report for
            each. ``record.recovered`` counts those before the sync began.
    """

    record: SyncRecord
    already_done: bool = False
    ignored_columns: tuple[str, ...] = ()
    recoveries: tuple[RecoveryReport, ...] = ()

    __repr__ = short_repr

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object, as the command prints it."""
        facts = sync_to_json(
            self.record,
            self.record.files,
            already_done=self.already_done,
            ignored_columns=self.ignored_columns,
            notes=self.notes,
        )
        return facts | {"recoveries": [report.to_json() for report in self.recoveries]}

    def __str__(self) -> str:
        """Return the counts, one file per line."""
        lines = [f"{file.rows:>10,} {file.key}" for file in self.record.files.values()]
        return "\n".join([self._title, *lines, *self.notes])

    def _repr_html_(self) -> str:
        return html_of_files(self._title, self.record.files, self.notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was finished first, rows left out and values that are missing."""
        counts = self.record.count_notes(self.record.schema.key, self.ignored_columns)
        return (*(f"{report} now" for report in self.recoveries), *counts)

    @property
    def _title(self) -> str:
        done = "already done" if self.already_done else "done"
        changed = changed_text(self.record.changed)
        return f"sync of {self.record.synced_at.isoformat()}: {done}{changed}"


def commit(
    plan: SyncPlan,
    diff: StageableDiff,
    storage: Storage | StorageLocation,
    *,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
) -> SyncResult:
    """Carry out a planned sync: all three files become visible, or none.

    Args:
        plan: The plan, from ``plan_sync``.
        diff: The diff from which the plan was made, still open.
        storage: The storage of the data, or its location.
        log: The storage of the log, if it is not ``storage``.
        observer: A function that is called with a ``StreamEvent`` at the end of each step.

    Returns:
        The result. If another run did the same sync, it has ``already_done``.

    Raises:
        UnusableDiffError: The plan was made from another diff, the diff is closed, or its
            files were changed.
        LogLimitError: The log has no number left.
        ConcurrentSyncError: Another writer was faster; nothing of this sync is visible.
        SyncVoidError: A staged file disappeared, another object took a name, or the storage
            refuses a file from every caller.
        UnknownOutcomeError: The storage did not answer a write; run it again.
        ConfigurationError: The plan is that of a dry run, or its files can't be composed.
        MissingCapabilityError: The files can't be composed in this storage.
        ArgumentTypeError: An argument has the wrong type.

    >>> from datetime import UTC, datetime
    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, diff_members
    >>> from amplitude_cohort_s3.sync import plan_sync
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> when = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
    >>> with diff_members((), [("1", "ann")], schema=sync.schema) as diff:
    ...     plan = plan_sync(sync, diff, synced_at=when, previous=None)
    ...     result = commit(plan, diff, MemoryStorage())
    >>> result.record.members, result.already_done
    (1, False)
    """
    check_kind("plan", plan, SyncPlan, "pass the result of plan_sync(sync, diff, ...)")
    plan.check(diff)
    location = StreamLocation.of(storage, plan.sync.stream, log, observer)
    check_bucket(plan.sync, location.data)
    earlier = location.read_log().published_at(plan.synced_at) if plan.already_done else None
    if earlier is not None:
        return _result(plan, earlier, (), already_done=True)
    return commit_plan(plan, diff, location)


def commit_plan(plan: SyncPlan, diff: StageableDiff, location: StreamLocation) -> SyncResult:
    """Carry out a planned sync: see :func:`commit`. The arguments are not checked."""
    discard_old_leftovers(location)
    began = perf_counter()
    with ExitStack() as discarding:
        staged = dict[DiffType, StagedObject]()
        for diff_type, file in plan.files.items():
            staged[diff_type] = diff.stage(diff_type, location.data, file.key)
            discarding.callback(location.data.discard, staged[diff_type])
        record = plan.record(number=plan.number, staged=staged, writer=uuid.uuid4().hex)
        size = sum(file.size for file in plan.files.values())
        # An observer may be interrupted, so this is still before the decision.
        began = _report(location, plan, "staged", began, files=len(staged), bytes=size)
        # From here on the record may exist, and then the staged files must not be discarded.
        undecided = discarding.pop_all()
    recoveries = list[RecoveryReport]()
    while (other := create_or_discard(location, record, undecided.close)) is not None:
        outcome = outcome_of(location, other, recovering(location, recoveries))
        if not outcome.published and (outcome.head and outcome.head.ref) == plan.previous:
            # The other sync is void, so the next number continues the same head.
            record = plan.record(number=record.number + 1, staged=staged, writer=record.writer)
            continue
        # Another writer's record has our number: ours is not in the log, and never will be.
        undecided.close()
        if (
            isinstance(other, SyncRecord)
            and outcome.published
            and record.identity == other.identity
        ):
            return _result(plan, other, recoveries, already_done=True)
        raise ConcurrentSyncError(other.key, other.synced_at)
    began = _report(location, plan, "recorded", began, number=record.number)
    refusals = list[CohortS3Error]()
    if not carry_out(location, record, on_refusal=refusals.append).published:
        refusal = refusals[0] if refusals else None
        cause = "files lost or names taken" if refusal is None else type(refusal).__name__
        _report(location, plan, "voided", began, number=record.number, cause=cause)
        message = None if refusal is None else str(refusal)
        raise SyncVoidError(record.key, record.synced_at, message) from refusal
    _report(location, plan, "published", began, number=record.number, members=record.members)
    return _result(plan, record, recoveries)


def _result(
    plan: SyncPlan,
    record: SyncRecord,
    recoveries: Iterable[RecoveryReport],
    *,
    already_done: bool = False,
) -> SyncResult:
    return SyncResult(
        record=record,
        already_done=already_done,
        ignored_columns=plan.ignored_columns,
        recoveries=tuple(recoveries),
    )


def _report(
    location: StreamLocation, plan: SyncPlan, kind: EventKind, began: float, **facts: int | str
) -> float:
    """Report a step that ends now, and return the time at which the next one begins."""
    now = perf_counter()
    location.report(kind, now - began, plan.synced_at, **facts)
    return now
