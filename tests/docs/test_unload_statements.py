"""The SQL with which warehouses unload a diff: the blocks of a how-to, parsed in their dialects."""

import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import expressions as sql

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "beyond_one_machine.md"
BLOCKS = re.findall(
    r"^```sql\n-- ([a-z, ]+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
)
STATEMENTS = [(dialect, text) for names, text in BLOCKS for dialect in names.split(", ")]


def query_of(dialect, text):
    """The query in a statement that unloads: sqlglot knows no UNLOAD."""
    match dialect, text.split()[0]:
        case "athena", "UNLOAD":
            return text[text.index("(") + 1 : text.rindex(")\nTO ")]
        case "redshift", "UNLOAD":
            return text[text.index("('") + 2 : text.rindex("')\nTO ")].replace("''", "'")
        case _:
            return text


@pytest.mark.parametrize(("dialect", "text"), STATEMENTS, ids=[d for d, _ in STATEMENTS])
def test_each_statement_is_one_of_its_dialect(dialect, text):
    (found,) = sqlglot.parse(query_of(dialect, text), read=dialect)
    assert not isinstance(found, sql.Command)
    assert found.find(sql.Select)
    if "COUNT" not in text:
        assert found.find(sql.Exists)
    assert sqlglot.transpile(query_of(dialect, text), read=dialect, write=dialect)


def test_each_warehouse_has_its_two_statements():
    assert sorted(d for d, _ in STATEMENTS) == sorted(["athena", "redshift", "snowflake"] * 2)
