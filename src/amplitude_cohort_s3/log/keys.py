"""The keys of the log's objects."""

import re

from attrs import frozen

from .stream import CohortStream

MAX_NUMBER = 99_999_999
"""The last number of a log: 190 years of one sync per minute."""


def record_key(stream: CohortStream, number: int) -> str:
    """Return the key of record ``number`` of a stream.

    >>> record_key(CohortStream(project_id=1, cohort_id="a"), 1)
    '_syncs/1_a/99999998-00000001.json'
    """
    return f"{stream.log_prefix}{MAX_NUMBER - number:08}-{number:08}.json"


def outcome_key(stream: CohortStream, number: int) -> str:
    """Return the key of the outcome of record ``number``; it sorts right before the record."""
    return record_key(stream, number).removesuffix(".json") + ".end.json"


_LOG_KEY = re.compile(r"(?P<down>[0-9]{8})-(?P<up>[0-9]{8})(?P<end>\.end)?\.json")


@frozen
class LogEntry:
    """A parsed key of the log: the record's number, and whether it is the key of its outcome."""

    number: int
    is_outcome: bool


def parse_log_key(stream: CohortStream, key: str) -> LogEntry | None:
    """Return the inverse of :func:`record_key` and :func:`outcome_key`; None for other keys.

    >>> stream = CohortStream(project_id=1, cohort_id="a")
    >>> parse_log_key(stream, outcome_key(stream, 7))
    LogEntry(number=7, is_outcome=True)
    """
    match = _LOG_KEY.fullmatch(key.removeprefix(stream.log_prefix))
    if match is None or int(match["down"]) + int(match["up"]) != MAX_NUMBER:
        return None
    return LogEntry(int(match["up"]), match["end"] is not None)
