"""The files of a bucket that other programs wrote: read by their content, and named in errors."""

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from backports import zstd

from amplitude_cohort_s3 import (
    CohortStream,
    CohortSync,
    Destination,
    DiffType,
    LocalStorage,
    MemberFile,
    MemoryStorage,
    RowSchema,
    adopt,
    diff_members,
    errors,
    forget,
    plan_forget,
    read_history,
    sync_cohort,
)

ENTERING, EXITING, EXISTING = DiffType
START = datetime(2026, 1, 1, 6, 30, tzinfo=UTC)
STREAM = CohortStream(project_id=1, cohort_id="a", path="in")
HEAD = b"amplitudeID,userID\n"
ANN = HEAD + b"1,ann\n"

PACKED = {"plain": bytes, "gzip": gzip.compress, "Zstandard": zstd.compress}


def key_of(day, diff_type, time="T06:30", extension="csv"):
    return f"in/1_a_2026-01-{day:02}{time}_{diff_type.value}.{extension}"


def put(storage, day, *contents, **spelling):
    for diff_type, data in zip(DiffType, contents, strict=True):
        storage.create(key_of(day, diff_type, **spelling), data)


@pytest.mark.parametrize("extension", ["csv", "csv.gz"])
@pytest.mark.parametrize("kind", PACKED)
def test_the_first_bytes_and_not_the_key_decide_on_the_compression(kind, extension):
    pack, storage = PACKED[kind], MemoryStorage()
    put(storage, 1, pack(ANN), pack(HEAD), pack(ANN), extension=extension)
    history = read_history(storage, STREAM)
    assert list(history.members_at(history[0])) == [("1", "ann")]
    assert [event.row for event in history.events()] == [("1", "ann")]
    assert history.verify() == ()
    assert [file.rows for file in plan_forget(storage, STREAM, ["1"]).files] == [1, 1]
    assert adopt(storage, STREAM).record.members == 1
    sync = CohortSync(destination=Destination(name="d", path="in"), project_id=1, cohort_id="a")
    result = sync_cohort(sync, [("1", "ann"), ("2", "bob")], storage)
    assert result.record.files[ENTERING].rows == 1
    forget(storage, STREAM, ["1"])
    history = read_history(storage, STREAM)
    assert [list(history.members_at(sync)) for sync in history] == [[], [("2", "bob")]]
    assert history.verify() == ()


@pytest.mark.parametrize("time", ["T06_30", "T06_30_00Z", "T06-30", "T06:30:00"])
def test_a_bucket_whose_names_a_browser_saved_is_read_and_continued(time):
    storage = MemoryStorage()
    put(storage, 1, ANN, HEAD, ANN, time=time)
    history = read_history(storage, STREAM)
    assert [sync.synced_at for sync in history] == [START]
    adopt(storage, STREAM)
    sync = CohortSync(destination=Destination(name="d", path="in"), project_id=1, cohort_id="a")
    sync_cohort(sync, [("1", "ann")], storage, synced_at=START + timedelta(days=1))
    history = read_history(storage, STREAM)
    assert [sync.synced_at.day for sync in history] == [1, 2]
    assert "T06:30_" in history[1].files[EXISTING].key
    assert history.verify() == ()


@pytest.mark.parametrize("header", [b"amplitudeID,userID,\n", b"amplitudeID,,userID\n"])
def test_a_column_without_a_name_is_in_no_answer(header):
    cells = [b"1", b"ann"]
    cells.insert(header.split(b",").index(b"\n" if header.endswith(b",\n") else b""), b"x")
    storage, rows = MemoryStorage(), header + b",".join(cells) + b"\n"
    put(storage, 1, rows, header, rows)
    history = read_history(storage, STREAM)
    assert history.columns == ("amplitude_id", "user_id")
    assert list(history.members_at(history[0])) == [("1", "ann")]
    assert [stay.row for stay in history.intervals()] == [("1", "ann")]
    assert history.verify() == ()
    assert adopt(storage, STREAM).record.schema.properties == ()


def test_repeated_properties_that_differ_in_one_file_are_two_columns_of_the_history():
    header = b"amplitudeID,userID,plan,plan\n"
    storage = MemoryStorage()
    put(storage, 1, header + b"1,a,x,x\n", header, header + b"1,a,x,x\n")
    assert read_history(storage, STREAM).columns == ("amplitude_id", "user_id", "plan")
    put(storage, 2, header + b"2,b,x,y\n", header, header + b"1,a,x,x\n2,b,x,y\n")
    history = read_history(storage, STREAM)
    assert history.columns == ("amplitude_id", "user_id", "plan", "plan_2")
    # In the first sync the two columns were equal, and so one.
    assert [event.row for event in history.events()] == [("1", "a", "x", ""), ("2", "b", "x", "y")]


