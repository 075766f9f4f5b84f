"""The columns of a cohort file: the id columns and their spellings."""

Row = tuple[str, ...]
"""The cells of one member in the order of a schema's columns. A missing value is ``""``."""


ID_COLUMNS = ("amplitude_id", "user_id")
"""The id columns as Python and Arrow have them, whatever the file's header says."""


READ_IDS = {
    "amplitudeid": "amplitude_id",
    "amplitude_id": "amplitude_id",
    "userid": "user_id",
    "user_id": "user_id",
}


def id_column(header: str) -> str | None:
    """Which id column a header names, in either style and any letter case, or None.

    >>> id_column(" amplitudeID"), id_column("plan")
    ('amplitude_id', None)
    """
    return READ_IDS.get(header.strip().lower())
