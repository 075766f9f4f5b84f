"""Any kind of members as CSV."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from os import PathLike

from .._arguments import check_kind
from ..errors import MalformedCsvError, MissingColumnsError, WrongArgumentError
from ..format.columns import Row, id_column
from ..format.member import Member
from ..format.schema import RowSchema
from .arrow import arrow_csv
from .protocol import CsvSource, MemberSource, SupportsArrow, SupportsCsv


def as_csv(members: MemberSource, schema: RowSchema, *, fill: bool) -> CsvSource:
    """Return any kind of members as CSV.

    Args:
        members: The members, as :func:`diff_members` accepts them.
        schema: The columns and the key.
        fill: Use an empty cell for a property that a member lacks, instead of raising.

    Raises:
        WrongArgumentError: The members are one text or path, or cannot be iterated.
    """
    if isinstance(members, CsvSource):
        return members
    if isinstance(members, SupportsCsv):
        source = members.csv_source(schema)
        cure = "give CsvSource(chunks=lambda: iter([data]))"
        check_kind("what csv_source() gives", source, CsvSource, cure)
        return source
    if isinstance(members, SupportsArrow):
        return arrow_csv(members, schema, fill=fill)
    if isinstance(members, str | bytes | PathLike):
        cure = "for a file, pass MemberFile(location)"
        raise WrongArgumentError("members", type(members).__name__, cure)
    # Most often a query that was not executed (a LazyFrame of Polars, a dataset), or a head.
    cure = (
        "give rows or a table, as head.members() is; where it is a query, run it first, "
        "as with .collect()"
    )
    check_kind("members", members, Iterable, cure)
    ignored = set[str]()

    def rows() -> Iterator[Row]:
        known = {*schema.columns}
        for number, member in enumerate(members, 1):
            named = member.properties if isinstance(member, Member) else member
            if isinstance(named, Mapping):
                ignored.update(c for c in named if (id_column(c) or c) not in known)
            try:
                yield schema.row(member, fill=fill)
            except MalformedCsvError as error:
                raise MalformedCsvError(number, error.rule) from None
            except MissingColumnsError as error:
                raise MissingColumnsError(error.columns, number) from None

    return CsvSource(
        chunks=lambda: schema.encode(rows()),
        repeatable=not isinstance(members, Iterator),
        rows=len(members) if isinstance(members, Sized) else None,
        unit="row",
        ignored=ignored,
    )
