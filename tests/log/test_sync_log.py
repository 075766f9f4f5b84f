"""Records, outcomes, amendments and their keys: what is written, and what is refused."""

import hashlib
import json
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortStream,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    NameStyle,
    RowSchema,
    SyncRecord,
)
from amplitude_cohort_s3.errors import RecordFormatError
from amplitude_cohort_s3.log import Outcome
from amplitude_cohort_s3.log.amendments import AmendedCounts, Amendment
from amplitude_cohort_s3.log.files import RecordedFile
from amplitude_cohort_s3.log.keys import LogEntry, outcome_key, parse_log_key, record_key
from amplitude_cohort_s3.log.records import RecordRef
from amplitude_cohort_s3.log.sync_log import read_record
from amplitude_cohort_s3.storage import StagedObject
from amplitude_cohort_s3.testing import strategies

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
STREAM = CohortStream(project_id=1, cohort_id="a", path="p", routing_key="k")


def recorded_file(diff_type):
    key = STREAM.name(AT, diff_type, NameStyle()).key("p")
    staged = StagedObject(key=key, size=12, sha256="b" * 64, handle={"token": "t"})
    return RecordedFile(key=key, rows=0, size=12, sha256="a" * 64, staged=staged)


RECORD = SyncRecord(
    number=2,
    previous=RecordRef(number=1, sha256="c" * 64),
    stream=STREAM,
    bucket="my-bucket",
    synced_at=AT,
    requested_at=AT.replace(second=7, microsecond=8),
    existing=ExistingMeaning.MEMBERS,
    schema=RowSchema(properties=("plan",), key="user_id"),
    files={diff_type: recorded_file(diff_type) for diff_type in DiffType},
    members=3,
    members_before=2,
    changed=1,
    members_sha256="d" * 64,
    filled={"plan": 2},
    source={"file": "members.csv"},
    writer="w",
)


@given(strategies.records())
def test_a_record_survives_to_bytes_and_from_bytes(record):
    data = record.to_bytes()
    read = SyncRecord.from_bytes(data, key="k")
    assert read == record
    assert read.to_bytes() == data
    assert read.ref == RecordRef(number=record.number, sha256=hashlib.sha256(data).hexdigest())


def test_a_record_without_the_number_of_changed_members_is_read():
    earlier = attrs.evolve(RECORD, changed=None)
    assert "changed" not in json.loads(earlier.to_bytes())
    assert SyncRecord.from_bytes(earlier.to_bytes(), key="k").changed is None


@given(strategies.outcomes())
def test_an_outcome_survives_to_bytes_and_from_bytes(outcome):
    data = outcome.to_bytes()
    assert Outcome.from_bytes(data, key="k") == outcome
    assert Outcome.from_bytes(data, key="k").to_bytes() == data


def test_a_record_contains_every_field_of_the_design():
    value = json.loads(RECORD.to_bytes())
    assert value["schema_version"] == 1
    assert value["previous"] == {"number": 1, "sha256": "c" * 64}
    assert value["requested_at"] == "2026-11-23T14:05:07.000008+00:00"
    assert value["source"] == {"file": "members.csv"}
    assert value["files"]["entering"]["staged"]["handle"] == {"token": "t"}
    assert set(value) == {
        *("schema_version", "number", "previous", "stream", "bucket", "synced_at"),
        *("requested_at", "existing", "match_by", "properties", "property_names"),
        *("header_style", "files", "filled"),
        *(
            "members",
            "members_before",
            "members_sha256",
            "skipped",
            "collapsed",
            "changed",
            "adopted",
        ),
        *("source", "writer", "sha256"),
    }


# --- What is refused ---------------------------------------------------------------------------


def edited(**change):
    """Return the bytes of RECORD with other values; ``a__b`` is the field b of the object a."""
    value = json.loads(RECORD.to_bytes())
    for path, new in change.items():
        *parents, name = path.split("__")
        at = value
        for parent in parents:
            at = at[parent]
        if new is REMOVED:
            del at[name]
        else:
            at[name] = new
    return sealed(value)


def sealed(value):
    """Return JSON in the form of the log, with the right digest, as a careful forger would."""
    value.pop("sha256")
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**value, "sha256": digest}, indent=1, sort_keys=True) + "\n").encode()


REMOVED = ...  # its repr, unlike an object's, is the same in every process

