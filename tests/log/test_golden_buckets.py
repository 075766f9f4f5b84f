"""Buckets of released versions stay readable, and the same syncs give the same bytes.

``tests/log/data/bucket_<version>.json`` is a bucket as that version wrote it: the lines of each
object by its key. ``python tests/log/test_golden_buckets.py`` writes the bucket of the installed
version; those of released versions are never written again.
"""

import hashlib
import hmac
import itertools
import json
import uuid
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from amplitude_cohort_s3 import (
    CohortStream,
    CohortSync,
    Destination,
    DiffType,
    Member,
    MemoryStorage,
    SyncRecord,
    UserProperty,
    adopt,
    forget,
    prune,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.distributed import ComposedDiff, write_part
from amplitude_cohort_s3.log.keys import record_key
from amplitude_cohort_s3.sources import select
from amplitude_cohort_s3.sync import begin_sync
from amplitude_cohort_s3.testing.faulty_storage import Death

DATA = Path(__file__).parent / "data"
BUCKETS = sorted(DATA.glob("bucket_*.json"))
PRESENT = DATA / f"bucket_{version('amplitude_cohort_s3')}.json"

SYNC = CohortSync(
    destination=Destination(name="golden", path="cohorts"),
    project_id=123,
    cohort_id="26umsb5",
    user_properties=[UserProperty("plan"), UserProperty("note")],
    routing_key="vip_eu",
)
ADOPTED = CohortStream(project_id=123, cohort_id="theirs", path="cohorts")
HASHED = CohortSync(
    destination=Destination(name="golden", path="cohorts", match_by="user_id"),
    project_id=123,
    cohort_id="hashed",
)
COMPOSED = CohortSync(
    destination=Destination(name="golden", path="cohorts"), project_id=123, cohort_id="composed"
)
SECRET = "the secret of the golden bucket"


def at(day):
    return datetime(2026, 11, day, 6, 30, tzinfo=UTC)


def member(number, user_id, plan="free", note=""):
    return Member(str(300_000_000_000 + number), user_id, {"plan": plan, "note": note})


SYNCS = {
    1: [member(1, "ann", "pro"), member(2, "bob"), member(3, ""), member(4, "zoë 雪", note="a\nb")],
    2: [
        member(1, "ann", "free"),
        member(3, ""),
        member(4, "zoë 雪"),
        member(5, "eve", note='say "x"'),
    ],
    4: [member(1, "ann"), member(2, "bob", note="back, again"), member(5, "eve")],
}


def write_bucket():
    """Write four streams, whose logs have every kind of entry and every field."""
    storage = MemoryStorage()
    write_syncs_and_forget(storage)
    write_adopted(storage)
    write_hashed_and_recovered(storage)
    write_composed(storage)
    return storage


def write_syncs_and_forget(storage):
    for day, members in SYNCS.items():
        sync_cohort(SYNC, members, storage, synced_at=at(day), clock=lambda day=day: at(day))
    forget(storage, SYNC.stream, ["300000000003"], clock=lambda: at(5))


def write_adopted(storage):
    for word, rows in (("entering", "7,gus\n"), ("exiting", ""), ("existing", "7,gus\n8,hal\n")):
        key = f"cohorts/123_theirs_2026-11-01T06:30_{word}.csv"
        storage.create(key, f"amplitudeID,userID\n{rows}".encode())
    adopt(storage, ADOPTED, clock=lambda: at(6))


def write_hashed_and_recovered(storage):
    """Write a sync that is recovered, one that becomes void, and a prune, with hashed ids."""
    sync_hashed(storage, 1, ["ann", "bob", ""])
    die_in_sync(storage, 2, ["ann", "cy"])
    sync_hashed(storage, 3, ["ann", "cy", "dee"])
    die_in_sync(storage, 4, ["eve"])
    key = record_key(HASHED.stream, 4)
    for file in SyncRecord.from_bytes(storage.open(key).read(), key=key).files.values():
        storage.discard(file.staged)
    sync_hashed(storage, 5, ["cy", "dee"])
    prune(storage, HASHED.stream, before=at(3), clock=lambda: at(6))
    sync_hashed(storage, 7, ["cy", "dee", "fay"])


def sync_hashed(storage, day, names):
    rows = [(number, name) for number, name in enumerate(names, 1)]
    members = select(rows, hash=["user_id"], secret=SECRET)
    return sync_cohort(HASHED, members, storage, synced_at=at(day), clock=lambda: at(day))


def die_in_sync(storage, day, names):
    """Sync in a process that dies after it has recorded the sync."""

    def die(staged):
        raise Death

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "publish", die)
        with pytest.raises(Death):
            sync_hashed(storage, day, names)


