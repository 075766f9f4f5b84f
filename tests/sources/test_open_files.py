"""Files that are open already as members, and the parameters of smart_open."""

import io
import os
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    MemberFile,
    MemoryStorage,
    RowSchema,
    diff_members,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    ConfigurationError,
    DuplicateKeyError,
    EmptyKeyError,
    MemberFileError,
)
from amplitude_cohort_s3.sources import MemberFiles

DATA = b"amplitude_id,user_id,age\n1,ann,7\n"
ROWS = [("1", "ann")]


def parquet():
    file = io.BytesIO()
    pq.write_table(pa.table({"amplitude_id": [1], "user_id": ["ann"], "age": [[7]]}), file)
    return file.getvalue()


each_format = pytest.mark.parametrize("data", [DATA, parquet()], ids=["csv", "parquet"])


def entering(members):
    with diff_members((), members, schema=RowSchema()) as diff:
        assert diff.report.ignored_columns == ("age",)
        return list(diff.rows(DiffType.ENTERING))


@each_format
@pytest.mark.parametrize("prefix", [b"", b"other bytes"])
def test_an_open_file_is_read_from_its_position_again_and_again_and_not_closed(data, prefix):
    opened = io.BytesIO(prefix + data)
    opened.seek(len(prefix))
    file = MemberFile(opened)
    assert entering(file) == entering(file) == ROWS
    assert not opened.closed


@each_format
def test_a_pipe_is_read_once(data):
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        assert entering(MemberFile(pipe)) == ROWS


@each_format
@pytest.mark.parametrize("member_file", [MemberFile, MemberFiles])
def test_the_path_of_a_pipe_is_read_once_and_kept_for_an_error(data, member_file, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(path.write_bytes, data)
        assert entering(member_file(path)) == ROWS
        writing.result()
        writing = pool.submit(path.write_bytes, DATA + b"1,bob,7\n")
        with pytest.raises(DuplicateKeyError, match=r"with different data \((row 2|line 3)"):
            entering(member_file(path))
        writing.result()


def test_a_stream_that_returns_a_byte_at_a_time_is_read_to_its_end():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1))

    assert entering(MemberFile(Slow(parquet()))) == ROWS


def test_a_stream_without_bytes_yet_does_not_look_like_its_end():
    class NotReady(io.BytesIO):
        def read(self, size=-1):
            return super().read(size and 30) or (None if size else b"")

    with pytest.raises(MemberFileError, match="BlockingIOError"):
        entering(MemberFile(NotReady(DATA)))


def test_the_record_and_errors_have_the_name_of_the_file(tmp_path):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in/users.csv", DATA)
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    with zipfile.ZipFile(path) as archive, archive.open("in/users.csv") as member:
        result = sync_cohort(sync, MemberFile(member), MemoryStorage())
    assert result.record.source == {"file": "users.csv"}
    with tempfile.TemporaryFile() as nameless:  # its name is a number
        nameless.write(DATA)
        nameless.seek(0)
        with diff_members((), MemberFile(nameless), schema=RowSchema()) as diff:
            assert diff.origin == {"file": "<BufferedRandom>"}


def test_the_row_of_a_fault_is_found_by_a_second_reading():
    with pytest.raises(EmptyKeyError) as caught:
        entering(MemberFile(io.BytesIO(DATA + b",bob,8\n")))
    assert caught.value.lines == (3,)


def test_a_file_that_is_not_readable_bytes_is_refused_at_once(tmp_path):
    with pytest.raises(ArgumentTypeError, match="binary mode"):
        MemberFile(io.StringIO("amplitude_id\n"))
    closed = io.BytesIO(DATA)
    closed.close()
    with pytest.raises(ConfigurationError, match="closed"):
        MemberFile(closed)
    with (tmp_path / "m").open("wb") as written, pytest.raises(ConfigurationError, match="'rb'"):
        MemberFile(written)


def test_a_file_that_was_closed_before_the_sync_is_our_error():
    opened = io.BytesIO(DATA)
    file = MemberFile(opened)
    opened.close()
    with pytest.raises(MemberFileError, match="it is closed"):
        entering(file)


def test_an_open_file_as_members_is_refused_with_a_hint():
    with pytest.raises(ArgumentTypeError, match=r"MemberFile\(file\)"):
        entering(io.BytesIO(DATA))


def test_parameters_of_smart_open_are_for_uris_and_are_not_shown(tmp_path):
    file = MemberFile("s3://bucket/m.csv", transport_params={"client": "secret"})
    assert repr(file) == "MemberFile(location='s3://bucket/m.csv')"
    for local in (tmp_path / "m.csv", io.BytesIO(DATA)):
        with pytest.raises(ConfigurationError, match="is a local file"):
            MemberFile(local, transport_params={"client": "secret"})
    with pytest.raises(ArgumentTypeError, match="client"):
        MemberFile("s3://bucket/m.csv", transport_params="client")
