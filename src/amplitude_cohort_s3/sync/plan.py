"""Planning a sync: the decision in every detail, before anything is carried out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from attrs import asdict, fields, frozen

from .._arguments import check_kind
from .._time import to_utc
from ..diff.protocol import StageableDiff
from ..errors import (
    ConfigurationError,
    LogLimitError,
    MatchByChangedError,
    SyncTimeError,
    SyncTimeTakenError,
    UnusableDiffError,
)
from ..format.filename import DiffType, NameStyle
from ..log.files import PlannedFile, RecordedFile, html_of_files
from ..log.keys import MAX_NUMBER
from ..log.records import SyncFacts, SyncRecord
from ..log.sync_identity import SyncIdentity
from ..settings.cohort_sync import CohortSync, check_is_sync
from ..settings.guard import Guard
from ..storage.protocol import StagedObject, Storage
from ._json import sync_to_json
from .head import Head


@frozen(kw_only=True, repr=False)
class SyncPlan(SyncFacts):
    """A sync that is decided in every detail but not carried out.

    A preview is a plan without a commit. The attributes that a plan shares with the record
    of its sync are described in ``SyncFacts``.

    Attributes:
        sync: The cohort and its destination.
        files: The keys, counts and digests of the three files.
        ignored_columns: The columns of the source that the sync does not have.
        already_done: True if an earlier run did the same sync, so that nothing will change.
        dry_run: True if it may build on the predicted outcome of an unfinished sync. Such a
            plan can't be committed.
    """

    sync: CohortSync
    files: Mapping[DiffType, PlannedFile]
    ignored_columns: tuple[str, ...] = ()
    already_done: bool = False
    dry_run: bool = False

    def __str__(self) -> str:
        """Return a preview, one file per line."""
        lines = [
            f"{file.rows:>10,} {diff_type.value:<9} {file.key}"
            for diff_type, file in self.files.items()
        ]
        return "\n".join([self._title, *lines, *self.notes])

    def _repr_html_(self) -> str:
        return html_of_files(self._title, self.files, self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object, as the command prints it with ``--dry-run``."""
        return sync_to_json(
            self,
            self.files,
            already_done=self.already_done,
            ignored_columns=self.ignored_columns,
            notes=self.notes,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about rows that were left out and values that are missing."""
        return self.count_notes(self.sync.schema.key, self.ignored_columns)

    @property
    def _title(self) -> str:
        return self.summary + ", already done" * self.already_done

    @classmethod
    def of_record(
        cls, sync: CohortSync, record: SyncRecord, *, ignored: tuple[str, ...], dry_run: bool
    ) -> Self:
        """Return the plan of a sync that an earlier run has done."""
        return cls(
            **_facts(record),
            sync=sync,
            files={t: PlannedFile.of(record.files[t].key, record.files[t]) for t in DiffType},
            ignored_columns=ignored,
            already_done=True,
            dry_run=dry_run,
        )

    def record(
        self, *, number: int, staged: Mapping[DiffType, StagedObject], writer: str
    ) -> SyncRecord:
        """Return the record of this plan, once its files are staged.

        Raises:
            LogLimitError: The log has no number left.
        """
        if number > MAX_NUMBER:
            raise LogLimitError(
                f"the last number under {self.sync.stream.log_prefix!r} is used",
                "Begin another stream: set another path in the Destination, or another routing key",
            )
        facts: dict[str, Any] = _facts(self) | {"number": number}
        return SyncRecord(
            **facts,
            stream=self.sync.stream,
            bucket=self.sync.destination.bucket,
            existing=self.sync.destination.existing,
            schema=self.sync.schema,
            files={
                diff_type: RecordedFile(**asdict(file, recurse=False), staged=staged[diff_type])
                for diff_type, file in self.files.items()
            },
            writer=writer,
        )

    def check(self, diff: StageableDiff) -> None:
        """Raise unless this plan can be committed and was made from the diff.

        Raises:
            ConfigurationError: It is the plan of a dry run.
            UnusableDiffError: A file of the diff has other bytes than in the plan.
            ArgumentTypeError: ``diff`` is not a diff.
        """
        _check_is_diff(diff)
        if self.dry_run:
            fault = "a dry run can't be committed: prepare the sync without dry_run"
            raise ConfigurationError("the plan", (fault,))
        for diff_type, file in self.files.items():
            if not self.already_done and diff.report.files[diff_type].sha256 != file.sha256:
                raise plan_mismatch(f"the file {diff_type.value} has other bytes")


def _facts(sync: SyncFacts) -> dict[str, Any]:
    return {field.name: getattr(sync, field.name) for field in fields(SyncFacts)}


def plan_mismatch(difference: str) -> UnusableDiffError:
    """Return the error of a diff that is not the diff of a plan."""
    return UnusableDiffError(
        f"it is not the diff of the plan ({difference})", "Make a new plan from this diff"
    )


def plan_sync(
    sync: CohortSync,
    diff: StageableDiff,
    *,
    synced_at: datetime,
    previous: Head | None,
    requested_at: datetime | None = None,
    guard: Guard | Literal[False] | None = None,
) -> SyncPlan:
    """Decide a sync in every detail: names, counts, digests. Nothing is read or written.

    ``prepare_sync`` calls this function for you. Call it yourself only if you compute the diff
    yourself.

    Args:
        sync: The cohort and its destination.
        diff: The difference to the members of ``previous``, with the sync's schema.
        synced_at: When the cohort was computed (timezone-aware). Rounded down to the
            precision of the file names.
        previous: The head of the stream, or None for the first sync.
        requested_at: The exact time of the request (timezone-aware). Default: ``synced_at``.
        guard: The limits on what this sync may change; False for no limits. Default:
            ``sync.guard``.

    Returns:
        The plan, for ``commit``.

    Raises:
        NaiveDatetimeError: A time has no time zone.
        GuardError: The sync exceeds a limit of the guard.
        SyncTimeTakenError: The stream already has files with this time.
        SyncTimeError: The head is newer.
        MatchByChangedError: The stream matches members by another column.
        UnusableDiffError: The diff has another schema or another meaning of ``existing``.
        ArgumentTypeError: An argument has the wrong type.

    >>> from datetime import UTC
    >>> from amplitude_cohort_s3 import CohortSync, Destination, diff_members
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> when = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
    >>> with diff_members((), [("1", "ann")], schema=sync.schema) as diff:
    ...     print(plan_sync(sync, diff, synced_at=when, previous=None))
    sync of 2026-11-23T14:05:00+00:00: 0 -> 1 members
             1 entering  1_a_2026-11-23T14:05_entering.csv
             0 exiting   1_a_2026-11-23T14:05_exiting.csv
             1 existing  1_a_2026-11-23T14:05_existing.csv
    """
    check_is_sync(sync)
    _check_is_diff(diff)
    check_kind("previous", previous, Head | None, "pass read_head(storage, sync.stream)")
    check_is_guard(guard)
    synced_at = to_utc(synced_at, "synced_at")
    requested_at = synced_at if requested_at is None else to_utc(requested_at, "requested_at")
    synced_at = sync.name_style.floor(synced_at)
    if diff.schema != sync.schema:
        rule = "its schema is not that of the sync"
        raise UnusableDiffError(rule, "Pass schema=sync.schema to diff_members")
    if diff.existing_meaning is not (existing := sync.destination.existing):
        rule = "its meaning of existing is not that of the destination"
        raise UnusableDiffError(rule, f"Pass existing={existing} to diff_members")
    check_match_by(sync, previous)
    if previous is not None:
        if synced_at < previous.record.synced_at:
            raise SyncTimeError("order", synced_at, previous.record.synced_at)
        if synced_at in previous.occupied_times:
            free = next_free_time(sync.name_style, synced_at, previous, previous.occupied_times)
            raise SyncTimeTakenError(synced_at, free)
    return make_plan(
        sync,
        diff,
        synced_at=synced_at,
        requested_at=requested_at,
        head=previous,
        number=1 if previous is None else previous.log.last_ended + 1,
        guard=sync.guard if guard is None else guard,
    )


def make_plan(
    sync: CohortSync,
    diff: StageableDiff,
    *,
    synced_at: datetime,
    requested_at: datetime,
    head: Head | None,
    number: int,
    guard: Guard | Literal[False],
    dry_run: bool = False,
    recovered: int = 0,
) -> SyncPlan:
    """Return the plan of record ``number``; its time and its diff have been checked.

    Raises:
        GuardError: The sync exceeds a limit of the guard.
    """
    report = diff.report
    if guard:
        guard.check(
            members_before=report.members_before,
            members=report.members_now,
            exits=report.files[DiffType.EXITING].rows,
            skipped=report.skipped,
        )
    keys = keys_of(sync, synced_at)
    return SyncPlan(
        sync=sync,
        synced_at=synced_at,
        requested_at=requested_at,
        previous=None if head is None else head.record.ref,
        number=number,
        files={t: PlannedFile.of(keys[t], report.files[t]) for t in DiffType},
        members=report.members_now,
        members_before=report.members_before,
        changed=report.changed,
        members_sha256=report.members_sha256,
        skipped=report.skipped,
        collapsed=report.collapsed,
        filled=report.filled,
        ignored_columns=report.ignored_columns,
        source=diff.origin,
        amendment=None if head is None else head.record.amendment,
        recovered=recovered,
        dry_run=dry_run,
    )


def check_is_guard(value: object) -> None:
    """Raise ArgumentTypeError unless the argument ``guard`` is a guard, False or None."""
    if value is not False:
        hint = "pass Guard(max_exits=0.5), or False for no limits"
        check_kind("guard", value, Guard | None, hint)


def keys_of(sync: CohortSync, synced_at: datetime) -> dict[DiffType, str]:
    """Return the keys of the three files of a sync."""
    path, style = sync.destination.path, sync.name_style
    return {t: sync.stream.name(synced_at, t, style).key(path) for t in DiffType}


def identity_of(sync: CohortSync, members_sha256: str, synced_at: datetime) -> SyncIdentity:
    """Return the identity of a sync of these members at this time."""
    return SyncIdentity(
        synced_at=synced_at,
        members_sha256=members_sha256,
        schema=sync.schema,
        existing=sync.destination.existing,
        keys=frozenset(keys_of(sync, synced_at).values()),
    )


def next_free_time(
    style: NameStyle, not_before: datetime, head: Head | None, occupied: frozenset[datetime]
) -> datetime:
    """Return the first time, in the precision of the file names, that the next sync can have.

    Args:
        style: The style of the file names.
        not_before: An aware datetime; the result may be its floor.
        head: The head of the stream, or None before the first sync.
        occupied: The occupied times.
    """
    time = style.floor(not_before)
    if head is not None:
        time = max(time, head.record.synced_at)
    while time in occupied:
        # The head may have been named in a finer precision.
        time = style.floor(time) + style.step
    return time


def check_match_by(sync: CohortSync, previous: Head | None) -> None:
    """Raise unless the stream's members are matched by the same column as before.

    Raises:
        MatchByChangedError: They were matched by another column.
    """
    if previous is not None and previous.record.schema.key != sync.schema.key:
        raise MatchByChangedError(previous.record.schema.key, sync.schema.key)


def check_bucket(sync: CohortSync, storage: Storage) -> None:
    """Raise if both the destination and the storage name a bucket, and these differ.

    Raises:
        ConfigurationError: They differ.
    """
    bucket, opened = sync.destination.bucket, getattr(storage, "bucket", None)
    if bucket is not None and opened is not None and bucket != opened:
        fault = f"its bucket is {bucket!r}, but that of the storage is {opened!r}"
        raise ConfigurationError(f"Destination {sync.destination.name!r}", (fault,))


def _check_is_diff(value: object) -> None:
    check_kind("diff", value, StageableDiff, "pass the result of diff_members(...)")
