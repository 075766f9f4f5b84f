"""The columns of a cohort file: the id columns and their spellings."""

Row = tuple[str, ...]
"""The cells of one member in the order of a schema's columns. A missing value is ``""``."""

ID_COLUMNS = ("amplitude_id", "user_id")
"""The names of the id columns in Python and Arrow, whatever a file's header says."""

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
