"""Syncs with Spark: the files of sync_cohort, even if tasks or the driver fail."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import attrs
import pytest
from attrs import evolve
from spark_cohorts import (
    HOUR,
    NASTY,
    START,
    FailsOnce,
    HoldsOneTask,
    a_sync,
    digests,
    files,
    frame,
    rows,
)
from standalone import cluster

from amplitude_cohort_s3 import (
    DiffType,
    ExistingMeaning,
    Guard,
    LocalStorage,
    MemoryStorage,
    RowSchema,
    UserProperty,
    diff_members,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.distributed import diff_frames, sync_frames
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    DuplicateKeyError,
    EmptyKeyError,
    InvalidCellError,
    MalformedCsvError,
    MassExitError,
    ObjectChangedError,
    ObjectTooLargeError,
    SyncTimeTakenError,
)

pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore")]

ROWS = int(os.environ.get("SPARK_ROWS", "20000"))


def with_sync_cohort(sync, *cohorts, storage=None):
    storage = storage or MemoryStorage()
    for number, (first, last) in enumerate(cohorts):
        when = START + number * HOUR
        sync_cohort(sync, rows(first, last), storage, synced_at=when, clock=lambda t=when: t)
    return storage


def with_spark(sync, members, storage, number, **options):
    when = START + number * HOUR
    return sync_frames(sync, members, storage, synced_at=when, clock=lambda: when, **options)


def staged(storage):
    return [info.key for info in storage().list_objects("_staging/")]


def test_the_files_are_those_of_sync_cohort(spark, bucket, tmp_path):
    storage, sync = bucket(), a_sync()
    cohorts = [(0, ROWS), (ROWS // 10, ROWS + ROWS // 10)]
    for number, (first, last) in enumerate(cohorts):
        result = with_spark(sync, frame(spark, first, last), storage, number, part_bytes=ROWS * 6)
    expected = with_sync_cohort(sync, *cohorts, storage=LocalStorage(tmp_path))
    assert digests(storage()) == digests(expected)
    existing = result.record.files[DiffType.EXISTING]
    assert len(existing.parts) > 3
    listed = "".join(f"{part.size} {part.sha256}\n" for part in existing.parts)
    assert existing.sha256 == hashlib.sha256(listed.encode()).hexdigest()
    assert staged(storage) == []
    assert read_history(storage(), sync.stream).verify() == ()
    assert "Uploads" not in storage().client.list_multipart_uploads(Bucket=storage().bucket)
    # A repeated sync is recognised, also with parts of another size; another one is refused.
    again = with_spark(sync, frame(spark, *cohorts[1]), storage, 1, part_bytes=ROWS * 20)
    assert again.already_done
    assert again.record == result.record
    with pytest.raises(SyncTimeTakenError):
        with_spark(sync, frame(spark, *cohorts[0]), storage, 1)
    assert staged(storage) == []


@pytest.mark.parametrize("existing", list(ExistingMeaning))
def test_sync_frames_and_sync_cohort_continue_each_other_under_every_meaning(
    spark, tmp_path, existing
):
    sync, storage = a_sync(existing), partial(LocalStorage, tmp_path / "root")
    cohorts = [(0, 300), (30, 330), (60, 360), (0, 360)]
    sync_cohort(sync, rows(*cohorts[0]), storage(), synced_at=START, clock=lambda: START)
    with_spark(sync, frame(spark, *cohorts[1]), storage, 1, part_bytes=3000)
    with_spark(sync, frame(spark, *cohorts[2]), storage, 2, part_bytes=2000)
    last = START + 3 * HOUR
    sync_cohort(sync, rows(*cohorts[3]), storage(), synced_at=last, clock=lambda: last)
    assert files(storage()) == files(with_sync_cohort(sync, *cohorts))
    assert read_history(storage(), sync.stream).verify() == ()


@pytest.mark.parametrize("existing", list(ExistingMeaning))
def test_the_result_equals_that_of_sync_cohort(spark, tmp_path, existing):
    sync = evolve(
        a_sync(existing),
        destination=evolve(a_sync(existing).destination, match_by="user_id"),
        user_properties=[UserProperty("plan", header="Plan name"), UserProperty("city")],
    )
    storage, expected = partial(LocalStorage, tmp_path / "root"), MemoryStorage()
    columns = ("amplitude_id", "user_id", "plan", "city", "hat")
    first = [(str(n), f"u{n}" if n % 3 else "", "pro" if n % 2 else "", "", "x") for n in range(60)]
    for number, cells in enumerate([first, [*first[10:], *first[20:25]]]):
        members = spark.createDataFrame(cells, [*columns])
        when, events, seen = START + number * HOUR, [], []
        found = with_spark(sync, members, storage, number, observer=seen.append)
        mappings = [dict(zip(columns, row, strict=True)) for row in cells]
        result = sync_cohort(
            sync, mappings, expected, synced_at=when, clock=lambda t=when: t, observer=events.append
        )
        assert [(e.kind, e.facts) for e in seen] == [(e.kind, e.facts) for e in events]
        assert found.notes == result.notes
        assert found.record.filled == result.record.filled
        assert found.record.filled["city"] == 0 < found.record.filled["Plan name"]


def test_the_name_and_the_header_may_not_have_different_values(spark, tmp_path):
    sync = evolve(a_sync(), user_properties=[UserProperty("plan", header="Plan name")])
    storage = partial(LocalStorage, tmp_path / "root")
    columns = ["amplitude_id", "user_id", "plan", "Plan name"]
    with pytest.raises(MalformedCsvError, match="'plan'"):
        with_spark(sync, spark.createDataFrame([("1", "", "a", "b")], columns), storage, 0)
    equal = spark.createDataFrame([("1", "", "a", "a")], columns)
    assert with_spark(sync, equal, storage, 0).record.filled == {"Plan name": 1}


@pytest.mark.parametrize("key", ["amplitude_id", "user_id"])
def test_ids_that_were_floats_are_refused(spark, tmp_path, key):
    sync = evolve(a_sync(), destination=evolve(a_sync().destination, match_by=key))
    rows_ = [("1", "a", "", "", ""), ("3e+17", "b", "", "", "")]
    columns = ["amplitude_id", "user_id", *sync.schema.properties]
    members = spark.createDataFrame([row[: len(columns)] for row in rows_], columns)
    with pytest.raises(InvalidCellError, match="read the ids as text"):
        with_spark(sync, members, partial(LocalStorage, tmp_path / "root"), 0)


def test_a_failed_task_is_repeated_and_its_part_is_deleted(spark, tmp_path):
    storage = FailsOnce(tmp_path / "root")
    result = with_spark(a_sync(), frame(spark, 0, 2000), storage, 0, part_bytes=20_000)
    assert (tmp_path / "root.first").exists()
    assert files(storage()) == files(with_sync_cohort(a_sync(), (0, 2000)))
    assert result.record.members == 2000
    assert staged(storage) == []


def run(driver, *arguments):
    script = Path(__file__).with_name("spark_cohorts.py")
    command = [sys.executable, script, driver, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_killed_driver_leaves_nothing_visible_and_a_rerun_completes(spark, tmp_path):
    root, sync = tmp_path / "root", a_sync()
    storage = partial(LocalStorage, root)
    with_spark(sync, frame(spark, 0, 1000), storage, 0)
    before = files(storage())
    child = run("killed_driver", root)
    assert child.returncode == -9, child.stderr[-2000:]
    assert files(storage()) == before
    assert len(staged(storage)) == 3
    assert read_head(storage(), sync.stream).record.synced_at == START
    with_spark(sync, frame(spark, 100, 1100), storage, 1)
    assert files(storage()) == files(with_sync_cohort(sync, (0, 1000), (100, 1100)))


def test_only_one_of_two_attempts_at_a_task_is_used(spark, tmp_path):
    storage = HoldsOneTask(tmp_path / "root")
    with cluster(tmp_path) as master:
        child = run("speculating_driver", storage.root, master)
    assert child.returncode == 0, child.stderr[-2000:]
    keys = {storage.mark(f"attempt-{number}").read_text() for number in (0, 1)}
    assert len(keys) == 2
    assert {key.rpartition("-attempt-")[0][-14:] for key in keys} == {"entering-00000"}
    assert files(storage()) == files(with_sync_cohort(a_sync(), (0, 3000)))
    assert staged(storage) == []
    assert read_history(storage(), a_sync().stream).verify() == ()


def test_a_damaged_previous_file_raises_the_error_of_sync_cohort(spark, tmp_path):
    storage, sync = partial(LocalStorage, tmp_path / "root"), a_sync()
    result = with_spark(sync, frame(spark, 0, 1000), storage, 0, part_bytes=5000)
    path = tmp_path / "root" / result.record.files[DiffType.EXISTING].key
    path.write_bytes(path.read_bytes().replace(b"user ", b"usem ", 1))
    with pytest.raises(ObjectChangedError) as caught:
        with_spark(sync, frame(spark, 0, 1001), storage, 1)
    assert caught.value.key == result.record.files[DiffType.EXISTING].key
    path.write_bytes(path.read_bytes().replace(b"usem ", b"user ", 1))
    assert with_spark(sync, frame(spark, 0, 1001), storage, 1).record.members == 1001


TABLES = [
    ([], []),
    ([("1", "a"), ("2", "b"), ("3", "c")], [("2", "b"), ("3", "C"), ("4", "d"), ("4", "d")]),
    ([(plan, "before") for plan in NASTY if plan], [(plan, "now") for plan in NASTY[3:] if plan]),
]


@pytest.mark.parametrize("existing", list(ExistingMeaning))
@pytest.mark.parametrize(("previous", "current"), TABLES, ids=["nobody", "changes", "texts"])
def test_the_diff_of_frames_is_that_of_the_default_engine(spark, existing, previous, current):
    def make(rows):
        return spark.createDataFrame(rows, "amplitude_id string, user_id string")

    def rows_of(frame):
        return sorted(map(tuple, frame.collect()))

    diff = diff_frames(make(previous), make(current), on="amplitude_id", existing=existing)
    with diff_members(previous, current, schema=RowSchema(), existing=existing) as expected:
        for diff_type in DiffType:
            assert rows_of(getattr(diff, diff_type.value)) == sorted(expected.rows(diff_type))
        report = expected.report
    assert rows_of(diff.current) == sorted(set(current))
    assert (diff.members_before, diff.members_now) == (report.members_before, report.members_now)
    assert (diff.skipped, diff.collapsed) == (report.skipped, report.collapsed)


def test_a_query_is_evaluated_once_and_its_keys_are_checked(spark):
    columns = "amplitude_id string, user_id string"
    nobody = spark.createDataFrame([], columns)
    drawn = spark.range(9).selectExpr("uuid() amplitude_id", "'' user_id")
    diff = diff_frames(nobody, drawn, on="amplitude_id")
    assert isinstance(diff.entering, type(drawn))
    entering, again, existing = (
        sorted(frame.collect()) for frame in (diff.entering, diff.entering, diff.existing)
    )
    assert entering == again == existing
    some = spark.createDataFrame([("1", "a"), (None, "b"), ("", None)], columns)
    with pytest.raises(EmptyKeyError) as caught:
        diff_frames(nobody, some, on="amplitude_id")
    assert caught.value.count == 2
    diff = diff_frames(nobody, some, on="user_id")
    assert (diff.members_now, diff.skipped) == (2, 1)
    twice = spark.createDataFrame([("1", "a"), ("1", "b")], columns)
    with pytest.raises(DuplicateKeyError):
        diff_frames(nobody, twice, on="amplitude_id")


def test_a_refused_sync_writes_nothing(spark, tmp_path):
    storage, sync = partial(LocalStorage, tmp_path / "root"), a_sync()
    good = frame(spark, 0, 10)

    def open_limited(max_bytes):
        limited = storage()
        limited.__class__ = type("Limited", (LocalStorage,), {"max_object_bytes": max_bytes})
        return limited

    cases = [
        (ObjectTooLargeError, good, {"storage": partial(open_limited, 100)}),
        (ObjectTooLargeError, frame(spark, 0, 2000), {"part_bytes": 4}),
        (ConfigurationError, good, {"staging": "cohorts/1_a_x"}),
        (ConfigurationError, good, {"sync": a_sync(compression="gzip")}),
        (InvalidCellError, good.withColumn("plan", good["amplitudeID"].cast("double")), {}),
        (InvalidCellError, good.replace("a,b", "a\0b"), {}),
        (DuplicateKeyError, good.union(good.replace("a,b", "x")), {}),
    ]
    for error, members, changes in cases:
        arguments = {"sync": sync, "storage": storage} | changes
        with pytest.raises(error):
            with_spark(members=members, number=0, **arguments)
    assert list(storage().list_objects()) == []
    with_spark(sync, good, storage, 0)
    with pytest.raises(MassExitError):
        with_spark(sync, frame(spark, 0, 5), storage, 1, guard=Guard(max_exits=4))
    assert len(files(storage())) == 3
    assert staged(storage) == []


def test_names_of_properties_may_contain_dots_backquotes_and_spaces(spark, tmp_path):
    dotted = UserProperty("a.b")
    sync = attrs.evolve(
        a_sync(match_by=dotted), user_properties=(dotted, UserProperty("c`d"), UserProperty("e f"))
    )
    columns = "amplitudeID string, userID string, `a.b` string, `c``d` string, `e f` string"
    members = [(str(n), "", f"k{n}", "x", "y") for n in range(20)]
    storage, expected = partial(LocalStorage, tmp_path / "root"), MemoryStorage()
    for number, some in enumerate([members[:15], members[5:]]):
        when = START + number * HOUR
        with_spark(sync, spark.createDataFrame(some, columns), storage, number)
        sync_cohort(sync, some, expected, synced_at=when, clock=lambda t=when: t)
    assert files(storage()) == files(expected)
    twice = [*members, ("99", "", "k1", "x", "y")]
    with pytest.raises(DuplicateKeyError) as caught:
        with_spark(sync, spark.createDataFrame(twice, columns), storage, 2)
    assert caught.value.column == "a.b"


def test_spark_reads_the_files_with_the_documented_options(spark, tmp_path):
    storage = partial(LocalStorage, tmp_path / "root")
    result = with_spark(a_sync(), frame(spark, 0, 100), storage, 0)
    # Hadoop refuses colons in local files. For stores it accepts them in exact names.
    path = tmp_path / "existing.csv"
    (tmp_path / "root" / result.record.files[DiffType.EXISTING].key).rename(path)
    options = {"header": True, "multiLine": True, "quote": '"', "escape": '"', "mode": "FAILFAST"}
    found = spark.read.options(**options).csv(str(path)).na.fill("").collect()
    assert sorted(map(tuple, found)) == sorted(rows(0, 100))


def test_columns_that_repeat_or_differ_in_letter_case_matter_only_if_the_sync_has_them(
    spark, tmp_path
):
    storage = partial(LocalStorage, tmp_path)
    query = "select '1' amplitude_id, 'u' user_id, 'pro' plan, 1 x, array(2) x, 'n' PLAN"
    result = with_spark(a_sync(), spark.sql(query), storage, 0)
    assert set(result.ignored_columns) == {"PLAN", "x"}
    (content,) = {data for key, data in files(storage()).items() if "existing" in key}
    assert content.endswith(b"\n1,u,pro\n")
    with pytest.raises(MalformedCsvError, match="the column 'plan' occurs more than once"):
        with_spark(a_sync(), spark.sql("select '1' amplitude_id, 1 plan, 2 plan"), storage, 1)
    query = "select '1' amplitude_id, '1' amplitudeID, 'p' plan"
    with pytest.raises(MalformedCsvError, match="the column 'amplitude_id' occurs"):
        with_spark(a_sync(), spark.sql(query), storage, 1)
