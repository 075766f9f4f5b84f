"""Members from several files, from chunks of tables, and from queries."""

import sqlite3
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    MemberFile,
    MemoryStorage,
    RowSchema,
    diff_members,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    CohortS3Error,
    ConfigurationError,
    DuplicateKeyError,
    EmptyKeyError,
    InvalidCellError,
    MalformedCsvError,
    MemberFileNotFoundError,
    MissingColumnsError,
)
from amplitude_cohort_s3.sources import MemberFiles, select

SCHEMA = RowSchema(properties=("plan",))
ROWS = [("1", "ann", "pro"), ("2", "bob", "free"), ("3", "cy", "")]


def rows_of(members, schema=SCHEMA):
    with diff_members((), members, schema=schema) as diff:
        return list(diff.rows("entering"))


def as_csv(folder):
    (folder / "members.csv").write_text("amplitudeID,amplitude_id,plan\n1,1,p\n2,,p\n")
    return MemberFile(folder / "members.csv")


def as_parquet(folder):
    pq.write_table(pa.Table.from_pylist(TWO_IDS), folder / "members.parquet")
    return MemberFile(folder / "members.parquet")


TWO_IDS = [
    {"amplitudeID": "1", "amplitude_id": 1, "plan": "p"},
    {"amplitudeID": "2", "amplitude_id": None, "plan": "p"},
]


@pytest.mark.parametrize(
    ("members_in", "where"),
    [
        (as_csv, "line 3 of '.*members.csv'"),
        (as_parquet, "row 2 of '.*members.parquet'"),
        (lambda folder: MemberFiles([as_parquet(folder).location]), "row 2 of '.*members.parquet'"),
        (lambda _: TWO_IDS, "row 2"),
        (lambda _: iter(TWO_IDS), "row 2"),
        (lambda _: select(TWO_IDS), "row 2"),
        (lambda _: select(pl.DataFrame(TWO_IDS)), "row 2"),
        (lambda _: pl.DataFrame(TWO_IDS), "row 2"),
        (lambda _: pd.DataFrame(TWO_IDS).astype({"amplitude_id": "Int64"}), "row 2"),
        (lambda _: pa.Table.from_pylist(TWO_IDS), "row 2"),
        (lambda _: [pa.Table.from_pylist(TWO_IDS)], "row 2"),
    ],
)
def test_an_id_with_two_different_values_is_an_error_in_every_source(tmp_path, members_in, where):
    rule = f"^{where}: the column amplitude_id occurs twice with different values"
    with pytest.raises(MalformedCsvError, match=rule):
        rows_of(members_in(tmp_path))


@pytest.fixture
def folder(tmp_path):
    """A folder in which each file has another format, and the columns in another order."""
    root = tmp_path / "unload"
    (root / "day=1").mkdir(parents=True)
    (root / "_temporary").mkdir()
    (root / "a.csv").write_text('plan,"userID",amplitudeID\r\npro,ann,1\r\n')
    frame = pl.DataFrame({"user_id": ["bob"], "amplitude_id": [2], "plan": ["free"]})
    frame.write_parquet(root / "day=1" / "b.parquet")
    (root / "day=1" / "c.csv").write_text("amplitude_id,user_id,plan,city\n3,cy,,rome")
    for name in ("_SUCCESS", ".c.csv.crc", "_temporary/d.csv"):
        (root / name).write_text("this is not a file of members")
    return root


def test_all_files_of_a_folder_are_read(folder):
    assert rows_of(MemberFiles(folder)) == ROWS
    assert rows_of(MemberFiles(f"{folder}/")) == ROWS


@pytest.mark.parametrize(
    ("pattern", "rows"),
    [
        ("*.csv", ROWS[:1]),
        ("*/*.csv", ROWS[2:]),
        ("**/*.parquet", ROWS[1:2]),
        ("**/[bc].*", ROWS[1:]),
        ("day=?/b*", ROWS[1:2]),
    ],
)
def test_a_pattern_selects_files(folder, pattern, rows):
    assert rows_of(MemberFiles(folder / pattern)) == rows


def test_locations_can_be_files_folders_and_patterns(folder):
    files = MemberFiles([folder / "day=1", folder / "*.csv"])
    assert rows_of(files) == ROWS
    assert [Path(file.location).name for file in files.files()] == ["b.parquet", "c.csv", "a.csv"]


