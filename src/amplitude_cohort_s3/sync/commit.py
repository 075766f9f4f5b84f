"""Committing a planned sync."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

from attrs import frozen

from .._arguments import check_kind
from .._html import html_table
from ..diff.cohort_diff import CohortDiff
from ..distributed.composition import ComposedDiff, ComposedFile
from ..errors import (
    ConcurrentSyncError,
    ConfigurationError,
    MissingPowerError,
    PlanMismatchError,
    SyncVoidError,
)
from ..format.filename import DiffType
from ..log.records import SyncRecord
from ..settings.cohort_sync import CohortSync
from ..storage.capabilities import log_storage
from ..storage.protocol import StagedObject, Storage, SupportsCompose
from .plan import SyncPlan
from .protocol import create_record, outcome_of, settle, stage_csv


@frozen(kw_only=True)
class SyncResult:
    """A sync that is published.

    Attributes:
        record: What was recorded of it.
        already_done: Whether an earlier run, or another writer, had done the same.
        ignored_columns: Columns of the source that the sync does not have.
    """

    record: SyncRecord
    already_done: bool = False
    ignored_columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The counts, one file a line."""
        lines = [f"{file.rows:>10,} {file.key}" for file in self.record.files.values()]
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        return html_table(
            self._title,
            ("file", "rows", "bytes", "key"),
            [(str(t), file.rows, file.size, file.key) for t, file in self.record.files.items()],
        )

    @property
    def _title(self) -> str:
        done = "already done" if self.already_done else "done"
        return f"sync of {self.record.synced_at.isoformat()}: {done}"


def commit(
    plan: SyncPlan,
    diff: CohortDiff | ComposedDiff,
    storage: Storage,
    *,
    log: Storage | None = None,
) -> SyncResult:
    """Makes a planned sync happen: all three files become visible, or none.

    Args:
        plan: From ``plan_sync``.
        diff: The one that the plan was made from, still open; or one whose files are
            composed in the storage of the parts that an engine wrote there.
        storage: Where the data goes.
        log: Where the log is, if not in ``storage``.

    Raises:
        PlanMismatchError: The diff is another one, or its files were changed.
        DiffClosedError: The diff is closed.
        LogFullError: The log has had its last number.
        ConcurrentSyncError: Another writer was faster; nothing of this sync is visible.
        SyncVoidError: What was staged disappeared, or a stranger took a name.
        UnknownOutcomeError: The storage did not say what became of a write; run again.
        ConfigurationError, MissingPowerError: The sync can't be composed here.
        WrongArgumentError: An argument is of another type.
    """
    check_kind("plan", plan, SyncPlan, "make it with plan_sync(sync, diff, ...)")
    plan.check_diff(diff)
    log = log_storage(storage, log)
    check_bucket(plan.sync, storage)
    if isinstance(diff, ComposedDiff):
        composing(plan.sync, storage)
    with ExitStack() as discarding:
        staged = dict[DiffType, StagedObject]()
        for diff_type in DiffType:
            staged[diff_type] = _stage(plan, diff, diff_type, storage)
            discarding.callback(storage.discard, staged[diff_type])
        record = plan.record(number=plan.number, staged=staged, writer=uuid.uuid4().hex)
        undecided = discarding.pop_all()
    while (other := create_record(log, record)) is not None:
        ended = outcome_of(other, storage, log)
        if not ended.published and (ended.head and ended.head.ref) == plan.previous:
            # That one never happened, so the next number continues the same head.
            record = plan.record(number=record.number + 1, staged=staged, writer=record.writer)
            continue
        # Only now is it certain that our record is not, and will never be, in the log.
        undecided.close()
        if (
            isinstance(other, SyncRecord)
            and ended.published
            and record.statement == other.statement
        ):
            return SyncResult(record=other, already_done=True)
        raise ConcurrentSyncError(other.key, other.synced_at)
    if not settle(record, storage, log).published:
        raise SyncVoidError(record.key, record.synced_at)
    return SyncResult(record=record, ignored_columns=plan.ignored_columns)


def check_bucket(sync: CohortSync, storage: Storage) -> None:
    """That the storage is the destination's bucket, where both name one.

    Raises:
        ConfigurationError: They differ.
    """
    wanted, given = sync.destination.bucket, getattr(storage, "bucket", None)
    if wanted is not None and given is not None and wanted != given:
        fault = f"its bucket is {wanted!r}, and the storage's {given!r}"
        raise ConfigurationError(f"Destination {sync.destination.name!r}", (fault,))


def composing(sync: CohortSync, storage: Storage) -> SupportsCompose:
    """The storage, if files of the sync can be composed in it.

    Raises:
        MissingPowerError: It does not compose.
        ConfigurationError: The files are to be compressed, and parts are not.
    """
    if sync.destination.compression is not None:
        fault = "files that are composed of parts can't be compressed: leave compression out"
        raise ConfigurationError(f"Destination {sync.destination.name!r}", (fault,))
    if not isinstance(storage, SupportsCompose):
        raise MissingPowerError(type(storage).__name__, "compose", "a sync of parts")
    return storage


# --- The protocol's steps ------------------------------------------------------------


def _stage(
    plan: SyncPlan, diff: CohortDiff | ComposedDiff, diff_type: DiffType, storage: Storage
) -> StagedObject:
    key, file = plan.files[diff_type].key, diff.report.files[diff_type]
    if isinstance(file, ComposedFile):
        header = plan.sync.schema.header_line
        return composing(plan.sync, storage).compose(key, file.stored, header=header)
    if plan.sync.destination.compression is not None:
        return stage_csv(storage, key, _checked(file.chunks(), plan, diff_type))
    staged = stage_csv(storage, key, file.chunks())
    # The storage has computed the digest of these bytes anyway.
    if staged.sha256 != plan.files[diff_type].sha256:
        storage.discard(staged)
        raise _changed(diff_type)
    return staged


def _checked(chunks: Iterator[bytes], plan: SyncPlan, diff_type: DiffType) -> Iterator[bytes]:
    """The chunks; an error in the place of their end if they are not those that were planned."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != plan.files[diff_type].sha256:
        raise _changed(diff_type)


def _changed(diff_type: DiffType) -> PlanMismatchError:
    return PlanMismatchError(f"the file {diff_type.value} was changed since")
