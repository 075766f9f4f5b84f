"""Verification finds every change of a file, and every value of a record that is not true."""

import copy
import gzip
import json
from collections.abc import Iterator

import pytest
from attrs import evolve
from forgetting import LATER, forget_ids, sync_all
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortStream,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    adopt,
    prune,
    read_history,
)
from amplitude_cohort_s3.errors import NoSyncYetError, RecordFormatError
from amplitude_cohort_s3.history import FindingKind
from amplitude_cohort_s3.log._json import to_bytes
from amplitude_cohort_s3.log.keys import outcome_key, record_key
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment, sync_ids

ENTERING, EXITING, EXISTING = DiffType
COHORTS = [{1, 2, 3}, {2, 3, 4}, {1, 3, 4, 5}, {3, 4, 6}]

NOT_CHECKED = {"bucket", "requested_at", "skipped", "collapsed", "source", "writer", "handle"}
"""The values of a record that nothing else in the bucket shows. Their only guards are the
digests: that of the record itself, and those in the outcome and in the next record."""


def kinds(storage, stream=STREAM):
    return {finding.kind for finding in read_history(storage, stream).verify()}


def read(storage, key):
    with storage.open(key) as stream:
        return stream.read()


def overwrite(storage, key, data):
    storage.delete(key)
    storage.create(key, data)


def copy_of(storage):
    same = MemoryStorage()
    for info in storage.list_objects():
        same.create(info.key, read(storage, info.key))
    return same


def seal(value):
    return to_bytes({name: inner for name, inner in value.items() if name != "sha256"})


def bucket(meaning=ExistingMeaning.MEMBERS, compression=None, history="plain"):
    """Return a bucket with four syncs that were amended, or not."""
    storage = MemoryStorage()
    sync_all(storage, COHORTS, meaning=meaning, compression=compression)
    if history == "forgotten":
        forget_ids(storage, 3)
    if history == "pruned":
        prune(storage, STREAM, before=moment(2), clock=LATER)
    if history == "adopted":
        for info in list(storage.list_objects(STREAM.log_prefix)):
            storage.delete(info.key)
        adopt(storage, STREAM, clock=LATER)
    assert read_history(storage, STREAM).verify() == ()
    return storage


HISTORIES = ["plain", "forgotten", "pruned", "adopted"]
each_history = pytest.mark.parametrize("history", HISTORIES)


# --- What a record claims ------------------------------------------------------------------


def paths(value, path=()) -> Iterator[tuple]:
    """Yield the path to every value inside JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        yield (*path, name)
        if isinstance(one, dict | list):
            yield from paths(one, (*path, name))


def changed(value):
    """Yield other values of the same type, or None."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1, 0, 7)
        case str() if len(value) == 64:
            yield from ("0" * 64, value[:-1] + ("0" if value[-1] != "0" else "1"))
        case "members":
            yield from ("stayed", "previous")
        case str():
            yield from (value + "x", value[:-1], "user_id", "2027-01-01T00:00:00+00:00")
        case list():
            yield from ([*value, "plan"], value[:-1])
        case dict():
            yield from ({**value, "x": "y"}, {})
        case None:
            yield from (1, "x")
    if value is not None and len(value if isinstance(value, str) else "") != 64:
        yield None


def with_changes(value, *, one=False):
    """Yield the path of each value in the JSON of an entry, and the entry with it changed.

    With ``one``, each value is changed in one way only.
    """
    for path in paths(value):
        if path == ("sha256",):
            continue
        *parents, name = path
        at = value
        for parent in parents:
            at = at[parent]
        others = [other for other in changed(at[name]) if other != at[name]]
        for other in others[:1] if one else others:
            edited = copy.deepcopy(value)
            at_edited = edited
            for parent in parents:
                at_edited = at_edited[parent]
            at_edited[name] = other
            yield path, edited


def verified_kinds(storage):
    """Return the findings; those of a log that no reader accepts are an error with its key."""
    try:
        return kinds(storage)
    except RecordFormatError as error:
        assert error.key.startswith(STREAM.log_prefix)
        return {FindingKind.DAMAGED_LOG}


@each_history
def test_each_value_of_each_entry_is_checked(history, record_property):
    """Change one value of one entry, and make its digest right."""
    storage = bucket(ExistingMeaning.PREVIOUS, history=history)
    cases = 0
    for info in list(storage.list_objects(STREAM.log_prefix)):
        original = read(storage, info.key)
        value = json.loads(original)
        for path, edited in with_changes(value, one=True):
            overwrite(storage, info.key, seal(edited))
            # No other entry has the digest of an amendment.
            is_unchecked = "purpose" in value and NOT_CHECKED.intersection(path)
            assert verified_kinds(storage) or is_unchecked, (info.key, path, edited)
            cases += 1
        overwrite(storage, info.key, original)
    record_property("cases", cases)


@each_history
@pytest.mark.parametrize("meaning", ExistingMeaning)
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_each_claim_of_the_newest_record_is_compared_with_the_bucket(
    history, meaning, compression, record_property
):
    """Change the newest record and its outcome alike, so that no digest shows the change."""
    storage = bucket(meaning, compression, history)
    if history in ("forgotten", "pruned"):
        sync_ids(storage, {3, 7}, 4, now=91)
    number = read_history(storage, STREAM).log.last_ended
    record, outcome = record_key(STREAM, number), outcome_key(STREAM, number)
    originals = [read(storage, key) for key in (record, outcome)]
    unnoticed = set()
    cases = 0
    for path, edited in with_changes(json.loads(originals[0])):
        head = {name: value for name, value in edited.items() if name != "sha256"}
        overwrite(storage, record, seal(edited))
        overwrite(storage, outcome, seal({**json.loads(originals[1]), "head": head}))
        if not verified_kinds(storage):
            unnoticed |= NOT_CHECKED.intersection(path) or {path}
        cases += 1
    # An adopted sync may be matched by any column: that is its operator's decision.
    ambiguous = {("match_by",)} if history == "adopted" else set()
    assert unnoticed - ambiguous <= NOT_CHECKED
    record_property("cases", cases)
