"""Athena's statements, run with Hive's own CSV reader (OpenCSVSerde) in Spark SQL.

The table is created by the same text. The view is Trino's SQL, which sqlglot translates to
Spark's. Three differences are bridged here: Spark has no column "$path", its paths are spelled in
another way, and it does not know ``skip.header.line.count``, so the headers are removed.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlglot
from attrs import evolve
from sqlglot import exp
from warehouse_files import (
    COLUMNS,
    HEADER,
    SPELLINGS,
    WITHOUT_LINE_ENDS,
    Spelling,
    foreign_history,
    history_in,
    library_rows,
    own_history,
    put,
    with_plain_urls,
)

from amplitude_cohort_s3 import CohortHistory, LocalStorage
from amplitude_cohort_s3.errors import ConfigurationError
from amplitude_cohort_s3.sql import statements

AFTER = (*WITHOUT_LINE_ENDS[5:], ("new\\", "a", "", '"'))

Query = Callable[[CohortHistory], list[tuple]]


@pytest.fixture(scope="module")
def hive() -> Iterator[Callable[[list[str]], dict]]:
    for missing, command in (
        (shutil.which("java") is None, "apt-get install openjdk-17-jre-headless"),
        (find_spec("pyspark") is None, "pip install pyspark"),
    ):
        if missing and os.environ.get("CI") == "true" and find_spec("pyspark") is not None:
            pytest.fail(f"not installed: {command}")
        if missing:
            pytest.skip(f"not installed: {command}")
    command = [sys.executable, str(Path(__file__).with_name("hive_reader.py"))]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def run(texts: list[str]) -> dict:
            process.stdin.write(json.dumps(texts) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()
        process.wait(60)


@pytest.fixture
def view(hive) -> Query:
    """A function that returns the rows of the view as minute, type and cells."""

    def query(history: CohortHistory) -> list[tuple]:
        dropped, created, text = statements(with_plain_urls(history), "athena")
        found = hive([dropped, created, in_spark(text), "SELECT * FROM cohort_members"])
        if "error" in found:
            raise RuntimeError(found["error"])
        columns = [name for name in view_columns(text) if name not in ("synced_at", "diff_type")]
        order = [columns.index(name) for name in COLUMNS if name in columns]
        rows = [row for row in found["rows"] if not {*row[2:]} & {*HEADER[:2]}]
        return sorted((int(row[0][-2:]), row[1], *(row[2:][i] for i in order)) for row in rows)

    return query


def view_columns(text: str) -> list[str]:
    return sqlglot.parse_one(text, read="athena").find(exp.Select).named_selects


def in_spark(text: str) -> str:
    """Translate a view of Athena to Spark's SQL."""
    view = sqlglot.parse_one(text, read="athena")

    def translated(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.name == "$path":
            path = "replace(url_decode(input_file_name()), 'file:///', 'file:/')"
            return sqlglot.parse_one(path, read="spark")
        if isinstance(node, exp.Literal) and node.this.startswith("file:///"):
            return exp.Literal.string(node.this.replace("file:///", "file:/"))
        return node

    return view.transform(translated).sql(dialect="spark")


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_athena_reads_the_rows_of_our_files(view, compressed, tmp_path):
    history = own_history(tmp_path, WITHOUT_LINE_ENDS, AFTER, compressed=compressed, key="vip")
    assert view(history) == library_rows(history)


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda s: s.name)
def test_athena_reads_the_rows_of_files_of_other_programs(view, spelling, tmp_path):
    history = foreign_history(tmp_path, spelling, WITHOUT_LINE_ENDS, AFTER)
    assert view(history) == library_rows(history)


def test_only_the_files_of_the_history_are_read(view, tmp_path):
    """Neither those of other streams nor of syncs that are not part of the history."""
    history = own_history(tmp_path, WITHOUT_LINE_ENDS[:2], key="vip")
    for key in ("VIP", "v?p", "x_vip"):
        own_history(tmp_path, [("other", "", "", "")], key=key)
    own_history(tmp_path, [("deeper", "", "", "")], key="vip", path="it's/deeper")
    name = "it's/1_a_2026-11-23T14-30_entering_vip.csv"
    LocalStorage(tmp_path).create(name, b"amplitudeID,userID,plan,note\nlost,,,\n")
    assert view(history) == library_rows(history)


def test_files_with_different_columns_are_not_shifted(view, tmp_path):
    spelling = Spelling("crlf", "\r\n")
    data, none = spelling.write([("1", "ann", "p", "n")]), spelling.write([])
    put(tmp_path, 0, data, none, data)
    data = b'"userID","amplitudeID"\r\n"bob","2"\r\n'
    put(tmp_path, 1, data, none, data)
    data = b"note,amplitudeID,extra\r\nn,3,e\r\n"
    put(tmp_path, 2, data, none, data)
    history = history_in(tmp_path)
    assert view(history) == library_rows(history)


@pytest.mark.parametrize(
    "row",
    [("1", "a\nb", "p", "n"), ("a\nb", "", "", ""), ("1", "", "", "x\n"), ("1", "\r", "", "")],
    ids=["in the middle", "in the key", "at the end", "a lone CR"],
)
def test_a_line_end_in_a_cell_makes_the_query_fail(view, row, tmp_path):
    history = own_history(tmp_path, [("0", "", "", ""), row], key="vip")
    with pytest.raises(RuntimeError, match="a line end in a cell"):
        view(history)


def test_a_blank_line_makes_the_query_fail(view, tmp_path):
    data = Spelling("lf").write([("1", "", "", "")])
    put(tmp_path, 0, data + b"\n", data, data)
    with pytest.raises(RuntimeError, match="a blank line"):
        view(history_in(tmp_path))


def test_what_athena_cant_name_is_an_error(tmp_path):
    history = with_plain_urls(own_history(tmp_path / "a", [("1", "", "", "")], path="what?"))
    with pytest.raises(ConfigurationError, match="wildcard"):
        statements(history, "athena")
    data = b"amplitudeID,userID\n1,ann\n"
    put(tmp_path / "b", 0, data, data, data, compressed=True)  # in name only
    with pytest.raises(ConfigurationError, match=r"not compressed|gzip"):
        statements(history_in(tmp_path / "b"), "athena")


def test_a_view_that_is_too_long_for_athena_is_an_error(tmp_path):
    path = "long/" * 40 + "p"
    history = own_history(tmp_path, [("1", "", "", "")], path=path)
    with pytest.raises(ConfigurationError, match="pass a shorter history"):
        statements(evolve(history, syncs=history.syncs * 400), "athena")
