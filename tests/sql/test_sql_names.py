"""Names of files and columns: each is exactly one, or an error before anything is loaded."""

from string import ascii_letters, digits

import duckdb
import pytest
from attrs import evolve
from warehouse_files import history_in, own_history, put, with_plain_urls

from amplitude_cohort_s3.errors import ConfigurationError
from amplitude_cohort_s3.sql import manifests, statements

WILD = ["v?p", "*", "**", "[ab]", "{vip,b}", "b%c", "_", "it's", "a[", "]", "!", "a ?[*]"]


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """A folder with a stream for each name, and others that the names would match."""
    folder = tmp_path_factory.mktemp("streams")
    for key in ("vip", "a", "b", "bxc", "xx"):
        own_history(folder, [("other", "", "", "")], key=key)
    return folder


@pytest.mark.parametrize("key", WILD)
def test_a_routing_key_is_not_a_pattern_for_duckdb(key, streams):
    history = own_history(streams, [("1", "ann", "", "")], key=key)
    with duckdb.connect() as connection:
        for text in statements(history, "duckdb", table="files"):
            connection.execute(text)
        for text in statements(history, "duckdb", sync=history[0]):
            connection.execute(text)
        found = connection.execute("SELECT DISTINCT amplitude_id FROM files").fetchall()
        assert found == connection.execute("SELECT amplitude_id FROM cohort_members").fetchall()
        assert found == [("1",)]


@pytest.mark.parametrize("path", ["w?", "[w]", "k=v", "a b/{c}"])
def test_a_folder_is_not_a_pattern_for_duckdb_and_adds_no_column(path, tmp_path):
    for other in ("wx", "w", "a b/c"):
        own_history(tmp_path, [("other", "", "", "")], path=other)
    history = own_history(tmp_path, [("1", "ann", "", "")], path=path)
    with duckdb.connect() as connection:
        for text in statements(history, "duckdb", sync=history[0]):
            connection.execute(text)
        assert connection.execute("FROM cohort_members").fetchall() == [("1", "ann", "", "")]
        for text in statements(history, "duckdb", table="files"):
            connection.execute(text)
        found = connection.execute("SELECT DISTINCT * EXCLUDE (synced_at, diff_type) FROM files")
        assert found.fetchall() == [("1", "ann", "", "")]


@pytest.mark.parametrize("key", ["a\\?", "\\[a]"])
def test_a_file_that_duckdb_cant_name_is_an_error(key, tmp_path):
    """A backslash separates folders in a pattern of DuckDB, and can't be escaped."""
    history = own_history(tmp_path, [("1", "ann", "", "")], key=key)
    with pytest.raises(ConfigurationError, match="DuckDB can't read"):
        statements(history, "duckdb")


def test_a_question_mark_in_an_address_is_an_error_for_duckdb(tmp_path):
    """DuckDB reads the text after it as parameters, such as a secret key."""
    history = in_s3(own_history(tmp_path, [("1", "ann", "", "")], key="a?s3_region=x"))
    with pytest.raises(ConfigurationError, match="DuckDB can't read"):
        statements(history, "duckdb")
    history = in_s3(own_history(tmp_path, [("1", "ann", "", "")], key="*[a]"))
    (view,) = statements(history, "duckdb")
    assert "read_csv(['s3://bucket" in view
    assert "_[*][[]a].csv']" in view


def in_s3(history):
    def moved(info):
        return evolve(info, url=f"s3://bucket/{info.key}")

    syncs = [
        evolve(sync, files={t: moved(info) for t, info in sync.files.items()}) for sync in history
    ]
    return evolve(history, syncs=tuple(syncs))


def test_a_wildcard_of_bigquery_is_an_error(tmp_path):
    history = with_plain_urls(own_history(tmp_path, [("1", "ann", "", "")], key="*"))
    with pytest.raises(ConfigurationError, match="wildcard"):
        statements(history, "bigquery")


def test_names_of_manifests_need_no_quotes_and_differ(tmp_path):
    names = set()
    for key in ("it's", "a b", "a/b".replace("/", "%2F"), "a=2Fb", "é", "a\\b", "*"):
        history = with_plain_urls(own_history(tmp_path, [("1", "", "", "")], key=key))
        found = manifests(history)
        names |= found.keys()
        for name in found:
            assert set(name) <= set(f"{ascii_letters}{digits}._~=-")
            assert any(f"/{name}'" in text for text in statements(history, "redshift"))
    assert len(names) == 7


# --- Columns -------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["athena", "bigquery", "duckdb", "postgresql", "snowflake"])
@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("amplitudeID,userID,plan,plan", "repeats the column 'plan'"),
        ("amplitudeID,userID,plan,amplitude_id", "repeats the column 'amplitude_id'"),
        ("amplitudeID,userID,plan,", "column 4 of its header has no name"),
        (",amplitudeID,userID,plan", "column 1 of its header has no name"),
        ("\tamplitudeID,\tuserID,\tplan,\tnote", "begins with a TAB"),
        ("\r\n\r\namplitudeID,userID,plan,note", "its header is in line 3"),
    ],
)
def test_a_file_that_cant_be_loaded_by_position_is_an_error(dialect, header, message, tmp_path):
    data = f"{header}\r\n1,1,1,1\r\n".encode()
    put(tmp_path, 0, data, data, data)
    with pytest.raises(ConfigurationError, match=message) as caught:
        statements(history_in(tmp_path), dialect)
    assert "1_a_2026-11-23T14-00_" in str(caught.value)


def test_a_file_without_the_column_to_match_by_is_an_error(tmp_path):
    data = b"amplitudeID,plan\n1,p\n"
    put(tmp_path, 0, data, data, data)
    with pytest.raises(ConfigurationError, match="has no column user_id"):
        statements(history_in(tmp_path, match_by="user_id"), "snowflake")


def test_a_file_with_one_column_is_an_error_for_postgresql(tmp_path):
    r"""A row "\." would end the data for PostgreSQL before version 18."""
    data = b"userID\n1\n\\.\n2\n"
    put(tmp_path, 0, data, b"userID\n", data)
    history = history_in(tmp_path, match_by="user_id")
    with pytest.raises(ConfigurationError, match="one column"):
        statements(history, "postgresql")
    assert statements(history, "duckdb")


def test_columns_whose_names_are_one_name_in_sql_are_an_error(tmp_path):
    data = b"amplitudeID,userID,Plan,plan\n1,,a,b\n"
    put(tmp_path, 0, data, data, data)
    history = history_in(tmp_path)
    for dialect in ("athena", "bigquery", "duckdb", "redshift"):
        with pytest.raises(ConfigurationError, match="'Plan' and 'plan'"):
            statements(history, dialect)
    assert statements(history, "snowflake")
    data = b"amplitudeID,userID,synced_at\n1,,a\n"
    put(tmp_path / "view", 0, data, data, data)
    history = history_in(tmp_path / "view")
    for dialect in ("athena", "duckdb"):
        with pytest.raises(ConfigurationError, match="'synced_at' and 'synced_at'"):
            statements(history, dialect)


def test_a_header_of_several_lines_is_an_error_if_lines_are_skipped(tmp_path):
    data = b'amplitudeID,userID,"a\nb"\n1,,x\n'
    put(tmp_path, 0, data, data, data)
    history = history_in(tmp_path)
    for dialect in ("redshift", "snowflake"):
        with pytest.raises(ConfigurationError, match="skips one line as the header"):
            statements(history, dialect)
    assert statements(history, "duckdb")