def test_a_list_of_paths_or_files_is_several_files(folder):
    paths = [folder / "a.csv", folder / "day=1" / "b.parquet"]
    assert rows_of(paths) == ROWS[:2]
    assert rows_of(tuple(map(MemberFile, paths))) == ROWS[:2]
    assert rows_of(iter(paths)) == ROWS[:2]


def test_a_sync_reads_the_files_at_a_location_and_records_their_name(folder):
    sync = CohortSync(
        destination=Destination("d"), project_id=1, cohort_id="a", user_properties=["plan"]
    )
    storage = MemoryStorage()
    result = sync_cohort(sync, folder, storage)
    assert (result.record.members, result.ignored_columns) == (3, ("city",))
    assert result.record.source == {"files": "unload"}
    assert sync_cohort(sync, f"{folder}/*.csv", MemoryStorage()).record.members == 1


def test_columns_are_renamed_in_each_file(tmp_path):
    for n in (1, 2):
        (tmp_path / f"{n}.csv").write_text(f"id,tier\n{n},pro\n")
    files = MemberFiles(tmp_path, columns={"id": "amplitude_id", "tier": "plan"})
    assert rows_of(files) == [("1", "", "pro"), ("2", "", "pro")]


def test_a_large_file_among_several_is_read_in_blocks(tmp_path):
    for n in range(3):
        lines = "".join(f"{n}{i:06},u\n" for i in range(50_000))
        (tmp_path / f"{n}.csv").write_text("amplitude_id,user_id\n" + lines)
    assert len(rows_of(MemberFiles(tmp_path), RowSchema())) == 150_000


def test_an_error_about_a_file_names_it(folder):
    (folder / "day=1" / "c.csv").write_text("amplitude_id,user_id\n3,cy\n")
    with pytest.raises(MissingColumnsError, match=r"c\.csv"):
        rows_of(MemberFiles(folder))
    (folder / "day=1" / "c.csv").write_text('amplitude_id,user_id,plan\n3,"cy\n')
    with pytest.raises(MalformedCsvError, match=r"c\.csv.*line 2|line 2.*c\.csv"):
        rows_of(MemberFiles(folder))


def test_a_quote_that_is_never_closed_does_not_swallow_the_next_file(tmp_path):
    (tmp_path / "a.csv").write_text('amplitude_id,user_id\n1,"ann\n')
    (tmp_path / "b.csv").write_text('amplitude_id,user_id\n2,"bob"\n')
    with pytest.raises(MalformedCsvError, match="never closed"):
        rows_of(MemberFiles(tmp_path), RowSchema())


@pytest.mark.parametrize("location", ["empty/", "absent", "*.parquet", "_only"])
def test_a_location_without_files_is_an_error(tmp_path, location):
    (tmp_path / "empty").mkdir()
    (tmp_path / "_only").mkdir()
    (tmp_path / "_only" / "_SUCCESS").touch()
    with pytest.raises(MemberFileNotFoundError):
        rows_of(MemberFiles(tmp_path / location if location != "empty/" else f"{tmp_path}/empty/"))


@pytest.mark.parametrize("locations", [[], "https://host/*.csv?x", "gs://bucket/unload/"])
def test_locations_that_cannot_be_listed_are_refused(locations):
    if locations == "https://host/*.csv?x":  # In a web address these are no patterns.
        assert MemberFiles(locations).locations == (locations,)
        return
    with pytest.raises(ConfigurationError, match="MemberFiles"):
        MemberFiles(locations)


@pytest.mark.parametrize("locations", [7, [7], [None], ROWS])
def test_locations_of_other_types_are_refused(locations):
    with pytest.raises(ArgumentTypeError):
        MemberFiles(locations)


# --- Tables ------------------------------------------------------------------------------

COLUMNS = {
    "plan": ["pro", "free", None],
    "amplitude_id": ["1", "2", "3"],
    "user_id": ["ann", "bob", "cy"],
}

