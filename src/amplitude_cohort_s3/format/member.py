"""One member, in the shapes that callers have."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from attrs import field, frozen

from ..errors import MalformedCsvError, UnsupportedValueError
from .cells import to_text
from .columns import id_column


@frozen
class Member:
    """One user in a cohort.

    The repr counts and does not name: logs hold no user ids.

    Attributes:
        amplitude_id: Amplitude's own identifier; digits, up to 20 of them, kept as text.
        user_id: Your identifier; empty for anonymous users.
        properties: The values of user properties by their column.
    """

    amplitude_id: str
    user_id: str = ""
    properties: Mapping[str, str] = field(factory=dict[str, str])

    def __repr__(self) -> str:
        return f"Member(<{len(self.properties)} properties>)"


MemberLike = Member | Mapping[str, Any] | tuple[Any, ...] | list[Any]
"""One member in any of the shapes that people have; ``RowSchema.row`` makes it a row."""


def cells_by_column(member: object, columns: tuple[str, ...]) -> Mapping[str, Any]:
    match member:
        case Member():
            try:
                return {
                    **member.properties,
                    "amplitude_id": member.amplitude_id,
                    "user_id": member.user_id,
                }
            except TypeError:  # asked beforehand, it would cost every row
                found, cure = type(member.properties).__name__, "give a mapping by column"
                raise UnsupportedValueError("properties", found, cure) from None
        case Mapping():
            named = cast("Mapping[str, Any]", member)
            given = {id_column(name) or name: cell for name, cell in named.items()}
            if len(given) < len(named):
                _check_repeats(named)
            return given
        case list() | tuple():
            cells = cast("Sequence[Any]", member)
            if len(cells) == len(columns):
                return dict(zip(columns, cells, strict=True))
            found, cure = f"sequence of {len(cells)} cells", f"give those of {', '.join(columns)}"
        case _:
            found = type(member).__name__
            cure = "give a Member, a mapping by column, or a sequence of cells"
    raise UnsupportedValueError("members", found, cure)


def _check_repeats(named: Mapping[str, Any]) -> None:
    """That a mapping which spells a column in two ways has one value for it, as in a file."""
    values = dict[str, str]()
    for name, cell in named.items():
        column = id_column(name)
        if column is not None:
            text = to_text(cell, column)
            if values.setdefault(column, text) != text:
                raise MalformedCsvError(1, f"the column {column} stands twice and differs")
