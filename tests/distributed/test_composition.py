"""Syncs whose files the storage composes of parts: equal bytes, verified part by part."""

import hashlib
import json
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    RowSchema,
    SyncRecord,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.distributed import (
    ComposedDiff,
    members_digest,
    row_digest,
    write_part,
)
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    MalformedCsvError,
    MissingCapabilityError,
    ObjectChangedError,
    SyncTimeTakenError,
    UnusableDiffError,
)
from amplitude_cohort_s3.format.content import ContentPart, FileContent, verified
from amplitude_cohort_s3.log._json import to_bytes
from amplitude_cohort_s3.log.keys import outcome_key, record_key
from amplitude_cohort_s3.sync import begin_sync, commit, plan_sync
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import SYNC, clock_at, moment

SCHEMA = RowSchema()
BEFORE = [("1", "ann"), ("2", 'b "o" b'), ("4", "d\nd")]
NOW = [("2", "bob"), ("3", "é,"), ("4", "d\nd"), ("5", "")]


def expected_rows(existing):
    """The rows of the three files of the sync from BEFORE to NOW."""
    old, new = dict(BEFORE), dict(NOW)
    stayed = [row for row in NOW if row[0] in old]
    left = [row for row in BEFORE if row[0] not in new]
    return {
        DiffType.ENTERING: [row for row in NOW if row[0] not in old],
        DiffType.EXITING: left,
        DiffType.EXISTING: {
            ExistingMeaning.MEMBERS: NOW,
            ExistingMeaning.STAYED: stayed,
            ExistingMeaning.PREVIOUS: sorted([*stayed, *left]),
        }[existing],
    }


def composed_diff(storage, existing=ExistingMeaning.MEMBERS, *, part_rows=2, run="a"):
    parts = {
        t: [
            write_part(storage, f"_staging/{run}/{t}-{n}", rows[n : n + part_rows], schema=SCHEMA)
            for n in range(0, len(rows), part_rows)
        ]
        for t, rows in expected_rows(existing).items()
    }
    return ComposedDiff.of_parts(parts, schema=SCHEMA, existing=existing)


def sync_with(existing, **options):
    return CohortSync(
        destination=Destination(name="proof", path="cohorts", existing=existing, **options),
        project_id=1,
        cohort_id="a",
    )


def sync_parts(sync, storage, minute, *, part_rows=2, run="a"):
    """Sync from BEFORE to NOW with parts of some rows each."""
    start = begin_sync(sync, storage, synced_at=moment(minute), clock=clock_at(moment(minute)))
    diff = composed_diff(storage, sync.destination.existing, part_rows=part_rows, run=run)
    return start.commit(start.plan(diff), diff).record


def data_files(storage):
    return {
        info.key: storage.open(info.key).read() for info in storage.list_objects("cohorts/1_a_")
    }


@pytest.mark.parametrize("existing", list(ExistingMeaning))
@pytest.mark.parametrize("part_rows", [1, 2, 100])
def test_a_composed_sync_has_the_files_of_an_ordinary_one(existing, part_rows):
    sync = sync_with(existing)
    ordinary, storage = MemoryStorage(), MemoryStorage()
    for one in (ordinary, storage):
        sync_cohort(sync, BEFORE, one, synced_at=moment(0), clock=clock_at(moment(0)))
    sync_cohort(sync, NOW, ordinary, synced_at=moment(1), clock=clock_at(moment(1)))
    record = sync_parts(sync, storage, 1, part_rows=part_rows)
    assert data_files(storage) == data_files(ordinary)
    assert SyncRecord.from_bytes(record.to_bytes(), key=record.key) == record
    assert (record.members_before, record.members) == (3, 4)
    assert all(file.parts for file in record.files.values())
    assert_invariants(storage, sync.stream)
    # An ordinary sync continues the stream, and a reader finds no fault.
    sync_cohort(sync, BEFORE, storage, synced_at=moment(2), clock=clock_at(moment(2)))
    history = read_history(storage, sync.stream)
    assert [list(history.members_at(one)) for one in history] == [BEFORE, NOW, BEFORE]
    assert history.verify() == ()


