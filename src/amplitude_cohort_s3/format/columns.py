"""The columns of a cohort file: the id columns and their spellings."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from ..errors import MalformedCsvError, MissingColumnsError

Row = tuple[str, ...]
"""The cells of one member in the order of a schema's columns. A missing value is ``""``."""

ID_COLUMNS = ("amplitude_id", "user_id")
"""The names of the id columns in Python and Arrow. A file's header may spell them differently."""

_SPELLINGS = {
    "amplitudeid": "amplitude_id",
    "amplitude_id": "amplitude_id",
    "userid": "user_id",
    "user_id": "user_id",
}


def id_column(header: str) -> str | None:
    """Return the id column that a header names, in either style and any letter case.

    >>> id_column(" amplitudeID"), id_column("plan")
    ('amplitude_id', None)
    """
    return _SPELLINGS.get(header.strip().lower())


def column_name(name: object) -> str:
    """Return the name of a column or field as text.

    Names are almost always text, but data frames and mappings may have others, such as numbers.

    >>> column_name("plan"), column_name(2026)
    ('plan', '2026')
    """
    return str.__str__(name) if isinstance(name, str) else str(name)


def places_of(names: Iterable[object], columns: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """Return the positions of each column among the names of a table or a row.

    An id column may occur more than once, in one spelling or in two; the code that reads the
    cells checks that they agree. Names outside of ``columns`` may repeat.

    Args:
        names: The names, where ids may have any spelling.
        columns: The columns to find.

    Raises:
        MalformedCsvError: A property among ``columns`` occurs more than once.

    >>> places_of(["plan", "userID", "age"], ["amplitude_id", "user_id", "plan"])
    {'user_id': (1,), 'plan': (0,)}
    """
    found = dict[str, list[int]]()
    for place, name in enumerate(map(column_name, names)):
        found.setdefault(id_column(name) or name, []).append(place)
    for column in columns:
        if column not in ID_COLUMNS and len(found.get(column, ())) > 1:
            raise repeated_column(column)
    return {column: tuple(found[column]) for column in columns if column in found}


def repeated_column(column: str) -> MalformedCsvError:
    """Return the error of a table or row in which a column occurs more than once."""
    rule = f"the column {column!r} occurs more than once"
    return MalformedCsvError(None, rule, "Rename or remove all but one of them", unit="row")


def id_conflict(column: str, number: int, unit: str) -> MalformedCsvError:
    """Return the error about a row with two different values of an id column."""
    rule = f"the column {column} occurs twice with different values"
    return MalformedCsvError(number, rule, "Remove or rename one of the two columns", unit=unit)


def check_present(required: Iterable[str], found: Collection[str]) -> None:
    """Raise unless all required columns are among those that were found.

    Raises:
        MissingColumnsError: Columns are missing.
    """
    present = set(found)
    missing = [column for column in required if column not in present]
    if missing:
        raise MissingColumnsError(tuple(dict.fromkeys(missing)), found=tuple(dict.fromkeys(found)))
