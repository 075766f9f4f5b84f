"""Texts about the counts of a sync."""

from collections.abc import Mapping, Sequence

from .._display import counted


def count_notes(
    *,
    key: str,
    members: int,
    skipped: int,
    collapsed: int,
    filled: Mapping[str, int],
    ignored_columns: Sequence[str] = (),
) -> tuple[str, ...]:
    r"""Return sentences about the counts of a sync that a person must not overlook.

    Args:
        key: The column by which members are matched.
        members: The number of members.
        skipped: The number of source rows without a key.
        collapsed: The number of source rows that repeated another.
        filled: The number of members with a value, for each property.
        ignored_columns: The columns of the source that the sync does not have.

    >>> print(*count_notes(key="user_id", members=2, skipped=1, collapsed=0,
    ...                    filled={"plan": 1, "city": 0}), sep="\n")
    1 row without user_id was skipped
    members with a value: plan 1 of 2, city 0 of 2
    warning: the property 'city' is empty for all members
    """
    notes = list[str]()
    if not members and skipped:
        rows = "the only row was" if skipped == 1 else f"all {skipped:,} rows were"
        notes.append(f"there are no members: {rows} skipped, for lack of the key {key}")
    elif not members:
        notes.append("there are no members: the source has no rows")
    elif skipped:
        notes.append(f"{counted(skipped, 'row')} without {key} {_was(skipped)} skipped")
    if collapsed:
        notes.append(f"{counted(collapsed, 'repeated row')} {_was(collapsed)} dropped")
    if ignored_columns:
        columns = "column" if len(ignored_columns) == 1 else "columns"
        names = ", ".join(ignored_columns)
        notes.append(f"ignored {columns} that the sync does not have: {names}")
    if members and filled:
        shares = [f"{name} {count:,} of {members:,}" for name, count in filled.items()]
        notes.append(f"members with a value: {', '.join(shares)}")
        notes += [
            f"warning: the property {name!r} is empty for all members"
            for name, count in filled.items()
            if not count
        ]
    return tuple(notes)


def changed_text(changed: int | None) -> str:
    """Return the number of members whose properties changed, to append to other counts.

    The text is empty if nobody changed, or if the number is not known.

    >>> f"2 entering{changed_text(3)}", f"2 entering{changed_text(None)}"
    ('2 entering, 3 changed', '2 entering')
    """
    return f", {changed:,} changed" if changed else ""


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
