"""Conversion of any kind of members to CSV."""

from collections.abc import Callable, Iterable, Iterator, Sized
from os import PathLike

from attrs import evolve

from .._arguments import check_kind
from ..errors import ArgumentTypeError
from ..format.member import MemberLike
from ..format.schema import RowSchema
from .arrow import arrow_csv
from .names import csv_by_header, members_by_header
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
        ArgumentTypeError: The members are one text or path, or cannot be iterated.
    """
    if isinstance(members, CsvSource):
        return _by_header(members, schema)
    if isinstance(members, SupportsCsv):
        source = members.csv_source(schema)
        hint = "return CsvSource(chunks=lambda: iter([data]))"
        check_kind("the result of csv_source()", source, CsvSource, hint)
        return _by_header(source, schema)
    if isinstance(members, SupportsArrow):
        return arrow_csv(members, schema, fill=fill)
    if isinstance(members, str | bytes | PathLike):
        hint = "pass MemberFile(location) for a file"
        raise ArgumentTypeError("members", type(members).__name__, hint)
    if hasattr(members, "read"):
        hint = "pass MemberFile(file) for an open file"
        raise ArgumentTypeError("members", type(members).__name__, hint)
    # Most often it is a query that was not executed (a LazyFrame, a dataset), or a head.
    hint = (
        "pass rows or a table, such as head.members(); if it is a query, run it first, for "
        "example with .collect()"
    )
    check_kind("members", members, Iterable, hint)
    ignored = set[str]()

    return CsvSource(
        chunks=lambda: schema.encode(
            schema.rows(members_by_header(each(members), schema), fill=fill, ignored=ignored)
        ),
        repeatable=not isinstance(members, Iterator),
        rows=len(members) if isinstance(members, Sized) else None,
        unit="row",
        ignored=ignored,
    )


def _by_header(source: CsvSource, schema: RowSchema) -> CsvSource:
    """Return a source whose properties are named by their headers."""
    if source.canonical or schema.names == schema.properties:
        return source
    return evolve(source, chunks=lambda: csv_by_header(source.chunks(), schema))