@pytest.mark.parametrize("existing", list(ExistingMeaning))
def test_a_repeated_sync_is_recognised_for_any_size_of_the_parts(existing):
    sync, storage = sync_with(existing), MemoryStorage()
    sync_cohort(sync, BEFORE, storage, synced_at=moment(0), clock=clock_at(moment(0)))
    first = sync_parts(sync, storage, 1, part_rows=1)
    assert sync_parts(sync, storage, 1, part_rows=3, run="b") == first
    assert read_head(storage, sync.stream).record == first
    with pytest.raises(SyncTimeTakenError):
        begin_sync(
            sync, storage, synced_at=moment(1), clock=clock_at(moment(1))
        ).find_repeated_sync(lambda: "0" * 64)


@given(st.lists(st.tuples(st.text(), st.text())), st.randoms())
def test_the_digest_of_members_does_not_depend_on_their_order(rows, chance):
    rows = [tuple(cell.replace("\0", "") for cell in row) for row in rows]
    rows = [row for row in rows if not any("\ud800" <= c <= "\udfff" for c in "".join(row))]
    shuffled = [*rows]
    chance.shuffle(shuffled)
    digest = members_digest(SCHEMA, sum(map(row_digest, rows)))
    assert digest == members_digest(SCHEMA, sum(map(row_digest, shuffled)))
    assert digest != members_digest(SCHEMA, sum(map(row_digest, [*rows, ("a", "b")])))
    assert digest != members_digest(RowSchema(header_style="api"), sum(map(row_digest, rows)))


@given(st.lists(st.binary(max_size=5)), st.lists(st.integers(1, 6)), st.data())
def test_each_byte_of_a_composed_file_is_verified(parts, chunk_sizes, data):
    whole = b"".join(parts)
    content = FileContent(
        rows=0,
        size=len(whole),
        sha256=hashlib.sha256(whole).hexdigest(),
        parts=tuple(ContentPart(len(p), hashlib.sha256(p).hexdigest()) for p in parts),
    )

    def chunks(of):
        begin = 0
        for size in [*chunk_sizes, 1 << 20]:
            yield of[begin : begin + size]
            begin += size

    assert b"".join(verified(chunks(whole), content, "k")) == whole
    wrong = [whole + b"x", whole[:-1]] if whole else [b"x"]
    if whole:
        at = data.draw(st.integers(0, len(whole) - 1))
        wrong.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for other in wrong:
        with pytest.raises(ObjectChangedError):
            list(verified(chunks(other), content, "k"))


def test_an_edited_composed_file_is_found():
    storage = MemoryStorage()
    sync_cohort(SYNC, BEFORE, storage, synced_at=moment(0), clock=clock_at(moment(0)))
    record = sync_parts(SYNC, storage, 1)
    key = record.files[DiffType.EXISTING].key
    data = storage.open(key).read()
    storage.delete(key)
    storage.create(key, data.replace(b"bob", b"bub"))
    with pytest.raises(ObjectChangedError):
        list(read_head(storage, SYNC.stream).members())
    kinds = {finding.kind.name for finding in read_history(storage, SYNC.stream).verify()}
    assert "EDITED_FILE" in kinds


def shifted(parts):
    """Move a byte from the second part to the first, as if a part could end inside a row."""
    header, first, *rest = parts
    return [[header[0] - 1, header[1]], [first[0] + 1, first[1]], *rest]


