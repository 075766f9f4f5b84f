"""Files as members: CSV and Parquet, local and from the web."""

import gzip
import http.server
import pickle
import re
import sys
import threading
import traceback
from functools import partial
from pathlib import Path

import pytest
from backports import zstd

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    MemberFile,
    MemoryStorage,
    RowSchema,
    diff_members,
    errors,
    plan_forget,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.diff import PartitionEngine

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

DATA = b"amplitudeID,userID\n1,ann\n"
SCHEMA = RowSchema(properties=("plan",))


def rows_of(file, schema=SCHEMA):
    with diff_members((), file, schema=schema) as diff:
        return list(diff.rows(DiffType.ENTERING))


PACKED = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
@pytest.mark.parametrize("packed", PACKED)
def test_the_first_bytes_and_not_the_name_decide_on_the_compression(tmp_path, name, packed):
    path = tmp_path / name
    path.write_bytes(PACKED[packed](DATA))
    source = MemberFile(path).csv_source(RowSchema())
    assert b"".join(source.chunks()) == DATA
    assert source.size == (len(DATA) if packed == "plain" else None)
    assert b"".join(MemberFile(path.as_uri()).csv_source(RowSchema()).chunks()) == DATA


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return path


def test_parquet_is_recognized_by_its_bytes_and_its_cells_become_text(tmp_path):
    path = write_parquet(
        tmp_path / "members.csv",
        amplitudeID=pa.array([2**64 - 1, 7], pa.uint64()),
        userID=[None, "x,y"],
        score=[1.5, 2.5],
        plan=pa.array(["pro", "free"]).dictionary_encode(),
    )
    with diff_members((), MemberFile(path), schema=SCHEMA) as diff:
        rows = list(diff.rows(DiffType.ENTERING))
        assert rows == [("18446744073709551615", "", "pro"), ("7", "x,y", "free")]
        assert diff.report.ignored_columns == ("score",)
        assert diff.origin == {"file": "members.csv"}


def test_parquet_is_read_in_batches_again_and_again(tmp_path):
    path = write_parquet(
        tmp_path / "members.parquet", amplitude_id=range(100_000), plan=["pro"] * 100_000
    )
    source = MemberFile(path).csv_source(SCHEMA)
    for _ in range(2):
        chunks = list(source.chunks())
        assert max(map(len, chunks)) < 1 << 20
        assert sum(1 for _ in SCHEMA.decode(chunks)) == 100_000


def test_the_rules_for_cells_of_data_frames_apply_to_parquet(tmp_path):
    path = write_parquet(tmp_path / "m.parquet", amplitude_id=[1.0], plan=[""])
    with pytest.raises(errors.InvalidCellError, match="lost digits"):
        rows_of(MemberFile(path))
    with pytest.raises(errors.MissingColumnsError, match="plan"):
        rows_of(MemberFile(write_parquet(path, amplitude_id=["1"])))
    path = write_parquet(path, amplitude_id=["1", None], plan=["", ""])
    with pytest.raises(errors.EmptyKeyError, match=r"\(row 2\)"):
        rows_of(MemberFile(path))


def test_a_damaged_parquet_file_is_our_error(tmp_path):
    path = write_parquet(tmp_path / "m.parquet", amplitude_id=["1"], plan=[""])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(errors.MemberFileError, match="that it is complete"):
        rows_of(MemberFile(path))


RENAMED = {"id": "amplitude_id", "tier": "plan"}


@pytest.mark.parametrize(
    "data",
    [
        b"id,user_id,tier,hat\n1,ann,pro,x\n",
        b'\xef\xbb\xbf"tier","id","user_id"\r\n"pro","1","ann"\r\n',
        b"\tid,\tuser_id,\ttier\n\t1,\tann,\tpro\n",
        b"\r\n\nid,user_id,tier\n1,ann,pro",
    ],
    ids=["plain", "quoted", "tabs", "blank lines"],
)
def test_columns_of_csv_are_renamed(tmp_path, data):
    path = tmp_path / "m.csv"
    path.write_bytes(data)
    assert rows_of(MemberFile(path, columns=RENAMED)) == [("1", "ann", "pro")]


