"""One member, in the forms that callers have."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from attrs import field, frozen

from ..errors import UnsupportedValueError
from .cells import merge_repeated, to_text
from .columns import id_column


@frozen
class Member:
    """One user in a cohort.

    The repr has no user ids, so that logs have none.

    Attributes:
        amplitude_id: Amplitude's own identifier: up to 20 digits, kept as text.
        user_id: Your identifier; empty for anonymous users.
        properties: The values of user properties by column.
    """

    amplitude_id: str
    user_id: str = ""
    properties: Mapping[str, str] = field(factory=dict[str, str])

    def __repr__(self) -> str:
        return f"Member(<{len(self.properties)} properties>)"


MemberLike = Member | Mapping[str, Any] | tuple[Any, ...] | list[Any]
"""One member in any form that ``RowSchema.row`` can turn into a row."""


def cells_by_column(member: object, columns: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the values of a member by column.

    Args:
        member: A :data:`MemberLike`.
        columns: The columns of a sequence.

    Raises:
        UnsupportedValueError: It is not a member, or a sequence of another length.
        MalformedCsvError: A mapping has an id column in two spellings that differ.
    """
    match member:
        case Member():
            try:
                return {
                    **member.properties,
                    "amplitude_id": member.amplitude_id,
                    "user_id": member.user_id,
                }
            except TypeError:  # A check before it would slow down every row.
                found, cure = type(member.properties).__name__, "give a mapping by column"
                raise UnsupportedValueError("properties", found, cure) from None
        case Mapping():
            named = cast("Mapping[str, Any]", member)
            given = {id_column(name) or name: cell for name, cell in named.items()}
            if len(given) < len(named):
                ids = {name: column for name in named if (column := id_column(name))}
                merge_repeated(ids.values(), [to_text(named[n], c) for n, c in ids.items()], 1)
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