EDITS = [
    {"schema_version": 2},
    {"schema_version": 0},
    {"schema_version": "1"},
    {"schema_version": REMOVED},
    {"extra": 1},
    {"stream__extra": 1},
    {"files__entering__extra": 1},
    {"files__entering__staged__extra": 1},
    {"previous__extra": 1},
    {"members": REMOVED},
    {"source": REMOVED},
    {"files__existing": REMOVED},
    {"files": {}},
    {"files": []},
    {"number": -1},
    {"number": True},
    {"number": "2"},
    {"number": 2.0},
    {"members": None},
    {"adopted": 1},
    {"adopted": True},  # but its files are staged
    {"bucket": 1},
    {"source": {"a": 1}},
    {"writer": None},
    {"existing": "all"},
    {"match_by": "shoe"},
    {"header_style": "spark"},
    {"properties": ["plan", "plan"]},
    {"properties": "plan"},
    {"property_names": REMOVED},
    {"property_names": []},
    {"property_names": [""]},
    {"filled": REMOVED},
    {"filled": {}},
    {"filled": {"plan": -1}},
    {"filled": {"plan": 1, "city": 1}},
    {"members_sha256": "d" * 63},
    {"members_sha256": "D" * 64},
    {"previous__sha256": ""},
    {"synced_at": "2026-11-23"},
    {"synced_at": "2026-11-23T14:05:00"},
    {"synced_at": "2026-11-23T15:05:00+01:00"},
    {"synced_at": "2026-11-23T14:06:00+00:00"},  # not the time of the names
    {"requested_at": "0001-01-01T00:00:00+23:00"},  # before the first year
    {"stream__cohort_id": "a_b"},
    {"stream__cohort_id": "b"},  # the files are another stream's
    {"stream__path": "q"},
    {"stream__routing_key": None},
    {"stream__routing_key": ""},
    {"files__entering__key": "p/secrets.csv"},
    {"files__entering__key": RECORD.files[DiffType.EXITING].key},
    {"files__entering__staged": None},
    {"files__entering__staged__key": "p/other"},
    {"files__entering__staged__size": "12"},
    {"files__entering__staged__handle": {"token": 1}},
    {"files__entering__staged__handle": REMOVED},
    {"files__entering__rows": -1},
]


def test_the_unedited_record_is_valid():
    assert SyncRecord.from_bytes(edited(), key="k") == RECORD


@pytest.mark.parametrize("edit", EDITS, ids=repr)
def test_an_edited_record_is_refused_with_its_key(edit):
    with pytest.raises(RecordFormatError) as caught:
        SyncRecord.from_bytes(edited(**edit), key="the/key.json")
    assert caught.value.key == "the/key.json"
    assert caught.value.rule


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b"\xff",
        b"[" * 100_000,
        RECORD.to_bytes()[:-1],
        RECORD.to_bytes()[:-20],
        RECORD.to_bytes() + b"\n",
        json.dumps(json.loads(RECORD.to_bytes())).encode(),
        b"\xef\xbb\xbf" + RECORD.to_bytes(),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_bytes_that_the_library_did_not_write_are_refused(data):
    for read in (SyncRecord.from_bytes, Outcome.from_bytes):
        with pytest.raises(RecordFormatError):
            read(data, key="k")


def outcome_bytes(**change):
    value = json.loads(Outcome(number=2, published=True, head=RECORD).to_bytes()) | change
    return sealed(value)


@pytest.mark.parametrize(
    "edit",
    [
        {"schema_version": 2},
        {"extra": 1},
        {"outcome": "lost"},
        {"outcome": "void"},  # and its head is the record itself
        {"head": None},  # and it is published
        {"number": 3},
        {"number": 1, "outcome": "void"},
        {"head": json.loads(edited(extra=1))},
        {"head": json.loads(edited(schema_version=2))},
    ],
    ids=lambda edit: repr(edit)[:40],
)
def test_an_edited_outcome_is_refused(edit):
    assert Outcome.from_bytes(outcome_bytes(), key="k").head == RECORD
    with pytest.raises(RecordFormatError):
        Outcome.from_bytes(outcome_bytes(**edit), key="k")


# --- Keys ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 99_999_999), unique=True, max_size=9), strategies.streams())
def test_keys_list_the_newest_first_and_each_outcome_before_its_record(numbers, stream):
    keys = [key(stream, n) for n in numbers for key in (record_key, outcome_key)]
    assert sorted(keys, key=str.encode) == [
        key(stream, n) for n in sorted(numbers, reverse=True) for key in (outcome_key, record_key)
    ]