def test_columns_of_parquet_are_renamed(tmp_path):
    path = write_parquet(tmp_path / "m.parquet", tier=["pro"], hat=["x"], id=[1])
    with diff_members((), MemberFile(path, columns=RENAMED), schema=SCHEMA) as diff:
        assert list(diff.rows(DiffType.ENTERING)) == [("1", "", "pro")]
        assert diff.report.ignored_columns == ("hat",)


def test_the_new_name_of_a_column_may_contain_any_character(tmp_path):
    schema = RowSchema(properties=('a "plan",\nor so',))
    path = tmp_path / "m.csv"
    path.write_bytes(b"amplitude_id,p\n1,x\n")
    assert rows_of(MemberFile(path, columns={"p": schema.properties[0]}), schema) == [
        ("1", "", "x")
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_error_names_the_columns_to_rename_that_are_absent(tmp_path, suffix):
    path = write_parquet(tmp_path / "m.parquet", amplitude_id=["1"], plan=[""])
    if suffix == "csv":
        path.write_bytes(DATA)
    with pytest.raises(errors.MissingColumnsError) as caught:
        rows_of(MemberFile(path, columns=RENAMED))
    assert caught.value.columns == ("id", "tier")
    assert "amplitude" in str(caught.value.found)


def test_an_error_about_a_file_without_a_header_shows_no_user(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b"1,ann,pro\n2,bob,free\n")
    with pytest.raises(errors.MissingColumnsError) as caught:
        rows_of(MemberFile(path, columns=RENAMED))
    assert "ann" not in str(caught.value)


def test_an_error_counts_lines_in_the_original_file(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b'\n\n"id\n",user_id,tier\n1,ann,pro\n2,bob\n')
    with pytest.raises(errors.MalformedCsvError, match="line 6"):
        rows_of(MemberFile(path, columns={"id\n": "amplitude_id", "tier": "plan"}))


@pytest.mark.parametrize(
    ("data", "rule", "cure"),
    [
        (b"", "the file is empty", "Write a header"),
        (b"amplitude_id;user_id\n1;ann\n", "no column is named", "commas .* not semicolons"),
        (b"amplitude_id\tuser_id\n1\tann\n", "no column is named", "commas .* not TABs"),
        (b"1,ann\n", "no column is named", r"Add a header.* columns= of MemberFile"),
        ("amplitude_id,plan\n1,größer\n".encode("cp1252"), "not UTF-8", "Save the file as UTF-8"),
        ("amplitude_id\n1\n".encode("utf-16"), "it is UTF-16", "Save it as UTF-8"),
        (b"PK\x03\x04\x14\0\x06", "it is a workbook", "Save it as CSV"),
        (b"amplitude_id,user_id\n1\n", "1 cell, but the header has 2", "Put quotes"),
    ],
)
def test_an_error_about_a_file_that_is_not_csv_says_what_to_do(data, rule, cure, tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(data)
    with pytest.raises(errors.MalformedCsvError, match=rule) as caught:
        rows_of(MemberFile(path), RowSchema())
    assert caught.value.file == str(path)
    assert f"of {str(path)!r}: " in str(caught.value)
    assert re.search(cure, caught.value.hint)
    assert pickle.loads(pickle.dumps(caught.value)).file == str(path)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_thread_of_the_engine_names_the_file(workers, tmp_path):
    path = tmp_path / "m.csv"
    rows = b"".join(b"%d,ann\n" % n for n in range(50_000))
    path.write_bytes(b"amplitude_id,user_id\n" + rows + b"1,2,3\n")
    with pytest.raises(errors.MalformedCsvError) as caught:
        diff_members(
            (),
            MemberFile(path),
            schema=RowSchema(),
            engine=PartitionEngine(workers=workers, batch_bytes=1 << 16),
        )
    assert (caught.value.file, caught.value.line) == (str(path), 50_002)


def test_an_error_names_a_file_in_the_storage_by_its_key():
    storage = MemoryStorage()
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    key = "1_a_2026-11-23T06:30_existing.csv"
    for diff_type in DiffType:
        data = b"amplitudeID,userID\n" + b"1\n" * (diff_type is DiffType.EXISTING)
        storage.create(f"1_a_2026-11-23T06:30_{diff_type}.csv", data)
    history = read_history(storage, sync.stream)
    for read in (
        lambda: list(history.rows(history[0], DiffType.EXISTING)),
        lambda: list(history.members_at(history[0])),
        lambda: plan_forget(storage, sync.stream, ["1"]),
        lambda: diff_members(history.members_at(history[0]), (), schema=sync.schema),
    ):
        with pytest.raises(errors.MalformedCsvError) as caught:
            read()
        assert caught.value.file == key


def test_an_empty_file_with_columns_to_rename_is_an_error(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b"\n\n")
    with pytest.raises(errors.MalformedCsvError, match="empty"):
        rows_of(MemberFile(path, columns=RENAMED))


def test_a_missing_file_raises_our_error_which_is_a_filenotfounderror(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        rows_of(MemberFile(tmp_path / "m.csv"))
    assert isinstance(caught.value, errors.MemberFileNotFoundError)
    with pytest.raises(errors.MemberFileError, match="Is a directory"):
        rows_of(MemberFile(tmp_path))


def test_an_error_names_the_missing_package(monkeypatch, tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(zstd.compress(DATA))
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(errors.MissingExtraError, match=r"amplitude_cohort_s3\[zstd\]"):
        rows_of(MemberFile(path))
    with pytest.raises(errors.MissingExtraError, match=r"smart_open\[gcs\]"):
        rows_of(MemberFile("gs://bucket/m.csv"))


def test_a_file_is_a_value():
    file = MemberFile("a/b.csv", columns=RENAMED)
    assert file == MemberFile(Path("a/b.csv"), columns=dict(RENAMED))
    assert pickle.loads(pickle.dumps(file)) == file


# --- Files in the web ------------------------------------------------------------------


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder. It ignores Range, as many servers do."""

    def do_GET(self):
        if "denied" in self.path:
            self.send_error(403)
        elif "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(DATA)
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def web(tmp_path):
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=tmp_path)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://ann:pass@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


SIGNED = "?X-Amz-Signature=5ec4e7"


def test_files_are_read_from_the_web(web, tmp_path):
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(DATA))
    file = MemberFile(f"{web}/m.csv.gz{SIGNED}")
    assert rows_of(file, RowSchema()) == [("1", "ann")]
    assert file.csv_source(SCHEMA).origin == {"file": "m.csv.gz"}
    write_parquet(tmp_path / "m.parquet", amplitude_id=range(3000), plan=["x" * 999] * 3000)
    assert len(rows_of(MemberFile(f"{web}/m.parquet{SIGNED}"))) == 3000


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("/none.csv", errors.MemberFileNotFoundError, "HTTP 404"),
        ("/denied.csv", errors.MemberFileError, "HTTP 403"),
        ("/cut.csv", errors.MemberFileError, "IncompleteRead"),
    ],
)
def test_an_error_about_a_url_shows_no_password_and_no_signature(web, path, kind, reason):
    file = MemberFile(web + path + SIGNED)
    with pytest.raises(kind) as caught:
        sync_cohort(
            CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a"),
            file,
            MemoryStorage(),
        )
    assert type(caught.value) is kind
    # With old versions of smart_open, requests has wrapped the error of urllib3.
    assert caught.value.reason in {reason, "ChunkedEncodingError"}
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(file)
    assert "127.0.0.1" in shown
    assert [secret for secret in ("ann", "pass@", "5ec4e7") if secret in shown] == []


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("s3://AKIA5:se/cr+et=@bucket/m.csv", "s3://bucket/m.csv"),
        ("s3://bucket/m.csv", "s3://bucket/m.csv"),
        ("s3://bucket/in/1_a_T06:30_x@y?z#.csv", "s3://bucket/in/1_a_T06:30_x@y?z#.csv"),
        ("file:///in/1_a_T06:30_x@y?z#.csv", "file:///in/1_a_T06:30_x@y?z#.csv"),
        ("https://ann:p?s@host/m.csv?sig=1#x", "https://host/m.csv"),
        ("https://acc.blob.core.windows.net/c/m.csv?sv=1&sig=s3", None),
        ("a@b?.csv", "a@b?.csv"),
    ],
)
def test_a_location_is_shown_without_secrets(location, shown):
    shown = shown or location.partition("?")[0]
    assert repr(MemberFile(location)) == f"MemberFile(location={shown!r})"
    assert MemberFile(location).csv_source(SCHEMA).origin == {"file": shown.rpartition("/")[2]}
