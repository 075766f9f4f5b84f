"""The meaning of the files ``existing`` in a bucket of another program."""

from __future__ import annotations

from ..format.existing_meaning import ExistingMeaning
from ._set_checks import possible_meanings
from .history import CohortHistory, check_is_history


def detect_existing_meaning(history: CohortHistory) -> frozenset[ExistingMeaning]:
    """Return the meanings of ``existing`` that all complete syncs of a history allow.

    Args:
        history: The history of any bucket; all files of its complete syncs are read.

    Returns:
        One meaning is the answer. Several mean that the files fit more than one meaning so
        far. An empty set means that the syncs are inconsistent.

    Raises:
        MalformedCsvError: A file is not valid CSV of a cohort.
        ArgumentTypeError: ``history`` is not a history.

    >>> from amplitude_cohort_s3 import MemoryStorage, read_history
    >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
    >>> storage = MemoryStorage()
    >>> history = read_history(storage, fill_bucket(storage, syncs=3))
    >>> [meaning.value for meaning in detect_existing_meaning(history)]
    ['members']
    """
    check_is_history(history)
    complete = [sync for sync in history if not sync.missing]
    allowed = (possible_meanings(history, sync) for sync in complete)
    return frozenset(ExistingMeaning).intersection(*allowed)
