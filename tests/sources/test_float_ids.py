"""Amplitude ids that were floats once are refused when they are synced, from every source."""

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amplitude_cohort_s3 import (
    CohortStream,
    CohortSync,
    CsvSource,
    Destination,
    Member,
    MemberFile,
    MemoryStorage,
    RowSchema,
    adopt,
    diff_members,
    sync_cohort,
)
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.errors import InvalidCellError

FLOATS = ["7.0", "3e+17", "3E+17", "3.0000000001e+17", "7.", "-7.0", "3e17"]


def csv_file(ids, folder):
    path = folder / "members.csv"
    path.write_text("amplitude_id,user_id\n" + "".join(f"{one},u{one}\n" for one in ids))
    return MemberFile(path)


def table(ids, _=None):
    return pa.table({"amplitude_id": ids, "user_id": [f"u{one}" for one in ids]})


def parquet_file(ids, folder):
    pq.write_table(table(ids), folder / "members.parquet")
    return MemberFile(folder / "members.parquet")


SOURCES = {
    "rows": lambda ids, _: [(one, f"u{one}") for one in ids],
    "mappings": lambda ids, _: [{"amplitude_id": one, "user_id": f"u{one}"} for one in ids],
    "members": lambda ids, _: [Member(one, f"u{one}") for one in ids],
    "iterator": lambda ids, _: iter([(one, f"u{one}") for one in ids]),
    "pyarrow": table,
    "pandas": lambda ids, _: pd.DataFrame({"amplitude_id": ids, "user_id": [f"u{i}" for i in ids]}),
    "polars": lambda ids, _: pl.DataFrame({"amplitude_id": ids, "user_id": [f"u{i}" for i in ids]}),
    "CSV": csv_file,
    "Parquet": parquet_file,
}


def refused(source, schema=None, **options):
    with (
        pytest.raises(InvalidCellError, match="dtype=str") as caught,
        diff_members((), source, schema=schema or RowSchema(), **options),
    ):
        pass
    assert caught.value.column == "amplitude_id"
    return caught.value


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("key", ["amplitude_id", "user_id"])
def test_the_text_of_a_float_is_refused_with_its_row(source, key, tmp_path):
    error = refused(source(["11", "7.0", "12", "3e+17"], tmp_path), RowSchema(key=key))
    assert error.lines == ((3, 5) if error.unit == "line" else (2, 4))
    assert "7.0" not in str(error).replace("such as 7.0", "")
    assert (error.file is None) == (not isinstance(source(["1"], tmp_path), MemberFile))


@pytest.mark.parametrize("written", FLOATS)
def test_each_way_to_write_a_float_is_refused(written):
    assert refused([("11", ""), (written, "")]).lines == (2,)


def test_lost_digits_are_reported_before_the_duplicates_that_they_cause():
    refused([("3e+17", "ann"), ("3e+17", "bob")])


def test_floats_are_found_in_any_range_and_by_any_process():
    rows = [(str(10**11 + n), "") for n in range(60_000)]
    rows[40_000] = ("3e+11", "")
    for engine in (PartitionEngine(range_bytes=1 << 16), PartitionEngine(workers=2)):
        assert refused(rows, engine=engine).lines == (40_001,)


@pytest.mark.parametrize(
    "rows",
    [
        [("1", ""), (7.0, 1.5)],
        [("1", ""), ("2", 1.5), (3.0, "")],
        [{"amplitude_id": 1}, {"user_id": "ann", "amplitude_id": 7.0}],
        [{"amplitude_id": 1}, {"amplitude_id": "7", "amplitudeID": 7.0}],
        [("1", "")] * 5000 + [Member(7.0)],
    ],
)
def test_a_float_of_python_is_refused_with_its_row(rows):
    with (
        pytest.raises(InvalidCellError) as caught,
        diff_members((), rows, schema=RowSchema()),
    ):
        pass
    assert caught.value.lines == (5001 if len(rows) > 5000 else 2,)


@pytest.mark.parametrize("text", ["007", "12345678901234567890", "7a", "e7", "user.7", "1.2.3"])
def test_other_texts_are_ids(text):
    with diff_members((), [(text, "1e5")], schema=RowSchema()) as diff:
        assert diff.entering.rows == 1


def test_foreign_files_are_read_unchanged():
    storage, stream = MemoryStorage(), CohortStream(project_id=1, cohort_id="a")
    for word, lines in (("entering", ""), ("exiting", ""), ("existing", "7.0,gus\n")):
        key = f"1_a_2026-01-01T06:30_{word}.csv"
        storage.create(key, f"amplitudeID,userID\n{lines}".encode())
    assert list(adopt(storage, stream).members()) == [("7.0", "gus")]
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    result = sync_cohort(sync, [("7", "gus")], storage)
    assert result.record.members == 1


def test_a_frame_of_csv_is_a_source_too():
    data = b"user_id,amplitude_id\nann,3.0e+17\n"
    assert refused(CsvSource(chunks=lambda: iter([data]))).lines == (2,)
