"""What a sync will do, as a value: to look at, to compare, to commit."""

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from .._arguments import check_kind
from .._html import html_table
from .._time import to_utc
from ..diff.cohort_diff import CohortDiff
from ..distributed.composition import ComposedDiff
from ..errors import (
    ConfigurationError,
    LogFullError,
    MassExitError,
    MatchByChangedError,
    PlanMismatchError,
    SyncOrderError,
    SyncTimeTakenError,
    WrongArgumentError,
)
from ..format.content import FileContent
from ..format.filename import DiffType
from ..log.keys import MAX_NUMBER
from ..log.records import RecordedFile, RecordRef, SyncRecord, SyncStatement
from ..settings.cohort_sync import CohortSync, check_is_sync
from ..storage.protocol import StagedObject
from .head import Head


@frozen(kw_only=True)
class PlannedFile(FileContent):
    """One file that the plan will make visible.

    Attributes:
        key: Where.
    """

    key: str


@frozen(kw_only=True)
class SyncPlan:
    """A sync that is decided in every detail but not done; a preview is a plan without a commit.

    Attributes:
        sync: What is synced where.
        synced_at: The time in the names, in UTC.
        requested_at: The exact time of the request, in UTC.
        previous: The record that the diff is taken against, or None for the first sync.
        number: The record's number, if nobody else takes it first.
        files: Keys, counts and digests of the three files.
        members: How many there will be.
        members_before: How many there are.
        members_sha256: The digest of a file of all members, in order.
        skipped: Rows of the source without a key.
        collapsed: Rows of the source that repeated another.
        ignored_columns: Columns of the source that the sync does not have.
        source: What the source of the members says of itself.
        amendment: The number of the newest amendment before it, or None.
    """

    sync: CohortSync
    synced_at: datetime
    requested_at: datetime
    previous: RecordRef | None
    number: int
    files: Mapping[DiffType, PlannedFile]
    members: int
    members_before: int
    members_sha256: str
    skipped: int
    collapsed: int
    ignored_columns: tuple[str, ...] = ()
    source: Mapping[str, str] = field(factory=dict[str, str])
    amendment: int | None = None

    def __str__(self) -> str:
        """A preview, one file a line."""
        lines = [
            f"{file.rows:>10,} {diff_type.value:<9} {file.key}"
            for diff_type, file in self.files.items()
        ]
        change = f"{self.members_before:,} -> {self.members:,} members"
        return "\n".join([f"sync of {self.synced_at.isoformat()}: {change}", *lines])

    def _repr_html_(self) -> str:
        return html_table(
            f"sync of {self.synced_at.isoformat()}: "
            f"{self.members_before:,} → {self.members:,} members",
            ("file", "rows", "bytes", "key"),
            [(str(t), file.rows, file.size, file.key) for t, file in self.files.items()],
        )

    def record(
        self, *, number: int, staged: Mapping[DiffType, StagedObject], writer: str
    ) -> SyncRecord:
        """The record of this plan, once its files are staged.

        Raises:
            LogFullError: The log has had its last number.
        """
        if number > MAX_NUMBER:
            raise LogFullError(self.sync.stream.log_prefix)
        return SyncRecord(
            number=number,
            previous=self.previous,
            stream=self.sync.stream,
            bucket=self.sync.destination.bucket,
            synced_at=self.synced_at,
            requested_at=self.requested_at,
            existing=self.sync.destination.existing,
            schema=self.sync.schema,
            files={
                diff_type: RecordedFile(
                    key=file.key,
                    rows=file.rows,
                    size=file.size,
                    sha256=file.sha256,
                    parts=file.parts,
                    staged=staged[diff_type],
                )
                for diff_type, file in self.files.items()
            },
            members=self.members,
            members_before=self.members_before,
            members_sha256=self.members_sha256,
            skipped=self.skipped,
            collapsed=self.collapsed,
            source=self.source,
            writer=writer,
            amendment=self.amendment,
        )

    def check_diff(self, diff: CohortDiff | ComposedDiff) -> None:
        """That this plan was made from the diff.

        Raises:
            PlanMismatchError: A file differs.
            WrongArgumentError: It is no diff.
        """
        _check_is_diff(diff)
        for diff_type, file in self.files.items():
            found = diff.report.files[diff_type]
            if (found.sha256, found.parts) != (file.sha256, file.parts):
                raise PlanMismatchError(f"the file {diff_type.value} has other bytes")


def _check_is_diff(value: object) -> None:
    cure = "make it with diff_members(...)"
    check_kind("diff", value, CohortDiff | ComposedDiff, cure)


