"""Arguments of wrong types: the error names the argument and the correction."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import pandas as pd
import polars as pl
import pytest

from amplitude_cohort_s3 import (
    AmplitudeCohorts,
    Cadence,
    CohortFileName,
    CohortS3Error,
    CohortStream,
    CohortSync,
    Destination,
    DiffType,
    Guard,
    LocalStorage,
    Member,
    MemberFile,
    MemoryStorage,
    RowSchema,
    S3Storage,
    UserProperty,
    adopt,
    bucket_policy,
    check_access,
    detect_existing_meaning,
    diff_members,
    forget,
    list_streams,
    open_storage,
    plan_forget,
    plan_prune,
    prune,
    read_head,
    read_history,
    recover,
    run_due,
    sql,
    sync_cohort,
)
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    ConfigurationError,
    InvalidCellError,
    MissingColumnsError,
    UnusableDiffError,
)
from amplitude_cohort_s3.policy import lifecycle_rules
from amplitude_cohort_s3.sources import select
from amplitude_cohort_s3.sources.protocol import CsvSource
from amplitude_cohort_s3.sync import commit, plan_sync

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
DESTINATION = Destination(name="d")
SYNC = CohortSync(destination=DESTINATION, project_id=1, cohort_id="a")
STREAM = SYNC.stream
MEMBERS = [("42", "ann@example.com")]


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def diff():
    with diff_members((), MEMBERS, schema=SYNC.schema) as diff:
        yield diff


@pytest.fixture
def plan(diff):
    return plan_sync(SYNC, diff, synced_at=AT, previous=None)


def raises(argument, hint):
    return pytest.raises(
        ArgumentTypeError, match=rf"^{argument} has the wrong type [\w\[\]]+: .*{hint}"
    )


WRONG_STORAGES = [DESTINATION, None, 7, b"bucket", MEMBERS, LocalStorage]


@pytest.mark.parametrize("wrong", WRONG_STORAGES, ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize(
    "use",
    [
        lambda storage: sync_cohort(SYNC, MEMBERS, storage),
        lambda storage: read_head(storage, STREAM),
        lambda storage: read_history(storage, STREAM),
        lambda storage: recover(storage, STREAM),
        lambda storage: adopt(storage, STREAM),
        list_streams,
        lambda storage: run_due([(SYNC, MEMBERS)], storage),
        lambda storage: plan_forget(storage, STREAM, ["ann"]),
        lambda storage: forget(storage, STREAM, ["ann"]),
        lambda storage: plan_prune(storage, STREAM, before=AT),
        lambda storage: prune(storage, STREAM, before=AT),
    ],
)
def test_a_wrong_storage_is_refused_with_a_hint(use, wrong):
    with raises("storage", "a folder, or an opened storage"):
        use(wrong)


@pytest.mark.parametrize("use", [read_head, read_history, recover, adopt])
def test_swapped_arguments_are_recognised(use, storage):
    for stream in (SYNC, STREAM):
        with raises("storage", "swap the arguments"):
            use(stream, storage)
    with raises("stream", "swap the arguments"):
        use(storage, storage)


@pytest.mark.parametrize(
    "use",
    [
        lambda storage, log: sync_cohort(SYNC, MEMBERS, storage, log=log),
        lambda storage, log: read_head(storage, STREAM, log=log),
        lambda storage, log: read_history(storage, STREAM, log=log),
        lambda storage, log: recover(storage, STREAM, log=log),
        lambda storage, log: run_due([(SYNC, MEMBERS)], storage, log=log),
        lambda storage, log: prune(storage, STREAM, before=AT, log=log),
        lambda storage, log: forget(storage, STREAM, ["ann"], log=log),
    ],
)
def test_a_wrong_log_is_refused_with_a_hint(use, storage):
    with raises("log", "an opened storage"):
        use(storage, DESTINATION)


def test_a_wrapper_that_passes_on_all_methods_is_a_storage(storage):
    class Wrapper:
        def __getattr__(self, name):
            return getattr(storage, name)

    assert sync_cohort(SYNC, MEMBERS, Wrapper()).record.members == len(MEMBERS)


def test_the_missing_methods_of_a_custom_storage_are_named(storage):
    class Half:
        list_objects, open, create = storage.list_objects, storage.open, storage.create
        inspect, stage = storage.inspect, storage.stage

    with raises("storage", r"add publish\(\), discard\(\) to it"):
        sync_cohort(SYNC, MEMBERS, Half())


def test_the_missing_column_of_a_row_is_named():
    rows = [{"amplitude_id": "1", "plan": "pro"}, {"amplitude_id": "2"}]
    with pytest.raises(MissingColumnsError, match="row 2 has no column 'plan'") as caught:
        diff_members((), rows, schema=RowSchema(properties=("plan",)))
    assert caught.value.number == 2


def test_a_float_is_refused_with_advice_for_ids_and_for_properties():
    schema = RowSchema(properties=("score",))
    with pytest.raises(InvalidCellError, match=r"'score' is of type float: format it as"):
        schema.row(("1", "ann", 0.5))
    with pytest.raises(InvalidCellError, match=r"'amplitude_id' is of type float.* lost digits"):
        schema.row((1.0, "ann", ""))


def test_nothing_is_written_if_the_log_is_wrong(storage):
    with raises("log", "an opened storage"):
        sync_cohort(SYNC, MEMBERS, storage, log=DESTINATION)
    assert list(storage.list_objects()) == []


@pytest.mark.parametrize("wrong", [DESTINATION, "a", None], ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize(
    "use",
    [
        read_head,
        read_history,
        recover,
        adopt,
        lambda storage, stream: plan_forget(storage, stream, ["ann"]),
        lambda storage, stream: forget(storage, stream, ["ann"]),
        lambda storage, stream: plan_prune(storage, stream, before=AT),
        lambda storage, stream: prune(storage, stream, before=AT),
    ],
)
def test_a_wrong_stream_is_refused_with_a_hint_at_its_class(use, wrong, storage):
    with raises("stream", "pass a CohortStream or a CohortSync"):
        use(storage, wrong)


@pytest.mark.parametrize(
    "wrong", [DESTINATION, STREAM, "a"], ids=lambda wrong: type(wrong).__name__
)
def test_a_wrong_sync_is_refused_with_a_hint_at_its_class(wrong, storage, diff):
    with raises("sync", "CohortSync"):
        sync_cohort(wrong, MEMBERS, storage)
    with raises("sync", "CohortSync"):
        plan_sync(wrong, diff, synced_at=AT, previous=None)
    with raises("sync", "CohortSync"):
        run_due([(wrong, MEMBERS)], storage)


@pytest.mark.parametrize(
    "wrong", ["2026-11-23", date(2026, 11, 23), 1_700_000_000, b""], ids=lambda w: type(w).__name__
)
def test_a_time_must_be_a_datetime(wrong, storage, diff):
    sync_cohort(SYNC, MEMBERS, storage, synced_at=AT)
    history = read_history(storage, STREAM)
    for argument, use in [
        ("synced_at", lambda: sync_cohort(SYNC, MEMBERS, storage, synced_at=wrong)),
        ("synced_at", lambda: plan_sync(SYNC, diff, synced_at=wrong, previous=None)),
        ("synced_at", lambda: CohortFileName(1, "a", wrong, DiffType.ENTERING)),
        ("when", lambda: history.members_at(wrong)),
        ("before", lambda: plan_prune(storage, STREAM, before=wrong)),
        ("now", lambda: run_due([(SYNC, MEMBERS)], storage, wrong)),
        ("now", lambda: Cadence.DAILY.is_due(AT, wrong)),
        ("newest", lambda: lifecycle_rules(DESTINATION, newest={STREAM: wrong})),
    ]:
        with raises(argument, r"datetime\.fromisoformat"):
            use()


def test_sql_apply_needs_an_engine_and_not_its_url(storage):
    sync_cohort(SYNC, MEMBERS, storage, synced_at=AT)
    with raises("engine", "create_engine"):
        sql.apply(read_history(storage, STREAM), "sqlite://")


def test_the_time_in_the_hint_is_a_valid_time():
    with raises("synced_at", "") as caught:
        CohortFileName(1, "a", "2026-11-23", DiffType.ENTERING)
    assert 'datetime.fromisoformat("2026-11-23T14:05Z")' in caught.value.hint
    assert datetime.fromisoformat("2026-11-23T14:05Z") == AT


def test_plan_sync_and_commit_refuse_wrong_arguments(storage, diff, plan):
    sync_cohort(SYNC, MEMBERS, storage, synced_at=AT)
    head, history = read_head(storage, STREAM), read_history(storage, STREAM)
    for wrong in (head.record, history, "first"):
        with raises("previous", r"read_head\(storage, sync\.stream\)"):
            plan_sync(SYNC, diff, synced_at=AT, previous=wrong)
    for wrong in ("off", True, 0.5):
        with raises("guard", r"Guard\(max_exits=0\.5\), or False"):
            plan_sync(SYNC, diff, synced_at=AT, previous=None, guard=wrong)
    for wrong in (SYNC, MEMBERS, storage, diff.report):
        with raises("diff", "diff_members"):
            plan_sync(SYNC, wrong, synced_at=AT, previous=None)
        with raises("diff", "diff_members"):
            commit(plan, wrong, storage)
    with raises("plan", "plan_sync"):
        commit(SYNC, diff, storage)
    with raises("storage", "an opened storage"):
        commit(plan, diff, DESTINATION)


def test_diff_members_refuses_wrong_arguments():
    with raises("schema", r"sync\.schema"):
        diff_members((), MEMBERS, schema=SYNC)
    with raises("existing", r"ExistingMeaning\.MEMBERS"):
        diff_members((), MEMBERS, schema=SYNC.schema, existing="member")
    with raises("engine", "PartitionEngine"):
        diff_members((), MEMBERS, schema=SYNC.schema, engine="polars")
    with pytest.raises(ConfigurationError, match="'refuse' or 'keep_smallest', not 'first'"):
        diff_members((), MEMBERS, schema=SYNC.schema, duplicates="first")


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("wrong", "hint"),
    [(b"members.csv", "MemberFile"), (7, "rows"), (None, "rows")],
    ids=lambda value: type(value).__name__,
)
def test_diff_members_refuses_wrong_members_on_either_side(wrong, hint, side):
    sides = [[], []]
    sides[side] = wrong
    with raises("members", hint):
        diff_members(*sides, schema=SYNC.schema)


def test_a_head_in_place_of_its_members_is_refused(storage):
    sync_cohort(SYNC, MEMBERS, storage, synced_at=AT)
    with raises("members", r"head\.members"):
        diff_members(read_head(storage, STREAM), MEMBERS, schema=SYNC.schema)


def test_an_unknown_value_of_keep_is_refused_before_any_change(storage):
    sync_cohort(SYNC, MEMBERS, storage, synced_at=AT)
    before = [info.key for info in storage.list_objects()]
    for use in (prune, plan_prune):
        with pytest.raises(ConfigurationError, match="'changes' or 'nothing', not 'all'"):
            use(storage, STREAM, before=AT, keep="all")
    assert [info.key for info in storage.list_objects()] == before


@pytest.mark.parametrize("jobs", [SYNC, [SYNC], (SYNC, MEMBERS), {SYNC: MEMBERS}, [(SYNC,)]])
def test_jobs_must_be_pairs(jobs, storage):
    with pytest.raises(ArgumentTypeError, match=r"pairs of a CohortSync and its members"):
        run_due(jobs, storage)


@pytest.mark.parametrize("wrong", [SYNC, "my-bucket", MemoryStorage(), None])
def test_a_policy_and_lifecycle_rules_need_a_destination(wrong):
    with raises("destination", r"sync\.destination"):
        bucket_policy(wrong, principal="arn:aws:iam::111122223333:role/etl")
    with raises("destination", r"sync\.destination"):
        lifecycle_rules(wrong)


def test_other_arguments_of_a_wrong_type_are_refused(storage):
    with raises("principal", "as text"):
        bucket_policy(DESTINATION, principal=111122223333)
    with raises("keep", "timedelta"):
        lifecycle_rules(DESTINATION, keep=7)
    with raises("storage", "S3Storage"):
        check_access(storage)
    with raises("people", "list of ids"):
        plan_forget(storage, STREAM, "ann")
    with raises("people", "list of ids"):
        plan_forget(storage, STREAM, 7)
    with raises("location", "rows and tables need no MemberFile"):
        MemberFile(MEMBERS)
    with raises("columns", "amplitude_id"):
        MemberFile("members.csv", columns=["id"])
    with raises("history", "read_history"):
        detect_existing_meaning(storage)
    sync_cohort(SYNC, MEMBERS, storage, synced_at=AT)
    with raises("key", "as text"):
        read_history(storage, STREAM).member_history(42)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Destination(name=7), "name must be of type str, not 7"),
        (lambda: Destination(name="d", bucket=7), "bucket must be of type str or None, not 7"),
        (lambda: Destination(name="d", path=Path("x")), "path must be of type str, not PosixPath"),
        (lambda: Destination(name="d", path=None), "path must be of type str, not None"),
        (lambda: Destination(name="d", name_style=":"), "name_style must be of type NameStyle"),
        (
            lambda: Destination(name="d", user_property=7),
            "user_property must be of type UserProperty or None, not 7",
        ),
        (lambda: make_sync(destination="d"), "destination must be of type Destination, not 'd'"),
        (lambda: make_sync(project_id="123"), "project_id must be of type int, not '123'"),
        (lambda: make_sync(cohort_id=7), "cohort_id must be of type str, not 7"),
        (lambda: make_sync(routing_key=7), "routing_key must be of type str or None, not 7"),
        (lambda: make_sync(cadence="weekly"), "'one-time', 'hourly' or 'daily', not 'weekly'"),
        (lambda: make_sync(guard=0.5), r"not 0\.5: pass one, such as Guard\(max_exits=0\.5\)"),
        (lambda: make_sync(guard=None), "type Guard, not None: pass .*, or False for no limits"),
        (lambda: Destination(name="d", path="s3://b/a"), "bucket='my-bucket' and path='cohorts'"),
        (lambda: Destination(name="d", existing="all"), "'members', 'stayed' or 'previous', not"),
        (lambda: make_sync(user_properties=[7]), r"not 7: pass UserProperty\(\"plan"),
        (
            lambda: make_sync(user_properties=None),
            r"of type Iterable, not None: pass a list: \[\"p",
        ),
        (lambda: UserProperty(7), "name must be of type str, not 7"),
        (lambda: UserProperty("plan", header=7), "header must be of type str or None, not 7"),
        (
            lambda: Guard(max_exits="half"),
            "max_exits must be of type int or float or None, not",
        ),
        (lambda: Guard(min_members=None), "min_members must be of type int, not None"),
        (lambda: RowSchema(properties=[UserProperty("p")]), "of type str, not UserProperty"),
        (lambda: open_storage(None), "pass a URL, a folder or a destination, not NoneType"),
        (lambda: open_storage(SYNC), "pass a URL, a folder or a destination, not CohortSync"),
        (lambda: S3Storage("s3://bucket"), "or use open_storage"),
        (lambda: S3Storage(None), "bucket must be of type str, not None"),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused(make, fault):
    with pytest.raises(ConfigurationError, match=fault):
        make()


def make_sync(**settings):
    return CohortSync(**{"destination": DESTINATION, "project_id": 1, "cohort_id": "a"} | settings)


def test_members_in_a_wrong_place_are_not_in_the_message(storage):
    uses = [
        lambda: CohortSync(destination=MEMBERS, project_id=1, cohort_id="a"),
        lambda: Destination(name="d", path=MEMBERS),
        lambda: sync_cohort(SYNC, storage, MEMBERS),
        lambda: read_head(MEMBERS, STREAM),
    ]
    for use in uses:
        with pytest.raises((ConfigurationError, ArgumentTypeError)) as caught:
            use()
        assert "ann@example" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: CohortStream(project_id="1", cohort_id="a"), "project_id"),
        (lambda: CohortStream(project_id=1, cohort_id=7), "cohort_id"),
        (lambda: CohortStream(project_id=1, cohort_id="a", routing_key=7), "routing_key"),
        (lambda: CohortStream(project_id=1, cohort_id="a", path=Path("x")), "path"),
        (lambda: CohortFileName("1", "a", AT, DiffType.ENTERING), "project_id"),
        (lambda: CohortFileName(1, 7, AT, DiffType.ENTERING), "cohort_id"),
    ],
)
def test_the_parts_of_a_file_name_must_be_a_number_and_texts(make, argument):
    with raises(argument, "(number|text)"):
        make()


class SourceOf:
    """A source whose ``csv_source`` returns a given value."""

    def __init__(self, result):
        self.result = result

    def csv_source(self, schema):
        return self.result


class EngineWithoutReport:
    def diff(self, previous, current, **settings):
        pass


def test_wrong_results_of_custom_sources_and_engines_are_refused(tmp_path):
    def diff(members, **settings):
        diff_members((), members, schema=SYNC.schema, work_dir=tmp_path, **settings)

    with raises(r"the result of csv_source\(\)", "CsvSource"):
        diff(SourceOf(b"amplitude_id\n"))
    with raises("chunks", r"lambda: iter\(chunks\)"):
        CsvSource(chunks=[b"amplitude_id\n"])
    for chunks in ("amplitude_id\n", ["amplitude_id\n1\n"], b"amplitude_id\n"):
        with raises("a chunk", "bytes"):
            diff(CsvSource(chunks=lambda chunks=chunks: iter(chunks)))
    with raises("the result of the engine", "DiffReport"):
        diff(MEMBERS, engine=EngineWithoutReport())
    with raises("engine", "PartitionEngine.* not the class itself"):
        diff(MEMBERS, engine=PartitionEngine)
    with pytest.raises(TypeError, match=r"properties.* str: .*mapping"):
        diff([Member("1", "a", "pro")])
    assert list(tmp_path.iterdir()) == []


def test_work_dir_must_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(
            ConfigurationError, match=r"work_dir .* is not a folder: create it first"
        ):
            diff_members((), MEMBERS, schema=SYNC.schema, work_dir=wrong)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a\0b", "contains a NUL character: pass"),
        ("a\ud800b", "contains half of a surrogate pair: pass"),
        ("a" * 300, r"can't be a path \(File name too long\): pass"),
        ("circle/a", r"can't be a path \(Too many levels of symbolic links\): pass"),
    ],
    ids=["NUL", "surrogate", "long", "circle"],
)
def test_a_path_that_no_folder_can_have_is_refused(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    for use in (
        LocalStorage,
        lambda root: read_history(root, SYNC.stream),
        lambda root: diff_members((), MEMBERS, schema=SYNC.schema, work_dir=root),
    ):
        with pytest.raises(ConfigurationError, match=words):
            use(path)


def test_a_closed_diff_can_not_be_committed(storage):
    with diff_members((), MEMBERS, schema=SYNC.schema) as diff:
        plan = plan_sync(SYNC, diff, synced_at=AT, previous=None)
    with pytest.raises(UnusableDiffError, match=r"commit, inside the with"):
        commit(plan, diff, storage)
    assert list(storage.list_objects()) == []
    with pytest.raises(UnusableDiffError, match="'existing'"):
        list(diff.rows(DiffType.EXISTING))


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for make in (LocalStorage, open_storage):
        with pytest.raises(ConfigurationError, match="is a file, not a folder"):
            make(tmp_path / "file")


@pytest.mark.parametrize("setting", ["workers", "range_bytes", "batch_bytes"])
def test_the_settings_of_the_engine_must_be_numbers(setting):
    with pytest.raises(ConfigurationError, match=f"{setting} must be of type int, not '2'"):
        PartitionEngine(**{setting: "2"})


# --- What newcomers pass -----------------------------------------------------------------

WITH_PLAN = CohortSync(
    destination=DESTINATION, project_id=1, cohort_id="a", user_properties=["plan"]
)
ROW = {"amplitude_id": "42", "user_id": "ann", "plan": "pro"}
TWICE = [("1", "ann"), ("1", "bob")]

# What is passed as the members of a sync with the columns amplitude_id, user_id and plan, and the
# words of the message. Each row is a mistake of its own.
WRONG_MEMBERS = [
    (ROW, r'dict: pass a list with a dict for each member: \[{"amplitude_id"'),
    (pd.DataFrame([ROW]).to_dict(), r"a data frame: pandas\.DataFrame\(members\)"),
    (["42"], 'row 1 has the wrong type str: pass a dict such as {"amplitude_id": "42"}'),
    ([None], "row 1 has the wrong type NoneType"),
    ([ROW, 7], "row 2 has the wrong type int"),
    ([{"42", "ann"}], "a set has no order"),
    (pd.DataFrame([ROW]).to_numpy(), r"row 1 .* ndarray: pass \.tolist\(\) of the array"),
    ([("42", "ann")], "row 1: it has 2 values, but the sync has 3 columns. Pass amplitude_id, u"),
    ([ROW, {"user_id": "x"}], "row 2 has no columns? 'amplitude_id', 'plan'. The data has: 'user"),
    (pd.DataFrame([ROW]).rename(columns={"plan": "Plan"}), "'user_id', 'Plan'. Rename the column"),
    (pd.DataFrame([ROW]).set_index("amplitude_id"), r"is the index .* pass df\.reset_index\(\)"),
    (pd.DataFrame([ROW])["amplitude_id"], r"Series: pass .* series\.to_frame\('amplitude_id'\)"),
    (pd.DataFrame([ROW | {"amplitude_id": 4.2}]), "'amplitude_id' is of type float: read it as t"),
    (pd.DataFrame([ROW | {"amplitude_id": None}]), r"empty amplitude_id, by which .* \(row 1\)"),
    (pd.DataFrame([ROW | {"plan": ["a"]}]), "'plan' is of type list: convert it to text"),
    (pd.DataFrame([ROW]).assign(userID="x"), "occurs twice .* Remove or rename one of the two"),
    (pd.DataFrame, r"type\[DataFrame\]: pass rows, a table or a source, not the class itself"),
    (pl.DataFrame([ROW]).lazy(), r"LazyFrame: run the query first, for example with \.collect\(\)"),
    (pl.DataFrame([ROW])["plan"], r"Series: pass .* series\.to_frame\('amplitude_id'\)"),
    (MemberFile, r"type\[MemberFile\]: pass rows, a table or a source, not the class itself"),
    (lambda: [ROW], "function: pass rows, a table, or a source such as MemberFile"),
    (AmplitudeCohorts("key", "secret"), r"pass its members, .* cohorts\.members\(cohort_id\)"),
    (read_history(MemoryStorage(), STREAM), r"CohortHistory: .* history\.members_at\(when\)"),
    (MemoryStorage(), "swap the arguments: the members come before the storage"),
    ('[{"amplitude_id": "42"}]', r"location is text with members: .* json\.loads\(text\)"),
    ("amplitude_id\n42\n", "location is text with members: pass a file"),
    ("", "location is empty: pass the path or URI of a file"),
    ("no.csv", r"the member file 'no.csv' does not exist .*\. Check its location"),
    ("no*.csv", r"the member file 'no\*\.csv' does not exist \(no file matches\)"),
    (MemberFile("*.csv"), "Pass MemberFiles for the files of a pattern"),
    ("~/no.csv", "~ is not expanded"),
    (MemberFile("."), r"can't be read \(Is a directory\)\. Pass MemberFiles for"),
    ("nowhere://x/m.csv", "Use a scheme that smart_open supports"),
]


@pytest.mark.parametrize(("members", "words"), WRONG_MEMBERS, ids=[w for _, w in WRONG_MEMBERS])
def test_wrong_members_are_refused_with_a_hint(members, words, storage):
    with pytest.raises(CohortS3Error, match=words) as caught:
        sync_cohort(WITH_PLAN, members, storage, synced_at=AT)
    assert "ann" not in str(caught.value)
    assert list(storage.list_objects()) == []


# The content of a file, and the words of the message.
WRONG_FILES = [
    (b"", "line 1 of .*the file is empty and has no header. Write a header"),
    (b"42,ann,pro\n", "no column is named amplitude_id or user_id. Add a header, or map other"),
    (b"amplitude_id;plan\n42;pro\n", "commas between the cells, not semicolons"),
    (b"amplitude_id,plan\n42\n", "line 2 .* 1 cell, but the header has 2. Put quotes around"),
    (b'amplitude_id,plan\n42,"pro\n', "line 2 .* never closed. Add the missing quote"),
    (b"amplitude_id,plan\n42,p\0\n", r"line 2 .* NUL. Save it as CSV \(UTF-8\)"),
    ("amplitude_id,plan\n42,größer\n".encode("latin-1"), "line 2 .* not UTF-8. Save the file as"),
    (b"amplitude_id,Tier\n42,pro\n", r"no column 'plan'. The data has: 'amplitude_id', 'Tier'. R"),
    (b"amplitude_id,Tier\n42,pro\n", r"as in MemberFile\(\.\.\., columns=\{'\.\.\.': 'plan'\}\)"),
    (
        b"amplitude_id,plan\n4.2e9,pro\n",
        r"floating-point number.* \(line 2\): .* dtype=str in pandas",
    ),
    (b"amplitude_id,plan,userID,user_id\n42,pro,a,b\n", "line 2 .* Remove or rename one of the"),
    (b'[{"amplitude_id": 42}]', r"it is JSON. Save it as CSV \(UTF-8\)"),
    (b"PK\x03\x04xl/workbook", r"it is a workbook.* Save it as CSV \(UTF-8\)"),
    (b"<!DOCTYPE html>", "it is a web page or XML. Download the file itself"),
]


@pytest.mark.parametrize(("data", "words"), WRONG_FILES, ids=[w for _, w in WRONG_FILES])
def test_a_wrong_file_is_refused_with_a_hint(data, words, storage, tmp_path):
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(CohortS3Error, match=words) as caught:
        sync_cohort(WITH_PLAN, tmp_path / "m", storage, synced_at=AT)
    assert str(tmp_path / "m") in str(caught.value)


def history_of(storage):
    sync_cohort(SYNC, MEMBERS, storage, synced_at=AT)
    return read_history(storage, SYNC)


# A call with a storage, and the words of the message.
WRONG_CALLS = [
    (lambda s: sync_cohort(s, SYNC, MEMBERS), "sync .*: swap the arguments: the sync comes before"),
    (lambda s: sync_cohort(SYNC, s, MEMBERS), "swap the arguments: the members come before the st"),
    (
        lambda s: sync_cohort(CohortSync, MEMBERS, s),
        r"sync .* type\[CohortSync\]: .* not the class",
    ),
    (
        lambda s: sync_cohort(SYNC, MEMBERS, MemoryStorage),
        r"storage .* type\[MemoryStorage\]: .* n",
    ),
    (
        lambda s: sync_cohort(SYNC, MEMBERS, boto3.client("s3", "eu-west-1")),
        r"pass S3Storage\(\"my",
    ),
    (lambda s: sync_cohort(SYNC, MEMBERS, DESTINATION), r"such as open_storage\(destination\)"),
    (lambda s: sync_cohort(SYNC, MEMBERS, s, dry_run="no"), "dry_run .* str: pass True or False"),
    (lambda s: sync_cohort(SYNC, MEMBERS, s, guard=True), "guard .* bool: pass Guard"),
    (
        lambda s: sync_cohort(SYNC, MEMBERS, s, work_dir=7),
        "work_dir .* int: pass a folder, or None",
    ),
    (lambda s: sync_cohort(SYNC, TWICE, s), r"\(row 2\)\. .* pass duplicates=\"keep_smallest\""),
    (
        lambda s: sync_cohort(SYNC, MEMBERS, s, synced_at=AT.replace(tzinfo=None)),
        r"pass synced_at\.astimezone\(\) if it is local time, or synced_at\.replace\(tzinfo=timez",
    ),
    (lambda s: sync_cohort(SYNC, MEMBERS, s, synced_at=pd.NaT), "synced_at .* NaTType: pass an aw"),
    (lambda s: prune(s, STREAM, before=timedelta(days=30)), r"now\(timezone.utc\) - timedelta\(d"),
    (lambda s: forget(s, STREAM, {"user_id": "ann"}), r'people .* dict: pass a list of ids: \["'),
    (lambda s: read_history(s, CohortSync), r"stream .* type\[CohortSync\]: .* not the class"),
    (lambda s: read_history(s, STREAM, match_by=7), "match_by .* int: pass the name of a column"),
    (
        lambda s: read_history(s, STREAM).verify(),
        r"begin with '1_a_'\)\. .* list_streams\(storage\)",
    ),
    (lambda s: list_streams(s, 7), "path .* int: pass a folder in it"),
    (lambda s: open_storage(Destination), "pass a URL, a folder or a destination, not Destination"),
    (lambda s: open_storage(""), "the root is empty: pass a folder, or '.' for the current one"),
    (lambda s: open_storage("s3://b/path"), "open 's3://b', and pass the rest as path"),
    (lambda s: open_storage("gs://b"), "begins with gs://: write s3://my-bucket for a bucket"),
    (lambda s: LocalStorage(None), 'root has the wrong type NoneType: pass a folder, such as "b'),
    (lambda s: S3Storage(DESTINATION), r"not Destination: .* call open_storage\(destination\)"),
    (lambda s: check_access(S3Storage("b-1", region="eu-west-1"), "writing"), "'write', .* 'maint"),
    (check_access, "MemoryStorage: pass S3Storage.* only a bucket has permissions"),
    (lambda s: bucket_policy(DESTINATION, principal="x"), "has no bucket: set bucket to its name"),
    (lambda s: bucket_policy(DESTINATION, principal=[7]), "each of principal .* int: pass an ARN"),
    (
        lambda s: bucket_policy(DESTINATION, principal="x", create_only="y"),
        "create_only must be of",
    ),
    (
        lambda s: make_sync(user_properties={"plan": "Plan"}),
        r"must be a list, not dict: .*\[\"plan",
    ),
    (lambda s: make_sync(user_properties={"plan"}), "user_properties must be a list, not set"),
    (lambda s: make_sync(project_id=True), "project_id must be of type int, not True"),
    (lambda s: make_sync(cohort_id="a/b"), "cohort_id 'a/b': a cohort id consists of letters"),
    (lambda s: make_sync(destination=Destination), r"not type\[Destination\]: pass one, such as D"),
    (lambda s: Destination("d", bucket="my bucket"), "'my bucket' is not the name of a bucket"),
    (lambda s: Destination("d", bucket=""), "'' is not the name of a bucket, such as my-bucket"),
    (lambda s: Destination("d", bucket="b-1/x"), "has a path: set bucket='b-1', and path to the"),
    (lambda s: Destination("d", bucket="arn:aws:s3:::b-1"), "is an ARN: set bucket='b-1'"),
    (lambda s: Destination("d", region="eu_west_1"), "regions have names such as eu-west-1"),
    (lambda s: Destination("d", path="a\\b"), "separate folders with /, not with a backslash"),
    (lambda s: Destination("d", require_suffix="yes"), "require_suffix must be of type bool, not"),
    (lambda s: Guard(min_members=True), "min_members must be of type int, not True"),
    (
        lambda s: CohortStream(project_id=1, cohort_id="a", path="/x"),
        "not begin or end with a slas",
    ),
    (
        lambda s: RowSchema(properties=None),
        r"properties must be of type Iterable, not None: pass n",
    ),
    (lambda s: RowSchema(key="email"), "not a column; the columns are 'amplitude_id', 'user_id'"),
    (
        lambda s: CohortFileName(1, "a", AT, "entered"),
        "'entering', 'exiting' or 'existing', not 'e",
    ),
    (lambda s: CohortFileName.parse(Path("x")), "name .* pass the last segment of a key, as text"),
    (lambda s: CohortFileName.from_key(7), "key .* int: pass it as text"),
    (lambda s: history_of(s).member_history(42), "key .* int: pass it as text"),
    (lambda s: AmplitudeCohorts("k", "s").members(42), "cohort_id .* int: pass it as text"),
    (lambda s: diff_members([], [], schema=SYNC.schema).rows("x"), "'exiting' or 'existing', not"),
    (lambda s: PartitionEngine(workers=True), "workers must be of type int, not True"),
]


@pytest.mark.parametrize(("call", "words"), WRONG_CALLS, ids=[w for _, w in WRONG_CALLS])
def test_a_wrong_call_is_refused_with_a_hint(call, words, storage):
    with pytest.raises(CohortS3Error, match=words) as caught:
        call(storage)
    assert "ann" not in str(caught.value)


HALF = "ann\ud800"
"""An id of which no file can contain a part: half of a surrogate pair has no bytes in UTF-8."""


@pytest.mark.parametrize(
    "call",
    [
        lambda s: history_of(s).member_history(HALF),
        lambda s: history_of(s).member_history("ann\0"),
        lambda s: plan_forget(s, history_of(s).stream, [HALF]),
        lambda s: forget(s, history_of(s).stream, ["42", HALF]),
        lambda s: sync_cohort(SYNC, [("42", HALF)], s),
        lambda s: sync_cohort(SYNC, select([("42", HALF)], hash=["user_id"], secret="x"), s),
        lambda s: select(MEMBERS, hash=["user_id"], secret=HALF),
        lambda s: AmplitudeCohorts(HALF, "secret"),
        lambda s: AmplitudeCohorts("key", HALF),
        lambda s: AmplitudeCohorts("key", "secret").members(HALF),
    ],
)
def test_a_text_that_no_file_can_contain_is_refused_and_not_shown(call, storage):
    with pytest.raises(CohortS3Error, match=r"half of a surrogate pair|contains a NUL") as caught:
        call(storage)
    assert "ann" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_diff_of_another_schema_is_refused_with_the_argument_to_pass(diff):
    with pytest.raises(UnusableDiffError, match=r"Pass schema=sync\.schema to diff_members"):
        plan_sync(WITH_PLAN, diff, synced_at=AT, previous=None)


def test_the_advice_of_a_message_works_when_it_is_followed(storage):
    frame = pd.DataFrame([ROW]).set_index("amplitude_id")
    naive = datetime(2026, 1, 23, 14, 5)  # noqa: DTZ001 -- the mistake
    sync_cohort(WITH_PLAN, frame.reset_index(), storage, synced_at=naive.astimezone())
    series = pd.DataFrame([ROW])["amplitude_id"]
    for members in (
        series.to_frame("amplitude_id"),
        [{"amplitude_id": "42"}],
        pd.DataFrame({"amplitude_id": ["42"]}),
        pd.DataFrame([ROW])[["amplitude_id", "user_id"]].to_numpy().tolist(),
        pl.DataFrame([ROW]).lazy().collect(),
    ):
        assert sync_cohort(SYNC, members, MemoryStorage(), synced_at=AT).record.members == 1
    plan = make_sync(user_properties=["plan", UserProperty("age", header="user age")])
    assert plan.schema.columns[2:] == ("plan", "user age")
