"""One member, in the forms that callers have."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from attrs import field, frozen

from ..errors import ArgumentTypeError, MalformedCsvError
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
        ArgumentTypeError: It is not a member.
        MalformedCsvError: A sequence has another length, or a mapping has an id column in
            two spellings with different values.
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
                found = type(member.properties).__name__
                raise ArgumentTypeError("properties", found, "pass a mapping by column") from None
        case Mapping():
            named = cast("Mapping[str, Any]", member)
            given = {id_column(name) or name: cell for name, cell in named.items()}
            if len(given) < len(named):
                ids = {name: column for name in named if (column := id_column(name))}
                merge_repeated(ids.values(), [to_text(named[n], c) for n, c in ids.items()], 1)
            return given
        case list() | tuple():
            cells = cast("Sequence[Any]", member)
            if len(cells) != len(columns):
                values = "1 value" if len(cells) == 1 else f"{len(cells)} values"
                rule = f"it has {values}, but the sync has {len(columns)} columns"
                raise MalformedCsvError(None, rule, f"Pass {', '.join(columns)}", unit="row")
            return dict(zip(columns, cells, strict=True))
        case _:
            hint = "pass a Member, a mapping by column, or a sequence of values"
            raise ArgumentTypeError("a member", type(member).__name__, hint)