def test_verify_reads_equal_columns_with_one_name_as_adopt_does():
    header = b"amplitudeID,userID,plan,plan\n"
    storage = MemoryStorage()
    put(storage, 1, header + b"1,a,x,x\n", header, header + b"1,a,x,x\n")
    assert adopt(storage, STREAM).record.schema.properties == ("plan",)
    assert read_history(storage, STREAM).verify() == ()


# Bytes of one file among many, and the error.
FAULTS = {
    "nothing": (b"", errors.MalformedCsvError),
    "an old Mac": (b"amplitudeID,userID\r1,ann\r", errors.MalformedCsvError),
    "a web page": (b"<html></html>", errors.MalformedCsvError),
    "groups": (b"group_type,group_value\norg,acme\n", errors.MalformedCsvError),
    "cut off": (gzip.compress(ANN)[:-4], errors.CompressionError),
    "a CR in a cell": (HEAD + b"1,a\rb\n", errors.MalformedCsvError),
    "joined": (ANN + ANN, errors.MalformedCsvError),
    "ragged": (HEAD + b"1\n", errors.MalformedCsvError),
    "a NUL": (HEAD + b"1,\0\n", errors.MalformedCsvError),
    "Latin-1": (HEAD + "1,größe\n".encode("latin-1"), errors.MalformedCsvError),
}

QUESTIONS = {
    "events": lambda storage, history: list(history.events()),
    "intervals": lambda storage, history: list(history.intervals()),
    "churn": lambda storage, history: history.churn(),
    "member_history": lambda storage, history: history.member_history("1"),
    "to_arrow": lambda storage, history: history.events().to_arrow(),
    "rows": lambda storage, history: list(history.rows(history[16], EXITING)),
    "members_at": lambda storage, history: list(history.members_at(history[16])),
    "plan_forget": lambda storage, history: plan_forget(storage, STREAM, ["1"]),
}


@pytest.mark.parametrize("ask", QUESTIONS)
@pytest.mark.parametrize(("data", "kind"), FAULTS.values(), ids=FAULTS)
def test_the_error_about_one_file_among_many_names_it(data, kind, ask):
    storage = MemoryStorage()
    for day in range(1, 29):
        rows = ANN if day == 1 else HEAD
        put(storage, day, rows, data if day == 17 else HEAD, ANN)
    history = read_history(storage, STREAM)
    with pytest.raises(kind) as caught:
        QUESTIONS[ask](storage, history)
    assert caught.value.file == key_of(17, EXITING)
    assert repr(key_of(17, EXITING)) in str(caught.value)


@pytest.mark.parametrize("diff_type", DiffType)
@pytest.mark.parametrize(("data", "kind"), FAULTS.values(), ids=FAULTS)
def test_adopt_refuses_a_damaged_file_and_names_it(data, kind, diff_type):
    storage = MemoryStorage()
    contents = {ENTERING: ANN, EXITING: HEAD, EXISTING: ANN, diff_type: data}
    put(storage, 1, *contents.values())
    with pytest.raises(kind) as caught:
        adopt(storage, STREAM)
    assert caught.value.file == key_of(1, diff_type)


@pytest.mark.parametrize("routing_key", [None, "a b", "50%41#1", "x?y", "größe", "me@x.io"])
def test_the_url_of_a_local_file_can_be_opened(tmp_path, routing_key):
    duckdb, pd = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    sync = CohortSync(
        destination=Destination(name="d", path="a+b/c d"),
        project_id=1,
        cohort_id="a",
        routing_key=routing_key,
    )
    storage = LocalStorage(tmp_path / "a folder")
    sync_cohort(sync, [("1", "ann")], storage)
    info = read_history(storage, sync.stream)[0].files[EXISTING]
    with diff_members((), MemberFile(info.url), schema=RowSchema()) as diff:
        assert list(diff.rows(ENTERING)) == [("1", "ann")]
        assert diff.origin == {"file": info.url.rpartition("/")[2]}
    if routing_key != "x?y":  # for DuckDB, ? is any character; it has no escape
        assert duckdb.read_csv(info.url).fetchall() == [(1, "ann")]
    if routing_key in (None, "a b", "me@x.io"):  # pandas decodes % and ends the path at #
        assert pd.read_csv(info.url).to_numpy().tolist() == [[1, "ann"]]
    encoded = (storage.root / info.key).absolute().as_uri()
    for url in (encoded, encoded.replace("file://", "file:"), encoded.replace("//", "//localhost")):
        with diff_members((), MemberFile(url), schema=RowSchema()) as diff:
            assert diff.report.members_now == 1
