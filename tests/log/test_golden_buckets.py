"""Buckets of released versions stay readable, and the same syncs give the same bytes.

``tests/log/data/bucket_<version>.json`` is a bucket as that version wrote it: the lines of each
object by its key. ``python tests/log/test_golden_buckets.py`` writes the bucket of the present
version; those of released versions are never written again.
"""

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
    Member,
    MemoryStorage,
    UserProperty,
    adopt,
    forget,
    read_head,
    read_history,
    sync_cohort,
)

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
    """Write three syncs, forget a subject, and adopt another stream."""
    storage = MemoryStorage()
    for day, members in SYNCS.items():
        sync_cohort(SYNC, members, storage, synced_at=at(day), clock=lambda day=day: at(day))
    forget(storage, SYNC.stream, ["300000000003"], clock=lambda: at(5))
    for word, rows in (("entering", "7,gus\n"), ("exiting", ""), ("existing", "7,gus\n8,hal\n")):
        key = f"cohorts/123_theirs_2026-11-01T06:30_{word}.csv"
        storage.create(key, f"amplitudeID,userID\n{rows}".encode())
    adopt(storage, ADOPTED, clock=lambda: at(6))
    return storage


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


def test_a_bucket_of_any_version_can_be_read(golden):
    storage = MemoryStorage()
    for key, data in golden.items():
        storage.create(key, data)

    history = read_history(storage, SYNC.stream)
    assert history.verify() == ()
    assert history.columns == ("amplitude_id", "user_id", "plan", "note")
    churn = [(one.members, one.entered, one.exited, one.returned) for one in history.churn()]
    assert churn == [(3, 3, 0, 0), (3, 1, 1, 0), (3, 1, 1, 1)]
    assert [*history.members_at(at(2))] == [
        ("300000000001", "ann", "free", ""),
        ("300000000004", "zoë 雪", "free", ""),
        ("300000000005", "eve", "free", 'say "x"'),
    ]
    assert read_history(storage, ADOPTED).verify() == ()
    assert read_head(storage, ADOPTED).record.members == 2


def test_a_bucket_of_any_version_can_be_continued(golden):
    storage = MemoryStorage()
    for key, data in golden.items():
        storage.create(key, data)

    assert read_head(storage, SYNC.stream).record.synced_at == at(4)
    result = sync_cohort(SYNC, SYNCS[4][:2], storage, synced_at=at(7))
    assert (result.record.number, result.record.members) == (5, 2)  # 4 is the forgetting
    assert read_history(storage, SYNC.stream).verify() == ()


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
