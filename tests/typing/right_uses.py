"""Right uses, with the types that mypy and pyright must infer. This module is not run."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, assert_type

from amplitude_cohort_s3 import (
    AmplitudeCohorts,
    Cadence,
    CohortDiff,
    CohortFileName,
    CohortHistory,
    CohortStream,
    CohortSync,
    CsvSource,
    Destination,
    DiffType,
    ExistingMeaning,
    Guard,
    Head,
    LocalStorage,
    Member,
    MemberFile,
    Members,
    MemoryStorage,
    NameStyle,
    ObjectInfo,
    RowSchema,
    Storage,
    SyncPlan,
    SyncRecord,
    SyncResult,
    UserProperty,
    adopt,
    diff_members,
    forget,
    list_streams,
    prepare_sync,
    prune,
    read_head,
    read_history,
    recover,
    run_due,
    sync_cohort,
)
from amplitude_cohort_s3.diff import DiffEngine
from amplitude_cohort_s3.errors import (
    CohortS3Error,
    GuardError,
    MassExitError,
    SyncTimeTakenError,
    TooFewMembersError,
    UnusableCohortIdError,
)
from amplitude_cohort_s3.format import MemberRow
from amplitude_cohort_s3.history import (
    Churn,
    ChurnTable,
    Findings,
    MembershipEvent,
    RunTable,
    Stay,
    SyncRun,
    ValueTable,
)
from amplitude_cohort_s3.log import BucketSync, Observer, Outcome, StreamEvent
from amplitude_cohort_s3.maintenance import ForgetReceipt, PruneReceipt
from amplitude_cohort_s3.sources import MemberFiles, Selection, SupportsUnchanged, select
from amplitude_cohort_s3.sources.amplitude import (
    AmplitudeCohort,
    AmplitudeMembers,
    CohortList,
    DownloadUsage,
)
from amplitude_cohort_s3.storage import (
    StagedObject,
    StagedState,
    SupportsDelete,
    SupportsReplace,
    SupportsStageFile,
)
from amplitude_cohort_s3.sync import (
    PreparedSync,
    RecoveryReport,
    RunReport,
    commit,
    plan_sync,
    vanished_cohorts,
)

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


def names() -> None:
    name = CohortFileName.parse("1_a_2026-11-23T14:05_entering.csv", second_group="seconds")
    assert_type(name, CohortFileName)
    assert_type(name.project_id, int | None)
    assert_type(name.synced_at, datetime)
    assert_type(name.diff_type, DiffType)
    assert_type(name.routing_key, str | None)
    assert_type(name.style, NameStyle)
    assert_type(name.key("p"), str)
    assert_type(CohortFileName.from_key("p/n"), tuple[str, CohortFileName])
    assert_type(CohortFileName(1, "a", AT, "existing").diff_type, DiffType)
    assert_type(CohortFileName(None, "a", AT, DiffType.EXITING, "k", NameStyle()), CohortFileName)


class ShoutingName(CohortFileName):
    """A subclass, whose parse method returns the subclass."""


def subclasses() -> None:
    assert_type(ShoutingName.parse("1_a_2026-11-23T14:05_entering.csv"), ShoutingName)


def settings() -> CohortSync:
    destination = Destination(
        name="d",
        match_by=UserProperty("crm"),
        existing=ExistingMeaning.STAYED,
        name_style=NameStyle(separator="-"),
        header_style="api",
        compression="gzip",
    )
    sync = CohortSync(
        destination=destination,
        project_id=1,
        cohort_id="a",
        user_properties=[UserProperty("plan"), UserProperty("plan", source_app="ios")],
        cadence=Cadence.DAILY,
        guard=Guard(max_exits=0.1, max_growth=None, max_skipped=9),
    )
    assert_type(sync.user_properties, tuple[UserProperty, ...])
    assert_type(sync.schema, RowSchema)
    assert_type(sync.stream, CohortStream)
    assert_type(sync.is_due(None, AT), bool)
    return sync


def rows(stream: BinaryIO) -> None:
    schema = RowSchema(properties=["plan"], key="plan")
    assert_type(schema.properties, tuple[str, ...])
    assert_type(schema.encode([("1", "ann", "x")]), Iterator[bytes])
    assert_type(schema.decode(stream), Iterator[tuple[str, ...]])
    assert_type(schema.decode([b"", b""]), Iterator[tuple[str, ...]])
    assert_type(schema.row({"amplitude_id": 1}), tuple[str, ...])


def members_of_any_shape(sync: CohortSync, storage: Storage, path: Path) -> None:
    mappings: list[dict[str, Any]] = [{"amplitude_id": 1}]
    texts: list[dict[str, str]] = [{"amplitude_id": "1"}]
    pairs: list[tuple[str, str]] = [("1", "ann")]
    sync_cohort(sync, [Member("1", "ann", {"plan": "x"})], storage)
    sync_cohort(sync, mappings, storage)
    sync_cohort(sync, texts, storage)
    sync_cohort(sync, pairs, storage)
    sync_cohort(sync, (pair for pair in pairs), storage)
    sync_cohort(sync, {("1", "ann")}, storage)
    sync_cohort(sync, path, storage)
    sync_cohort(sync, "s3://bucket/members.csv", storage)
    sync_cohort(sync, CsvSource(chunks=lambda: iter([b""])), storage)


def members_of_several_sources(sync: CohortSync, storage: Storage, path: Path) -> None:
    files = MemberFiles([path, "s3://bucket/unload/"], columns={"id": "amplitude_id"})
    assert_type(files.files(), Iterator[MemberFile])
    assert_type(files.locations, tuple[str, ...])
    sync_cohort(sync, files, storage)
    sync_cohort(sync, MemberFiles(path), storage)
    sync_cohort(sync, [MemberFile(path), MemberFile("b.csv")], storage)
    sync_cohort(sync, [path, path], storage)
    chosen = select(
        files,
        rename={"id": "amplitude_id"},
        where={"plan": "pro", "city": {"rome", "paris"}, "team": lambda team: team != "x"},
        hash=["email"],
        secret=b"secret",
    )
    assert_type(chosen, Selection)
    assert_type(select(path), Selection)
    assert_type(select("s3://bucket/unload/*.csv", hash="email", secret="s"), Selection)
    sync_cohort(sync, chosen, storage)


def observed(sync: CohortSync, storage: Storage) -> None:
    events: list[StreamEvent] = []
    observer: Observer = events.append
    sync_cohort(sync, [], storage, observer=observer)
    run_due([(sync, ())], storage, observer=print)
    result = sync_cohort(sync, [], storage, observer=lambda event: event.facts.get("rows"))
    assert_type(result.recoveries, tuple[RecoveryReport, ...])
    assert_type(events[0].stream, CohortStream)
    assert_type(events[0].synced_at, datetime | None)
    assert_type(events[0].facts["rows"], int | str)
    assert_type(events[0].seconds, float)


def guarded(sync: CohortSync, storage: Storage) -> None:
    guard = Guard(max_exits=7, max_growth=0.5, max_skipped=None, min_members=3)
    assert_type(guard.max_exits, int | float | None)
    sync_cohort(sync, [], storage, guard=guard)
    sync_cohort(sync, [], storage, guard=False)
    CohortSync(destination=sync.destination, project_id=1, cohort_id="a", guard=False)
    guard.check(members_before=1, members=2, exits=0, skipped=0)
    try:
        sync_cohort(sync, [], storage)
    except TooFewMembersError as error:
        assert_type(error.members, int)
    except GuardError as refused:
        raise refused from None


def whole(sync: CohortSync, storage: Storage, engine: DiffEngine) -> None:
    result = sync_cohort(
        sync,
        [],
        storage,
        synced_at=AT,
        guard=False,
        duplicates="keep_smallest",
        engine=engine,
        work_dir=Path(),
        log=MemoryStorage(),
        progress=lambda event: None,
        clock=lambda: AT,
    )
    assert_type(result, SyncResult)
    assert_type(result.record, SyncRecord)
    assert_type(result.ignored_columns, tuple[str, ...])


def previewed(sync: CohortSync, storage: Storage, *, dry_run: bool) -> None:
    assert_type(sync_cohort(sync, [], storage, dry_run=True), SyncPlan)
    assert_type(sync_cohort(sync, [], storage, dry_run=False), SyncResult)
    with prepare_sync(sync, [], storage, synced_at=AT, dry_run=dry_run) as prepared:
        assert_type(prepared, PreparedSync)
        assert_type(prepared.plan, SyncPlan)
        assert_type(prepared.diff, CohortDiff)
        assert_type(prepared.already_done, bool)
        assert_type(prepared.commit(), SyncResult)


def by_hand(sync: CohortSync, storage: Storage) -> None:
    assert_type(recover(storage, sync.stream), RecoveryReport)
    head = read_head(storage, sync.stream)
    assert_type(head, Head | None)
    before = () if head is None else head.members()
    with diff_members(before, [("1", "ann")], schema=sync.schema) as diff:
        assert_type(diff, CohortDiff)
        assert_type(diff.rows(DiffType.ENTERING), Iterator[MemberRow])
        assert_type(diff.entering.rows, int)
        plan = plan_sync(sync, diff, synced_at=AT, previous=head)
        assert_type(plan, SyncPlan)
        assert_type(commit(plan, diff, storage), SyncResult)
    assert_type(adopt(storage, sync.stream), Head)


def history(storage: Storage, stream: CohortStream) -> None:
    found = read_history(storage, stream)
    assert_type(found, CohortHistory)
    assert_type(found[-1], BucketSync)
    assert_type(found[1:], Sequence[BucketSync])
    assert_type(found.members_at(AT), Members)
    assert_type(found.events(), ValueTable[MembershipEvent])
    assert_type(found.intervals(), ValueTable[Stay])
    assert_type(found.churn()[0], Churn)
    for stay in found.intervals():
        assert_type(stay, Stay)
    for row in found.members_at(found[0]):
        assert_type(row, MemberRow)
        assert_type(row["plan"], str)
        assert_type(row[1], str)
        plain: tuple[str, ...] = row
        assert_type(plain[1:], tuple[str, ...])
    assert_type(found.members_at().head(), list[MemberRow])
    assert_type(found.events().to_list(), list[MembershipEvent])
    assert_type(found.churn()[1:], ChurnTable)
    assert_type(found.runs()[0], SyncRun)
    assert_type(found.runs()[1:], RunTable)
    assert_type(found.overdue(AT, "daily"), timedelta | None)
    assert_type(found.verify(), Findings)
    assert_type(list_streams(storage)[0].stream, CohortStream)


def exceptions_to_the_rule(storage: Storage, stream: CohortStream) -> None:
    assert_type(forget(storage, stream, ["42", 43]), ForgetReceipt)
    assert_type(prune(storage, stream, before=AT), PruneReceipt)


def storages(staged: StagedObject) -> None:
    everywhere: list[Storage] = [MemoryStorage(), LocalStorage("folder"), LocalStorage(Path())]
    deleting: list[SupportsDelete] = [MemoryStorage(), LocalStorage("folder")]
    deleting[0].delete("k")
    replacing: list[SupportsReplace] = [MemoryStorage(), LocalStorage("folder")]
    taking: SupportsStageFile = LocalStorage("folder")
    taking.work_folder("k").__enter__().joinpath("file")
    replacing[0].replace(staged)
    storage = everywhere[0]
    assert_type(storage.list_objects("a/", start_after="a/b"), Iterator[ObjectInfo])
    assert_type(storage.inspect(staged), StagedState)
    assert_type(storage.publish(staged), ObjectInfo)
    assert_type(StagedObject.from_json(staged.to_json()), StagedObject)
    opening: Callable[[str], BinaryIO] = storage.open
    opening("k").close()


def logs(data: bytes) -> None:
    assert_type(SyncRecord.from_bytes(data, key="k"), SyncRecord)
    assert_type(Outcome.from_bytes(data, key="k").head, SyncRecord | None)


def errors() -> None:
    try:
        settings()
    except MassExitError as error:
        assert_type(error.exits, int)
    except SyncTimeTakenError as error:
        assert_type(error.next_free, datetime)
    except CohortS3Error:
        pass


def every_difftype_and_meaning_is_known(diff_type: DiffType, meaning: ExistingMeaning) -> int:
    match diff_type:
        case DiffType.ENTERING | DiffType.EXITING:
            return 1
        case DiffType.EXISTING:
            pass
    match meaning:
        case ExistingMeaning.MEMBERS:
            return 2
        case ExistingMeaning.STAYED | ExistingMeaning.PREVIOUS:
            return 3


def members_of_amplitude(sync: CohortSync, storage: Storage) -> None:
    amplitude = AmplitudeCohorts("key", "secret", region="eu")
    assert_type(amplitude.list_cohorts(), CohortList)
    assert_type(amplitude.list_cohorts("a *")[0], AmplitudeCohort)
    jobs = amplitude.jobs(sync, "a *")
    assert_type(jobs, tuple[tuple[CohortSync, AmplitudeMembers | UnusableCohortIdError], ...])
    assert_type(run_due(jobs, storage), RunReport)
    assert_type(vanished_cohorts(sync, jobs, storage), tuple[str, ...])
    assert_type(amplitude.usage(), DownloadUsage)
    members = amplitude.members("26umsb5", columns={"plan": "tier"})
    can_tell: SupportsUnchanged = members
    assert_type(can_tell.is_unchanged({}), bool)
    assert_type(sync_cohort(sync, members, storage), SyncResult)