@given(st.integers(1, 99_999_999), strategies.streams())
def test_parse_log_key_inverts_both_kinds_of_keys(number, stream):
    assert parse_log_key(stream, record_key(stream, number)) == LogEntry(number, is_outcome=False)
    assert parse_log_key(stream, outcome_key(stream, number)) == LogEntry(number, is_outcome=True)
    other = attrs.evolve(stream, routing_key=(stream.routing_key or "") + "x")
    assert parse_log_key(other, record_key(stream, number)) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "readme.txt",
        "99999998-00000002.json",  # the numbers must add up
        "9999998-00000001.json",
        "99999998-00000001.JSON",
        "99999998-00000001.json.tmp",
        "99999998-00000001.json\n",
        "x/99999998-00000001.json",
        "99999998-0000000\u0661.json",
    ],
)
def test_a_foreign_object_in_the_log_is_not_an_entry(name):
    assert parse_log_key(STREAM, STREAM.log_prefix + name) is None


def test_two_runs_of_the_same_sync_have_the_same_identity():
    said_again = attrs.evolve(
        RECORD, number=3, writer="x", requested_at=AT, source={}, previous=None
    )
    assert said_again.identity == RECORD.identity
    for change in (
        {"members_sha256": "e" * 64},
        {"existing": ExistingMeaning.STAYED},
        {"schema": RowSchema(properties=("plan",))},
        {"schema": attrs.evolve(RECORD.schema, header_style="api")},
        {"synced_at": AT.replace(hour=15)},
    ):
        assert attrs.evolve(RECORD, **change).identity != RECORD.identity


# --- Amendments --------------------------------------------------------------------------------


def amendment(**change):
    """Return an amendment that replaces a file of RECORD and removes another of its stream."""
    old = RECORD.files[DiffType.EXISTING]
    given = {
        "number": 7,
        "previous": RECORD.ref,
        "stream": STREAM,
        "requested_at": AT,
        "purpose": "forget",
        "replaced": {old.key: attrs.evolve(old, rows=1, sha256="e" * 64)},
        "removed": (
            STREAM.name(AT.replace(hour=1), DiffType.EXISTING, NameStyle()).key(STREAM.path),
        ),
        "counts": {RECORD.number: AmendedCounts.of(attrs.evolve(RECORD, members=1))},
        "earlier": 5,
        "writer": "w",
    }
    return Amendment(**{**given, **change})


def reread(data, number=7):
    storage = MemoryStorage()
    storage.create(record_key(STREAM, number), data)
    return read_record(storage.open, STREAM, number)


@pytest.mark.parametrize("change", [{}, {"earlier": None, "counts": {}}, {"purpose": "prune"}])
def test_an_amendment_survives_writing_and_reading(change):
    made = amendment(**change)
    assert reread(made.to_bytes()) == made


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "edit"},
        {"earlier": 7},
        {"previous": attrs.evolve(RECORD.ref, number=7)},
        {"removed": ("elsewhere/1_a_2026-11-23T14:05_existing.csv",)},
        {"removed": ("_syncs/1_a/99999998-00000001.json",)},
        {"number": 8},
    ],
)
def test_an_amendment_with_a_file_of_another_stream_is_refused(change):
    with pytest.raises(RecordFormatError):
        reread(amendment(**change).to_bytes())


def test_an_amendment_changes_the_files_that_it_names_except_lost_ones():
    made = amendment()
    [(key, file)] = made.replaced.items()
    amended = made.applied_to(RECORD)
    assert amended.files[DiffType.EXISTING] == file
    assert (amended.members, amended.amendment) == (1, 7)
    assert (
        attrs.evolve(
            amended,
            files=RECORD.files,
            members=RECORD.members,
            changed=RECORD.changed,
            amendment=RECORD.amendment,
        )
        == RECORD
    )
    assert made.applied_to(RECORD, [key]) == attrs.evolve(RECORD, amendment=7)
    outcome = Outcome(number=7, published=False, head=amended, amended=True, lost=(key,))
    assert Outcome.from_bytes(outcome.to_bytes(), key="k") == outcome
    with pytest.raises(RecordFormatError):
        Outcome.from_bytes(attrs.evolve(outcome, head=None).to_bytes(), key="k")