def write_composed(storage):
    start = begin_sync(COMPOSED, storage, synced_at=at(1), clock=lambda: at(1))
    rows = [("1", "ann"), ("2", "bob"), ("3", "cy")]
    parts = {DiffType.ENTERING: [], DiffType.EXITING: [], DiffType.EXISTING: []}
    for diff_type in (DiffType.ENTERING, DiffType.EXISTING):
        for number, some in enumerate((rows[:2], rows[2:])):
            key = f"_staging/{diff_type}-{number}"
            parts[diff_type].append(write_part(storage, key, some, schema=COMPOSED.schema))
    diff = ComposedDiff.of_parts(parts, schema=COMPOSED.schema)
    start.commit(start.plan(diff), diff)
    for info in list(storage.list_objects("_staging/")):
        storage.delete(info.key)


def contents(storage):
    bucket = {}
    for found in storage.list_objects():
        with storage.open(found.key) as file:
            bucket[found.key] = file.read()
    return bucket


def load(path):
    lines = json.loads(path.read_text(encoding="utf-8"))
    return {key: "".join(one).encode() for key, one in lines.items()}


@pytest.fixture(params=BUCKETS, ids=lambda path: path.stem)
def golden(request):
    return load(request.param)


@pytest.fixture
def written(monkeypatch):
    """Return the bucket as it is written now, with numbers instead of random tokens."""
    count_tokens(monkeypatch)
    return contents(write_bucket())


def count_tokens(monkeypatch):
    numbers = itertools.count(1)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=next(numbers)))


def test_a_bucket_of_this_version_exists():
    assert PRESENT in BUCKETS


@pytest.fixture
def stored(golden):
    storage = MemoryStorage()
    for key, data in golden.items():
        storage.create(key, data)
    return storage


def test_a_bucket_of_any_version_can_be_read(stored):
    history = read_history(stored, SYNC.stream)
    assert history.verify() == ()
    assert history.columns == ("amplitude_id", "user_id", "plan", "note")
    churn = [(one.members, one.entered, one.exited, one.returned) for one in history.churn()]
    assert churn == [(3, 3, 0, 0), (3, 1, 1, 0), (3, 1, 1, 1)]
    assert [*history.members_at(at(2))] == [
        ("300000000001", "ann", "free", ""),
        ("300000000004", "zoë 雪", "free", ""),
        ("300000000005", "eve", "free", 'say "x"'),
    ]
    assert read_history(stored, ADOPTED).verify() == ()
    assert read_head(stored, ADOPTED).record.members == 2

    hashed = read_history(stored, HASHED.stream)
    assert hashed.verify() == ()
    assert [one.recovered for one in hashed.runs()] == [0, 0, 1, 0, 1, 0]
    assert [one.outcome for one in hashed.runs()].count("void") == 1
    ids = {row["user_id"] for row in hashed.members_at()}
    assert ids == {
        hmac.new(SECRET.encode(), name, hashlib.sha256).hexdigest()
        for name in (b"cy", b"dee", b"fay")
    }

    composed = read_history(stored, COMPOSED.stream)
    assert composed.verify() == ()
    assert [*composed.members_at()] == [("1", "ann"), ("2", "bob"), ("3", "cy")]


def test_a_bucket_of_any_version_can_be_continued(stored):
    assert read_head(stored, SYNC.stream).record.synced_at == at(4)
    result = sync_cohort(SYNC, SYNCS[4][:2], stored, synced_at=at(7))
    assert (result.record.number, result.record.members) == (5, 2)  # 4 is the forgetting
    assert read_history(stored, SYNC.stream).verify() == ()
    assert sync_hashed(stored, 8, ["cy"]).record.members == 1
    assert read_history(stored, HASHED.stream).verify() == ()
    result = sync_cohort(COMPOSED, [("2", "bob")], stored, synced_at=at(2), guard=False)
    assert (result.record.members_before, result.record.members) == (3, 1)
    assert read_history(stored, COMPOSED.stream).verify() == ()


def test_the_same_members_give_the_same_files_in_any_version(golden, written):
    files = {key: data for key, data in written.items() if key.endswith(".csv")}
    assert files == {key: data for key, data in golden.items() if key.endswith(".csv")}


def test_the_same_syncs_give_the_same_log_in_this_version(written):
    assert written == load(PRESENT)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        count_tokens(patch)
        bucket = contents(write_bucket())
    lines = {key: data.decode().splitlines(keepends=True) for key, data in bucket.items()}
    PRESENT.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