def split_in_row(storage, key, parts):
    """Split the rows after the header at a byte inside of a row, with the right digests."""
    data = storage.open(key).read()
    places = [0, parts[0][0], parts[0][0] + 3, len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    return [[len(piece), hashlib.sha256(piece).hexdigest()] for piece in pieces]


def resealed(file):
    listed = "".join(f"{size} {sha256}\n" for size, sha256 in file["parts"])
    return file | {"sha256": hashlib.sha256(listed.encode()).hexdigest()}


@pytest.mark.parametrize("existing", list(ExistingMeaning))
def test_each_claim_about_a_composed_file_is_checked(existing):
    storage, sync = MemoryStorage(), sync_with(existing)
    sync_cohort(sync, BEFORE, storage, synced_at=moment(0), clock=clock_at(moment(0)))
    sync_parts(sync, storage, 1)
    keys = [record_key(sync.stream, 2), outcome_key(sync.stream, 2)]
    record, outcome = (json.loads(storage.open(key).read()) for key in keys)
    edits = {
        "size": lambda f: f | {"size": f["size"] + 1},
        "sha256": lambda f: f | {"sha256": "0" * 64},
        "rows": lambda f: f | {"rows": f["rows"] + 1},
        "digest of a part": lambda f: resealed(f | {"parts": [*f["parts"][:-1], [1, "0" * 64]]}),
        "sizes of parts": lambda f: resealed(f | {"parts": shifted(f["parts"])}),
        "rows in parts": lambda f: resealed(
            f | {"parts": split_in_row(storage, f["key"], f["parts"])}
        ),
        "staged": lambda f: f | {"staged": f["staged"] | {"size": 1}},
    }
    forged = [
        record | {"files": record["files"] | {"existing": edit(record["files"]["existing"])}}
        for edit in edits.values()
    ]
    forged += [record | {"members_sha256": "0" * 64}, record | {"members": 9}]
    for value in forged:
        head = {name: inner for name, inner in value.items() if name != "sha256"}
        end = {name: inner for name, inner in outcome.items() if name != "sha256"}
        for key, sealed in zip(keys, (head, end | {"head": head}), strict=True):
            storage.delete(key)
            storage.create(key, to_bytes(sealed))
        kinds = {finding.kind.name for finding in read_history(storage, sync.stream).verify()}
        assert kinds & {"EDITED_FILE", "WRONG_RECORD"}, value


@pytest.mark.parametrize("rows", [[("2", ""), ("1", "")], [("1", ""), ("1", "")]], ids=str)
def test_unsorted_rows_and_unsorted_parts_are_refused(rows):
    storage = MemoryStorage()
    with pytest.raises(MalformedCsvError, match="ascending order"):
        write_part(storage, "_staging/x", rows, schema=SCHEMA)
    parts = [
        write_part(storage, f"_staging/{n}", [row], schema=SCHEMA) for n, row in enumerate(rows)
    ]
    expected = "'_staging/1': its keys are not all greater than those of the part '_staging/0'"
    with pytest.raises(MalformedCsvError, match=expected):
        ComposedDiff.of_parts(
            {DiffType.ENTERING: parts, DiffType.EXITING: [], DiffType.EXISTING: []}, schema=SCHEMA
        )


def test_a_part_without_rows_is_refused_and_leaves_nothing():
    storage = MemoryStorage()
    with pytest.raises(ValueError, match="needs at least one row"):
        write_part(storage, "_staging/x", [], schema=SCHEMA)
    assert list(storage.list_objects()) == []


def test_a_part_is_picklable_and_shows_no_key():
    part = write_part(MemoryStorage(), "_staging/x", [("secret", "b")], schema=SCHEMA)
    assert pickle.loads(pickle.dumps(part)) == part
    assert "secret" not in repr(part)


def plan_of(sync, diff):
    return plan_sync(sync, diff, synced_at=moment(0), previous=None, guard=False)


class StorageWithoutCompose:
    """The required methods of a storage, and no other."""

    def __init__(self, storage):
        required = ("list_objects", "open", "create", "stage", "inspect", "publish", "discard")
        for method in required:
            setattr(self, method, getattr(storage, method))


def test_a_diff_that_can_not_be_composed_is_refused_before_a_file_is_staged():
    storage = MemoryStorage()
    diff, other = composed_diff(storage), composed_diff(storage, part_rows=1, run="b")
    before = [info.key for info in storage.list_objects()]
    plan = plan_of(SYNC, diff)
    compressed = plan_of(sync_with(ExistingMeaning.MEMBERS, compression="gzip"), diff)
    with pytest.raises(ConfigurationError, match="compress"):
        commit(compressed, diff, storage)
    with pytest.raises(MissingCapabilityError, match="compose"):
        commit(plan, diff, StorageWithoutCompose(storage))
    with pytest.raises(UnusableDiffError, match="plan"):
        commit(plan, other, storage)
    assert [info.key for info in storage.list_objects()] == before
