"""Conversion of any kind of members to CSV."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from functools import partial
from itertools import chain
from os import PathLike
from typing import Any, cast

from attrs import evolve

from .._arguments import check_kind, wrong_kind
from ..errors import ArgumentTypeError
from ..format.member import MemberLike
from ..format.schema import RowSchema
from ._frames import is_query
from .arrow import arrow_csv
from .concatenated import concatenated
from .files import MemberFile
from .names import NamedRow, csv_by_header, members_by_header
from .protocol import CsvSource, MemberSource, SupportsArrow, SupportsCsv


def as_csv(
    members: MemberSource,
    schema: RowSchema,
    *,
    fill: bool,
    each: Callable[[Iterable[MemberLike]], Iterable[MemberLike]] = iter,
) -> CsvSource:
    """Return any kind of members as CSV.

    Args:
        members: The members, as :func:`diff_members` accepts them.
        schema: The columns and the key.
        fill: True if a property that a member lacks is empty instead of an error.
        each: A function that iterates over members in Python, and may count them.

    Raises:
        ArgumentTypeError: The members are one text or path, cannot be iterated, or are a cursor
            without a result.
    """
    if isinstance(members, CsvSource):
        return _by_header(members, schema)
    if isinstance(members, type):  # A class has the methods of its instances.
        raise wrong_kind("members", members, "pass rows, a table or a source")
    if isinstance(members, SupportsCsv):
        source = members.csv_source(schema)
        hint = "return CsvSource(chunks=lambda: iter([data]))"
        check_kind("the result of csv_source()", source, CsvSource, hint)
        return _by_header(source, schema)
    if hasattr(members, "members_at"):  # a history, which is a table of its syncs
        raise wrong_kind("members", members, _hint(members))
    if isinstance(members, SupportsArrow) or is_query(members):
        return arrow_csv(cast("SupportsArrow", members), schema, fill=fill)
    _check_rows(members)
    iterable, first = _peeked(members)
    if _is_source(first):
        return concatenated(
            lambda: (as_csv(_opened(part), schema, fill=fill) for part in iterable),
            schema,
            fill=fill,
            repeatable=not isinstance(iterable, Iterator),
        )
    ignored = set[str]()

    return CsvSource(
        chunks=lambda: schema.encode(
            schema.rows(members_by_header(each(iterable), schema), fill=fill, ignored=ignored)
        ),
        repeatable=not isinstance(iterable, Iterator),
        rows=len(iterable) if isinstance(iterable, Sized) else None,
        unit="row",
        ignored=ignored,
    )


def _check_rows(members: Any) -> None:
    """Raise unless members can be iterated one by one."""
    if isinstance(members, str | bytes | PathLike):
        raise wrong_kind("members", cast("object", members), "pass MemberFile(location) for a file")
    if hasattr(members, "read"):
        hint = "pass MemberFile(file) for an open file; open a file of text with open(path, 'rb')"
        raise wrong_kind("members", members, hint)
    if not isinstance(members, Iterable):
        raise wrong_kind("members", members, _hint(members))
    if isinstance(members, Mapping):
        hint = (
            'pass a list with a dict for each member: [{"amplitude_id": "42"}]; or, if each key '
            "has the values of a column, a data frame: pandas.DataFrame(members)"
        )
        raise wrong_kind("members", cast("object", members), hint)


def _peeked(members: Iterable[Any]) -> tuple[Iterable[Any], object]:
    """Return members that are still complete, and the first of them, or None.

    The rows of a database cursor get the names of its columns.
    """
    if isinstance(members, Collection):
        return members, next(iter(members), None)
    names = _column_names(members)
    if names is not None:
        members = map(partial(_named, names), members)
    for first in members if isinstance(members, Iterator) else ():
        return chain([first], members), first
    return members, None  # Looking at another iterable might run a query twice.


def _named(names: tuple[str, ...], row: Any) -> MemberLike:
    return cast("MemberLike", row) if isinstance(row, Mapping) else NamedRow.of(names, row)


def _column_names(rows: object) -> tuple[str, ...] | None:
    """Return the names of the columns of a cursor (PEP 249), or None for other rows.

    Raises:
        ArgumentTypeError: The cursor has no result, which is not a cohort without members.
    """
    missing = ()
    description: Any = getattr(rows, "description", missing)
    if description is missing or not hasattr(rows, "fetchmany"):
        return None
    if description is None:
        hint = "execute a query that returns rows first"
        raise ArgumentTypeError("members", f"{type(rows).__name__} without a result", hint)
    return tuple(column[0] for column in description)


def _is_source(value: object) -> bool:
    """Return whether one of the members is a table, a file or another source."""
    is_table = isinstance(value, SupportsArrow) and (
        hasattr(value, "columns") or hasattr(value, "schema")
    )
    return is_table or is_query(value) or isinstance(value, CsvSource | SupportsCsv | PathLike)


def _opened(part: Any) -> MemberSource:
    if not _is_source(part):
        hint = "the first one is a table or a file, so pass MemberFile(location) or another table"
        raise ArgumentTypeError("each of members", type(part).__name__, hint)
    return MemberFile(part) if isinstance(part, PathLike) else part


def _hint(members: object) -> str:
    """Return what to pass instead of an object that has no rows."""
    if hasattr(members, "collect"):  # a LazyFrame of Polars, a data frame of Spark
        return "run the query first, for example with .collect()"
    if hasattr(members, "members_at"):
        return "pass the members at a time: history.members_at(when)"
    if hasattr(members, "members"):  # a head, or the cohorts of a project
        return "pass its members, such as head.members() or cohorts.members(cohort_id)"
    return (
        "pass rows, a table, or a source such as MemberFile(location); if it is a query, run it "
        "first, for example with .collect()"
    )


def _by_header(source: CsvSource, schema: RowSchema) -> CsvSource:
    """Return a source whose properties are named by their headers."""
    if source.canonical or schema.names == schema.properties:
        return source
    return evolve(source, chunks=lambda: csv_by_header(source.chunks(), schema))
