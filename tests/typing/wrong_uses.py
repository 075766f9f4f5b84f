"""Wrong uses, which type checkers must refuse: an unneeded ``type: ignore`` is an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from amplitude_cohort_s3 import (
    CohortFileName,
    CohortStream,
    CohortSync,
    CsvSource,
    Destination,
    DiffType,
    ExistingMeaning,
    Guard,
    Member,
    MemoryStorage,
    NameStyle,
    ObjectInfo,
    RowSchema,
    Storage,
    UserProperty,
    bucket_policy,
    check_access,
    diff_members,
    prune,
    read_head,
    read_history,
    recover,
    sync_cohort,
)
from amplitude_cohort_s3.diff import DiffEngine, DiffFile, Duplicates
from amplitude_cohort_s3.sources import MemberFiles, SupportsCsv, select
from amplitude_cohort_s3.storage import StagedObject, StagedState, SupportsDelete
from amplitude_cohort_s3.sync import commit, plan_sync

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
STORAGE = MemoryStorage()
SYNC = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
NAME = CohortFileName(1, "a", AT, DiffType.ENTERING)


def names() -> None:
    CohortFileName("1", "a", AT, DiffType.ENTERING)  # type: ignore[arg-type]
    CohortFileName(1, "a", "2026-11-23", DiffType.ENTERING)  # type: ignore[arg-type]
    CohortFileName(1, "a", AT, 7)  # type: ignore[arg-type]
    CohortFileName(1, "a", AT)  # type: ignore[call-arg]
    CohortFileName.parse("n", "seconds")  # type: ignore[call-arg]
    CohortFileName.parse("n", second_group="hours")  # type: ignore[arg-type]
    NameStyle(separator=".")  # type: ignore[arg-type]
    NAME.routing_key.upper()  # type: ignore[union-attr]
    NAME.routing_key = "k"  # type: ignore[misc]


def settings() -> None:
    Destination("d", "bucket")  # type: ignore[call-arg]
    Destination(name="d", header_style="spark")  # type: ignore[arg-type]
    Destination(name="d", match_by=7)  # type: ignore[arg-type]
    Destination(name="d", existing="all")  # type: ignore[arg-type]
    Destination(name="d", compression="zstd")  # type: ignore[arg-type]
    Destination(name="d", user_property=7)  # type: ignore[arg-type]
    there = Destination(name="d")
    CohortSync(destination=there, project_id=None, cohort_id="a")  # type: ignore[arg-type]
    CohortSync(destination="d", project_id=1, cohort_id="a")  # type: ignore[arg-type]
    CohortSync(destination=there, project_id=1, cohort_id="a", user_properties=[7])  # type: ignore[list-item]
    CohortSync(destination=there, project_id=1, cohort_id="a", cadence="weekly")  # type: ignore[arg-type]
    CohortSync(destination=there, project_id=1, cohort_id="a", guard=True)  # type: ignore[arg-type]
    CohortSync(destination=there, project_id=1, cohort_id="a", guard=None)  # type: ignore[arg-type]
    CohortStream(1, "a")  # type: ignore[call-arg]
    UserProperty(header="h")  # type: ignore[call-arg]
    RowSchema(header_style="x")  # type: ignore[arg-type]


def members() -> None:
    Member(1)  # type: ignore[arg-type]
    sync_cohort(SYNC, ["1", "2"], STORAGE)  # type: ignore[arg-type]
    sync_cohort(SYNC, [1, 2], STORAGE)  # type: ignore[arg-type]
    sync_cohort(SYNC, 7, STORAGE)  # type: ignore[call-overload]
    MemberFiles(7)  # type: ignore[arg-type]
    MemberFiles([7])  # type: ignore[list-item]
    MemberFiles("unload/", {"id": "amplitude_id"})  # type: ignore[call-arg]
    MemberFiles("unload/", columns=["id"])  # type: ignore[arg-type]
    select([], rename=["id"])  # type: ignore[arg-type]
    select([], where={"plan": 7})  # type: ignore[dict-item]
    select([], where={"id": [1, 2]})  # type: ignore[list-item]
    select([], where={"plan": lambda: True})  # type: ignore[dict-item,misc]
    select([], hash=[7], secret="s")  # type: ignore[list-item]
    select([], hash=["email"], secret=7)  # type: ignore[arg-type]


def observers() -> None:
    sync_cohort(SYNC, [], STORAGE, observer="print")  # type: ignore[call-overload]
    sync_cohort(SYNC, [], STORAGE, observer=lambda: None)  # type: ignore[arg-type,misc]
    sync_cohort(SYNC, [], STORAGE, observer=lambda event: event.users)  # type: ignore[attr-defined]


def guards() -> None:
    Guard(0.5)  # type: ignore[call-arg]
    Guard(max_exits="0.5")  # type: ignore[arg-type]
    Guard(min_members=0.5)  # type: ignore[arg-type]
    sync_cohort(SYNC, [], STORAGE, guard=True)  # type: ignore[call-overload]
    sync_cohort(SYNC, [], STORAGE, guard=0.5)  # type: ignore[call-overload]
    sync_cohort(SYNC, [], STORAGE, max_exits=5)  # type: ignore[call-overload]
    sync_cohort(SYNC, [], b"bucket")  # type: ignore[call-overload]
    sync_cohort(SYNC.destination, [], STORAGE)  # type: ignore[call-overload]
    sync_cohort(SYNC, [], STORAGE, AT)  # type: ignore[call-overload]
    sync_cohort(SYNC, [], STORAGE, synced_at="now")  # type: ignore[call-overload]
    sync_cohort(SYNC, [], STORAGE, synced_at=AT.date())  # type: ignore[call-overload]
    sync_cohort(SYNC, [], STORAGE, duplicates="first")  # type: ignore[call-overload]
    sync_cohort(SYNC, TextSource(), STORAGE)  # type: ignore[call-overload]
    CsvSource(chunks=lambda: iter(["text"]))  # type: ignore[list-item]
    CsvSource(chunks=lambda: iter([b""]), unit="cell")  # type: ignore[arg-type]
    diff_members([], [], SYNC.schema)  # type: ignore[call-arg]
    diff_members([], [], schema=SYNC.schema, engine="polars")  # type: ignore[arg-type]


def reading() -> None:
    history = read_history(STORAGE, SYNC.stream)
    history.members_at("2026-11-23")  # type: ignore[arg-type]
    history.rows(history[0], "entering")  # type: ignore[arg-type]
    history.syncs.append(history[0])  # type: ignore[attr-defined]
    read_history(SYNC, STORAGE)  # type: ignore[arg-type]
    read_history(STORAGE, SYNC.destination)  # type: ignore[arg-type]
    recover(STORAGE, "26umsb5")  # type: ignore[arg-type]
    read_head(None, SYNC.stream)  # type: ignore[arg-type]
    prune(STORAGE, SYNC.stream, before=AT, keep="all")  # type: ignore[arg-type]
    head = read_head(STORAGE, SYNC.stream)
    head.members()  # type: ignore[union-attr]


def by_hand() -> None:
    diff = diff_members([], [], schema=SYNC.schema)
    plan = plan_sync(SYNC, diff, synced_at=AT, previous=None)
    plan_sync(SYNC.destination, diff, synced_at=AT, previous=None)  # type: ignore[arg-type]
    plan_sync(SYNC, [], synced_at=AT, previous=None)  # type: ignore[arg-type]
    commit(SYNC, diff, STORAGE)  # type: ignore[arg-type]
    commit(plan, diff, SYNC.destination)  # type: ignore[arg-type]


def access() -> None:
    bucket_policy(SYNC.destination)  # type: ignore[call-arg]
    bucket_policy(SYNC, principal="111122223333")  # type: ignore[arg-type]
    bucket_policy(SYNC.destination, principal="*", purpose="delete")  # type: ignore[arg-type]
    check_access(STORAGE)  # type: ignore[arg-type]


class OverwritingStorage:
    """A storage without discard, whose create returns nothing."""

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        yield from ()

    def open(self, key: str, /) -> BinaryIO:
        raise NotImplementedError

    def create(self, key: str, data: bytes, /) -> None: ...

    def stage(self, key: str, chunks: Iterable[bytes], /) -> StagedObject:
        raise NotImplementedError

    def inspect(self, staged: StagedObject, /) -> StagedState:
        raise NotImplementedError

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        raise NotImplementedError


class InexactEngine:
    """An engine without the argument progress, which returns the files alone."""

    def diff(
        self,
        previous: CsvSource,
        current: CsvSource,
        *,
        schema: RowSchema,
        existing: ExistingMeaning,
        duplicates: Duplicates,
        folder: Path,
    ) -> Mapping[DiffType, DiffFile]:
        raise NotImplementedError


class TextSource:
    """A source of text instead of bytes."""

    def csv_source(self, schema: RowSchema) -> str:
        return "amplitudeID"


NOT_AN_ENGINE: DiffEngine = InexactEngine()  # type: ignore[assignment]
NOT_A_SOURCE: SupportsCsv = TextSource()  # type: ignore[assignment]
NOT_A_STORAGE: Storage = OverwritingStorage()  # type: ignore[assignment]
NOT_A_CAPABILITY: SupportsDelete = OverwritingStorage()  # type: ignore[assignment]