CHUNKS = {
    "pandas": lambda: [pd.DataFrame(COLUMNS).iloc[:2], pd.DataFrame(COLUMNS).iloc[2:]],
    "polars": lambda: [pl.DataFrame(COLUMNS)[:1], pl.DataFrame(COLUMNS)[1:]],
    "record batches": lambda: pa.table(COLUMNS).to_batches(max_chunksize=1),
    "different kinds": lambda: [pl.DataFrame(COLUMNS)[:1], pa.table(COLUMNS)[1:]],
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
def test_tables_in_chunks_are_one_table(chunks):
    assert rows_of(chunks()) == ROWS
    assert rows_of(iter(chunks())) == ROWS
    assert rows_of(chunk for chunk in chunks()) == ROWS


def test_chunks_are_read_one_at_a_time():
    alive = []

    def chunks():
        for n in range(5):
            alive.append(n)
            yield pd.DataFrame({"amplitude_id": [str(n)], "user_id": [""], "plan": [""]})

    source = chunks()
    assert len(rows_of(source)) == 5
    assert alive == [*range(5)]


def test_the_first_of_an_iterator_is_not_swallowed():
    """A generator is looked at before it is read, to know what it contains."""
    with pytest.raises(ArgumentTypeError, match="row 1 has the wrong type NoneType"):
        rows_of(iter([None, ROWS[0]]))

    def failing(number):
        yield from ROWS[:number]
        raise LookupError(number)

    for number in (0, 1):
        with pytest.raises(LookupError):
            rows_of(failing(number))
    assert rows_of(iter([])) == []


def test_frames_can_be_in_any_collection():
    frames = {"one": pd.DataFrame(COLUMNS)[:2], "two": pd.DataFrame(COLUMNS)[2:]}
    assert rows_of(frames.values()) == ROWS
    with pytest.raises(ArgumentTypeError, match="members has the wrong type dict"):
        rows_of(frames)

    class Users(pd.DataFrame):
        pass

    assert rows_of([Users(COLUMNS)]) == rows_of(Users(COLUMNS)) == ROWS


@pytest.mark.parametrize("other", [ROWS[0], {"user_id": "ann"}, "a.csv", None, [ROWS[0]]])
def test_tables_and_other_members_do_not_mix(other):
    with pytest.raises(ArgumentTypeError, match="each of members") as caught:
        rows_of([pd.DataFrame(COLUMNS), other])
    assert "ann" not in str(caught.value)
    with pytest.raises(CohortS3Error) as caught:
        rows_of([other, pd.DataFrame(COLUMNS)])
    assert "ann" not in str(caught.value)


def test_queries_can_be_parts_and_name_their_columns_in_errors(tmp_path):
    pq.write_table(pa.table(COLUMNS), tmp_path / "a.parquet")
    assert rows_of([ds.dataset(tmp_path)]) == ROWS
    other = RowSchema(properties=("tier",), key="tier")
    with pytest.raises(MissingColumnsError, match="'amplitude_id', 'user_id', 'plan'"):
        rows_of(ds.dataset(tmp_path), other)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(MissingColumnsError, match=r"The data has: 'x'"):
        rows_of(ds.dataset(tmp_path))


def test_a_dataset_of_pyarrow_is_read_with_its_columns_only(tmp_path):
    for n, row in enumerate(ROWS):
        table = pa.table({"plan": [row[2]], "x": [{"nested": 1}], "user_id": [row[1]]})
        table = table.append_column("amplitude_id", [[row[0]]])
        pq.write_table(table, tmp_path / f"{n}.parquet")
    assert rows_of(ds.dataset(tmp_path)) == ROWS


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.filterwarnings("ignore:fetch_record_batch:DeprecationWarning")  # in Ibis
def test_an_expression_of_ibis_is_read_in_batches_with_its_columns_only(tmp_path, kind):
    ibis = pytest.importorskip("ibis")
    if kind == "duckdb" and int(duckdb.__version__.partition(".")[0]) >= 2:
        pytest.skip("the DuckDB backend of Ibis works only with DuckDB below 2")
    backend = getattr(ibis, kind).connect(tmp_path / "users.db")
    execute = backend.con.execute
    execute("create table users (plan text, user_id text, amplitude_id integer)")
    execute(
        "insert into users with recursive n(n) as (values (0) union all select n + 1 from n "
        "where n < 69999) select 'p' || (n % 3), 'u' || n, n from n"
    )
    users = backend.table("users")
    chosen = users.filter(users.amplitude_id >= 10).mutate(x=users.plan.upper())
    found = rows_of(chosen)
    assert len(found) == 69_990  # more than a batch
    assert ("17", "u17", "p2") in found
    assert rows_of([chosen.limit(2), users.filter(users.amplitude_id == 3)])[-1][0] == "3"
    with pytest.raises(MissingColumnsError, match="The data has: 'amplitude_id', 'user_id', 'x'"):
        rows_of(chosen.drop("plan"))
    backend.disconnect()


@pytest.mark.parametrize("as_list", [False, True])
def test_an_error_that_shows_in_all_rows_together_names_the_file_and_the_row_in_it(
    tmp_path, as_list
):
    def members(*contents):
        for file, content in zip("abc", contents, strict=True):
            (tmp_path / f"{file}.csv").write_text(f"amplitude_id,plan\n{content}")
        paths = sorted(tmp_path.glob("*.csv"))
        return paths if as_list else MemberFiles(tmp_path)

    def refused(error, members):
        with pytest.raises(error) as caught:
            rows_of(members)
        found, text = caught.value, str(caught.value)
        where = list(zip(found.files, found.lines, strict=True))
        assert all(f"row {line} of {file!r}" in text for file, line in where)
        return [(Path(file).name, line) for file, line in where]

    twice = members('1,x\n2,"x\ny"\n3,x\n', "", "4,x\n2,other\n3,other\n")
    assert refused(DuplicateKeyError, twice) == [("c.csv", 2), ("c.csv", 3)]
    without = members("1,x\n,x\n", "2,x\n", ",x\n,x\n3,x\n")
    assert refused(EmptyKeyError, without) == [("a.csv", 2), ("c.csv", 1), ("c.csv", 2)]
    floats = members("1,x\n", "3e+17,x\n", "2,x\n")
    assert refused(InvalidCellError, floats) == [("b.csv", 1)]


def test_rows_of_several_frames_are_counted_over_all():
    frames = [pl.DataFrame({"amplitude_id": ids, "plan": ["x"] * 2}) for ids in ([1, 2], [None, 3])]
    with pytest.raises(EmptyKeyError) as caught:
        rows_of(frames)
    assert (caught.value.lines, caught.value.files) == ((3,), ())


@pytest.fixture
def database():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table users (plan, user_id, amplitude_id)")
    connection.executemany(
        "insert into users values (?, ?, ?)", [(plan, user, id_) for id_, user, plan in ROWS]
    )
    yield connection
    connection.close()


def as_mapping(cursor, row):
    return {column[0]: cell for column, cell in zip(cursor.description, row, strict=True)}


@pytest.mark.parametrize("factory", [None, sqlite3.Row, as_mapping])
def test_the_columns_of_a_cursor_have_names(database, factory):
    database.row_factory = factory
    assert rows_of(database.execute("select * from users")) == ROWS


def test_a_cursor_without_a_property_is_refused(database):
    with pytest.raises(MissingColumnsError, match="plan"):
        rows_of(database.execute("select user_id, amplitude_id, 1 from users"))


def test_a_cursor_without_a_result_is_not_a_cohort_without_members(database):
    for cursor in (database.cursor(), database.execute("delete from users")):
        with pytest.raises(ArgumentTypeError, match="execute a query that returns rows first"):
            rows_of(cursor)


def test_columns_of_a_cursor_may_repeat_only_with_equal_ids(database):
    query = "select amplitude_id, {} as amplitudeID, plan, user_id from users"
    assert rows_of(database.execute(query.format("amplitude_id"))) == ROWS
    with pytest.raises(MalformedCsvError, match="twice with different values"):
        rows_of(database.execute(query.format("amplitude_id + 1")))
    with pytest.raises(MalformedCsvError, match="'plan' occurs more than once"):
        rows_of(database.execute("select amplitude_id, plan, plan from users"))


def test_an_empty_cursor_has_no_members(database):
    assert rows_of(database.execute("select * from users where false")) == []


def test_results_of_sqlalchemy_are_streamed(tmp_path):
    engine = sa.create_engine("sqlite://")
    query = sa.text(
        "select 'pro' as plan, 'ann' as user_id, '1' as amplitude_id "
        "union all select 'free', 'bob', '2' union all select null, 'cy', '3'"
    )
    with engine.connect() as connection:
        assert rows_of(connection.execute(query)) == ROWS
        assert rows_of(connection.execute(query).mappings()) == ROWS
        assert rows_of(connection.execution_options(yield_per=1).execute(query)) == ROWS
    engine.dispose()


def test_a_relation_of_duckdb_is_streamed():
    relation = duckdb.sql(
        "select unnest(['pro', 'free', null]) plan, unnest([1, 2, 3]) amplitude_id, "
        "unnest(['ann', 'bob', 'cy']) user_id"
    )
    assert rows_of(relation) == ROWS