def plan_sync(
    sync: CohortSync,
    diff: CohortDiff | ComposedDiff,
    *,
    synced_at: datetime,
    previous: Head | None,
    requested_at: datetime | None = None,
    max_exits: int | None = None,
) -> SyncPlan:
    """Decides a sync in every detail: names, counts, digests. It touches nothing.

    Args:
        sync: What is synced where.
        diff: Against the members of ``previous``, by the sync's schema.
        synced_at: An aware datetime; it is floored to what the names can spell.
        previous: The head of the stream, or None for the first sync.
        requested_at: The exact time of the request; by default ``synced_at`` as given.
        max_exits: How many members may leave, instead of the sync's exit guard.

    Raises:
        NaiveDatetimeError: A time has no time zone.
        MassExitError: More members would leave than the guard allows.
        SyncTimeTakenError: The stream has files of this time already.
        SyncOrderError: The head is newer.
        MatchByChangedError: The stream matches members by another column.
        PlanMismatchError: The diff was made for another schema or meaning of ``existing``.
        WrongArgumentError: An argument is of another type.
        ConfigurationError: ``max_exits`` is negative.
    """
    check_is_sync(sync)
    _check_is_diff(diff)
    check_kind("previous", previous, Head | None, "give read_head(storage, sync.stream)")
    cure = "give a number, or None for the exit guard"
    check_kind("max_exits", max_exits, int | None, cure)
    if isinstance(max_exits, bool):  # an int to Python
        raise WrongArgumentError("max_exits", "bool", cure)
    if max_exits is not None and max_exits < 0:
        fault = f"max_exits must not be negative, and is {max_exits}"
        raise ConfigurationError("plan_sync", (fault,))
    synced_at = to_utc(synced_at, "synced_at")
    floored = sync.name_style.floor(synced_at)
    if diff.schema != sync.schema:
        raise PlanMismatchError("it was made with another schema")
    if diff.existing_meaning is not sync.destination.existing:
        raise PlanMismatchError("it was made with another meaning of existing")
    check_match_by(sync, previous)
    if previous is not None:
        if floored < previous.record.synced_at:
            raise SyncOrderError(floored, previous.record.synced_at)
        if previous.is_taken(floored):
            raise SyncTimeTakenError(floored, next_free_moment(sync, previous, floored))
    report = diff.report
    check_exits(
        sync,
        before=report.members_before,
        now=report.members_now,
        exits=report.files[DiffType.EXITING].rows,
        max_exits=max_exits,
    )
    return SyncPlan(
        sync=sync,
        synced_at=floored,
        requested_at=synced_at if requested_at is None else to_utc(requested_at, "requested_at"),
        previous=None if previous is None else previous.record.ref,
        number=1 if previous is None else previous.log.last_ended + 1,
        files={
            diff_type: PlannedFile(
                key=_key(sync, floored, diff_type),
                rows=report.files[diff_type].rows,
                size=report.files[diff_type].size,
                sha256=report.files[diff_type].sha256,
                parts=report.files[diff_type].parts,
            )
            for diff_type in DiffType
        },
        members=report.members_now,
        members_before=report.members_before,
        members_sha256=report.members_sha256,
        skipped=report.skipped,
        collapsed=report.collapsed,
        ignored_columns=report.ignored_columns,
        source=diff.origin,
        amendment=None if previous is None else previous.record.amendment,
    )


def next_free_moment(
    sync: CohortSync,
    previous: Head | None,
    not_before: datetime,
    *,
    left_over: frozenset[datetime] = frozenset(),
) -> datetime:
    """The first time, from ``not_before`` on, that the names can spell and no file has.

    Args:
        sync: What is synced where.
        previous: The head of the stream, or None.
        not_before: An aware datetime; its floor counts as not before it.
        left_over: Before there is a head: the times under which void syncs left files.
    """
    style = sync.name_style
    moment = style.floor(not_before)
    if previous is not None:
        moment = max(moment, previous.record.synced_at)
    while moment in left_over or (previous is not None and previous.is_taken(moment)):
        moment = style.floor(moment) + style.step
    return moment


def check_match_by(sync: CohortSync, previous: Head | None) -> None:
    """That the stream's members are matched as before.

    Raises:
        MatchByChangedError: They were matched by another column.
    """
    if previous is not None and previous.record.schema.key != sync.schema.key:
        raise MatchByChangedError(previous.record.schema.key, sync.schema.key)


def check_exits(
    sync: CohortSync, *, before: int, now: int, exits: int, max_exits: int | None
) -> None:
    """The exit guard.

    Args:
        sync: Whose guard.
        before: How many members there are.
        now: How many there will be.
        exits: How many of those before would leave.
        max_exits: How many may, instead of what the guard allows.

    Raises:
        MassExitError: More members would leave than it allows.
    """
    limit = max_exits
    if limit is None:
        limit = sync.exit_guard.limit(members_before=before, members_now=now)
    if exits > limit:
        raise MassExitError(before, exits, limit)


def statement_of(sync: CohortSync, members_sha256: str, synced_at: datetime) -> SyncStatement:
    """What a sync of these members at this time would say.

    Args:
        sync: What is synced where.
        members_sha256: The digest of the members: see ``DiffReport``.
        synced_at: A time that the names can spell.
    """
    return SyncStatement(
        synced_at=synced_at,
        members_sha256=members_sha256,
        schema=sync.schema,
        existing=sync.destination.existing,
        keys=frozenset(_key(sync, synced_at, diff_type) for diff_type in DiffType),
    )


def _key(sync: CohortSync, synced_at: datetime, diff_type: DiffType) -> str:
    name = sync.stream.name(synced_at, diff_type, sync.name_style)
    return name.key(sync.destination.path)
