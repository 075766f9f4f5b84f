"""Verification finds every change of a file, and every value of a record that is not true."""

import copy
import gzip
import hashlib
import json
from collections.abc import Iterator

import pytest
from attrs import evolve
from forgetting import LATER, forget_ids, sync_all
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    NameStyle,
    UserProperty,
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
COHORTS = [{1, 2, 3}, {2, 3, 4}, {3, 4, 6}]

PROPERTIES = (UserProperty("plan", header="Plan name"), UserProperty("city"))

NOT_CHECKED = {
    "bucket",
    "requested_at",
    "skipped",
    "collapsed",
    "changed",
    "property_names",
    "source",
    "writer",
    "handle",
}
"""The values of a record that nothing else in the bucket shows, and the number of changed members,
which would require to compare the rows of two syncs. Their only guards are the
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


def bucket(meaning=ExistingMeaning.MEMBERS, compression=None, history="plain", properties=()):
    """Return a bucket with syncs that were amended, or not."""
    storage = MemoryStorage()
    sync_all(storage, COHORTS, meaning=meaning, compression=compression, properties=properties)
    if history == "forgotten":
        forget_ids(storage, 3)
    if history == "pruned":
        prune(storage, STREAM, before=moment(1), clock=LATER)
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


each_width = pytest.mark.parametrize("properties", [(), PROPERTIES], ids=["ids", "properties"])


@each_history
@each_width
def test_each_value_of_each_entry_is_checked(history, properties, record_property):
    """Change one value of one entry, and make its digest right."""
    storage = bucket(ExistingMeaning.PREVIOUS, history=history, properties=properties)
    cases = 0
    for info in list(storage.list_objects(STREAM.log_prefix)):
        original = read(storage, info.key)
        value = json.loads(original)
        for path, edited in with_changes(value, one=True):
            overwrite(storage, info.key, seal(edited))
            # No other entry has the digest of an amendment.
            is_unchecked = "purpose" in value and NOT_CHECKED.intersection(path)
            assert kinds(storage) or is_unchecked, (info.key, path, edited)
            cases += 1
        overwrite(storage, info.key, original)
    record_property("cases", cases)


@each_history
@each_width
@pytest.mark.parametrize(
    ("meaning", "compression"), [*zip(ExistingMeaning, ("gzip", None, "gzip"), strict=True)]
)
def test_each_claim_of_the_newest_record_is_compared_with_the_bucket(
    history, meaning, compression, properties, record_property
):
    """Change the newest record and its outcome alike, so that no digest shows the change."""
    storage = bucket(meaning, compression, history, properties)
    if history in ("forgotten", "pruned"):
        sync_all(storage, [{3, 6, 7}], meaning=meaning, properties=properties, first=4)
    number = read_history(storage, STREAM).log.last_ended
    record, outcome = record_key(STREAM, number), outcome_key(STREAM, number)
    originals = [read(storage, key) for key in (record, outcome)]
    unnoticed = set()
    cases = 0
    for path, edited in with_changes(json.loads(originals[0])):
        head = {name: value for name, value in edited.items() if name != "sha256"}
        overwrite(storage, record, seal(edited))
        overwrite(storage, outcome, seal({**json.loads(originals[1]), "head": head}))
        if not kinds(storage):
            unnoticed |= NOT_CHECKED.intersection(path) or {path}
        cases += 1
    # An adopted sync may be matched by any column: that is its operator's decision.
    ambiguous = {("match_by",)} if history == "adopted" else set()
    assert unnoticed - ambiguous <= NOT_CHECKED
    record_property("cases", cases)


def test_the_counts_of_values_are_compared_with_the_files():
    for meaning in ExistingMeaning:
        storage = bucket(meaning, properties=PROPERTIES)
        number = read_history(storage, STREAM).log.last_ended
        found = rewritten(
            storage, number, lambda r: r["filled"].update({"city": 1, "Plan name": 0})
        )
        [finding] = [one for one in found if one.kind is FindingKind.WRONG_RECORD]
        assert "filled: 0 recorded for 'Plan name', 1 found" in finding.detail
        assert "'city'" not in finding.detail


def test_an_adopted_record_has_the_properties_of_the_files_as_names():
    storage = bucket(history="adopted", properties=PROPERTIES)
    [finding] = rewritten(storage, 1, lambda r: r.update(property_names=["plan", "city"]))
    assert "property_names" in finding.detail


def rewritten(storage, number, change):
    """Change the newest record and its outcome alike; return the findings."""
    record, outcome = record_key(STREAM, number), outcome_key(STREAM, number)
    value = json.loads(read(storage, record))
    change(value)
    overwrite(storage, record, seal(value))
    head = {name: inner for name, inner in value.items() if name != "sha256"}
    overwrite(storage, outcome, seal({**json.loads(read(storage, outcome)), "head": head}))
    return read_history(storage, STREAM).verify()


# --- Files ---------------------------------------------------------------------------------


def data_keys(storage):
    return [i.key for i in storage.list_objects() if not i.key.startswith(STREAM.log_prefix)]


@each_history
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_each_changed_byte_and_each_lost_or_added_file_is_found(
    history, compression, record_property
):
    storage = bucket(compression=compression, history=history)
    cases = 0
    recorded = {key for r in read_history(storage, STREAM).log.published() for key in r.keys}
    for key in sorted(recorded.intersection(data_keys(storage))):
        original = read(storage, key)
        storage.delete(key)
        assert FindingKind.MISSING_FILE in kinds(storage)
        for place in range(0, len(original), 3):
            edited = bytearray(original)
            edited[place] ^= 1
            storage.create(key, bytes(edited))
            # An adopted record states the content of a file, not how it is compressed.
            is_equal = history == "adopted" and compression and 3 <= place < 10
            assert kinds(storage) or is_equal, (key, place)
            storage.delete(key)
            cases += 1
        for edited in (
            b"",
            original[:-1],
            original + b"\n",
            original * 2,
            gzip.compress(original, mtime=0),
        ):
            storage.create(key, edited)
            is_equal = history == "adopted" and edited == gzip.compress(original, mtime=0)
            assert kinds(storage) or is_equal, (key, edited)
            storage.delete(key)
        storage.create(key, original)
    record_property("cases", cases)


def test_a_file_in_another_form_than_the_canonical_one_is_found():
    """The digests in the record are right: only the form of the rows is not."""
    header = b"amplitudeID,userID\n"
    right = header + b"1,user 1\n2,user 2\n"
    wrong = {
        header + b"2,user 2\n1,user 1\n": "order of the key",
        header + b"1,user 1\n1,user 1\n": "each key once",
        header + b",user 1\n2,user 2\n": "order of the key",
        header + b'"1",user 1\n2,user 2\n': "canonical form",
        header + b"1,user 1\r\n2,user 2\r\n": "canonical form",
        header + b"1,user 1\n\n2,user 2\n": "canonical form",
        header + b"1,user 1\n2,user 2": "canonical form",
        b"\xef\xbb\xbf" + right: "header",
        b"amplitude_id,user_id\n1,user 1\n2,user 2\n": "header",
        b"userID,amplitudeID\nuser 1,1\nuser 2,2\n": "header",
    }
    for data, rule in {right: None, **wrong}.items():
        storage = MemoryStorage()
        sync_ids(storage, {1, 2}, 0)
        forge_content(storage, data)
        details = {f.detail for f in read_history(storage, STREAM).verify() if f.key in HEAD_FILES}
        assert any(rule in detail for detail in details) if rule else not details, data


HEAD_FILES = [STREAM.name(moment(0), t, NameStyle()).key("cohorts") for t in (ENTERING, EXISTING)]


def forge_content(storage, data):
    """Replace the rows of a first sync, and make every digest of its record right."""
    record = json.loads(read(storage, record_key(STREAM, 1)))
    outcome = json.loads(read(storage, outcome_key(STREAM, 1)))
    sha256 = hashlib.sha256(data).hexdigest()
    for key, name in zip(HEAD_FILES, ("entering", "existing"), strict=True):
        overwrite(storage, key, data)
        file = record["files"][name]
        file |= {"sha256": sha256, "size": len(data)}
        file["staged"] |= {"sha256": sha256, "size": len(data)}
    record["members_sha256"] = sha256
    del record["sha256"]
    overwrite(storage, record_key(STREAM, 1), seal(record))
    overwrite(storage, outcome_key(STREAM, 1), seal({**outcome, "head": record}))


CSV = b'amplitudeID,userID,plan\n1,ann,"a,""b"\n2,,"c\nd"\n,x,y\n'


@settings(max_examples=3 * settings().max_examples)
@given(
    files=st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(
                lambda a, b, new: CSV[: min(a, b)] + new + CSV[max(a, b) :],
                st.integers(0, len(CSV)),
                st.integers(0, len(CSV)),
                st.binary(max_size=8)
                | st.sampled_from(
                    [b"\r", b"\r\r\n", b",", b'"', b"\0", b"\x1f\x8b", b"(\xb5/\xfd"]
                ),
            ),
        ),
        min_size=6,
        max_size=6,
    ),
    match_by=st.sampled_from(["amplitude_id", "user_id", "plan", "other", ""]),
    logged=st.booleans(),
)
def test_no_content_of_a_file_makes_verify_raise(files, match_by, logged):
    storage = MemoryStorage()
    if logged:
        sync_all(storage, COHORTS)
    for number, data in enumerate(files):
        key = STREAM.name(moment(number // 3), [*DiffType][number % 3], NameStyle()).key("cohorts")
        overwrite(storage, key, data)
    found = read_history(storage, STREAM, match_by=match_by).verify()
    assert found or not logged


def test_foreign_files_with_faults_are_named_with_the_number_of_rows():
    storage = MemoryStorage()
    header = b"amplitudeID,userID\n"
    existing = header + b"1,ann\n1,ANN\n2,bob\n2,bob\n,cy\n,dee\n"
    contents = {ENTERING: header + b"9,eve\r9,eve\r", EXITING: b"userID\n", EXISTING: existing}
    keys = {t: STREAM.name(moment(0), t, NameStyle()).key("cohorts") for t in DiffType}
    for diff_type, data in contents.items():
        storage.create(keys[diff_type], data)
    found = {(f.kind, f.key, f.count) for f in read_history(storage, STREAM).verify()}
    assert found >= {
        (FindingKind.UNREADABLE_FILE, keys[EXITING], 1),
        (FindingKind.DUPLICATE_KEY, keys[EXISTING], 1),
        (FindingKind.ROWS_WITHOUT_KEY, keys[EXISTING], 2),
    }


def test_rows_without_a_key_are_counted_and_are_not_members():
    storage = MemoryStorage()
    header = b"amplitudeID,userID\n"
    rows = [b"1,ann\n2,\n3,\n", b"1,ann\n4,\n"]
    for minute, (entering, exiting) in enumerate([(rows[0], b""), (b"4,\n", b"2,\n3,\n")]):
        for diff_type, data in zip(DiffType, (entering, exiting, rows[minute]), strict=True):
            key = STREAM.name(moment(minute), diff_type, NameStyle()).key("cohorts")
            storage.create(key, header + data)
    found = read_history(storage, STREAM, match_by="user_id").verify()
    assert {f.kind for f in found} == {FindingKind.ROWS_WITHOUT_KEY}
    assert [f.count for f in found] == [2, 2, 1, 2, 1]


# --- Streams and logs ------------------------------------------------------------------------


def test_a_stream_that_does_not_exist_is_an_error():
    storage = bucket()
    for stream in (evolve(STREAM, cohort_id="typo"), evolve(STREAM, routing_key="x")):
        with pytest.raises(NoSyncYetError, match="Check the project"):
            read_history(storage, stream).verify()
        with pytest.raises(NoSyncYetError):
            read_history(MemoryStorage(), stream).verify()


@each_history
def test_an_entry_of_the_log_that_is_damaged_or_missing_is_named(history):
    storage = bucket(history=history)
    newest = next(storage.list_objects(STREAM.log_prefix)).key
    for info in list(storage.list_objects(STREAM.log_prefix)):
        original = read(storage, info.key)
        for data in (b"", b"{}", original[:-3], original.replace(b'"', b"'"), None):
            storage.delete(info.key)
            if data is not None:
                storage.create(info.key, data)
            elif info.key == newest:
                continue  # Then the log shows an unfinished entry, or ends before it.
            found = read_history(storage, STREAM).verify()
            assert info.key in {f.key for f in found if f.kind is FindingKind.DAMAGED_LOG}
        overwrite(storage, info.key, original)


def test_a_damaged_amendment_does_not_prevent_the_listing_of_an_incomplete_foreign_sync():
    storage = bucket()
    for diff_type in (DiffType.ENTERING, DiffType.EXITING):
        key = STREAM.name(moment(-5), diff_type, NameStyle()).key("cohorts")
        storage.create(key, b"amplitudeID,userID\n")
    forget_ids(storage, 3)
    [amendment] = [
        info.key
        for info in storage.list_objects(STREAM.log_prefix)
        if b'"purpose"' in read(storage, info.key)
    ]
    overwrite(storage, amendment, b"{}")
    history = read_history(storage, STREAM)
    assert len(history) == len(COHORTS) + 1
    with pytest.raises(RecordFormatError):
        history.churn()
    found = history.verify()
    assert amendment in {f.key for f in found if f.kind is FindingKind.DAMAGED_LOG}


def test_a_file_that_was_pruned_and_is_there_again_is_found():
    storage = bucket()
    key = read_history(storage, STREAM)[0].files[EXISTING].key
    data = read(storage, key)
    prune(storage, STREAM, before=moment(1), clock=LATER)
    storage.create(key, data)
    [finding] = read_history(storage, STREAM).verify()
    assert (finding.kind, finding.key) == (FindingKind.REMOVED_FILE, key)


def test_files_that_the_log_does_not_know_are_found():
    storage = bucket()
    for minute, kind in {-5: FindingKind.UNLOGGED_SYNC, 7: FindingKind.UNLOGGED_SYNC}.items():
        other = copy_of(storage)
        for diff_type in DiffType:
            key = STREAM.name(moment(minute), diff_type, NameStyle()).key("cohorts")
            other.create(key, b"amplitude_id\n")
        assert kind in kinds(other)
