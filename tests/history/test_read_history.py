"""Reading a bucket: two listings, no file, and a reason for every object that is skipped."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from interleaving import calls_of, interrupted
from random_history import TIMES, build, random_cohorts

from amplitude_cohort_s3 import (
    CohortFileName,
    CohortStream,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    NameStyle,
    RowSchema,
    adopt,
    list_streams,
    prune,
    read_history,
    sync_cohort,
)

ENTERING, EXITING, EXISTING = DiffType
OLD = [("1", "ann"), ("2", "bob"), ("3", "cy")]


class Watched(MemoryStorage):
    """Another storage, with a list of the prefixes that are listed and the keys that are opened.

    Its first listing does not show the keys that end in ``hidden``.
    """

    def __init__(self, storage: MemoryStorage, hidden: str | None = None) -> None:
        self.storage, self.hidden = storage, hidden
        self.listed, self.opened = list[str](), list[str]()

    def open(self, key, /):
        self.opened.append(key)
        return self.storage.open(key)

    def list_objects(self, prefix="", /, *, start_after=None):
        self.listed.append(prefix)
        listing = self.storage.list_objects(prefix, start_after=start_after)
        if self.hidden is None or len(self.listed) > 1:
            return listing
        return (info for info in listing if not info.key.endswith(self.hidden))


@pytest.fixture
def bucket():
    return build(random_cohorts(0), ExistingMeaning.MEMBERS, keep_log=True)


def test_no_file_is_read_until_a_question_needs_it(bucket):
    storage, sync = bucket
    watched = Watched(storage)
    history = read_history(watched, sync.stream, match_by="amplitude_id")
    assert len(history) == len(TIMES)
    assert watched.opened == []
    list(history.members_at(TIMES[3]))
    data_keys = [key for key in watched.opened if key.endswith(".csv")]
    assert data_keys == [history[3].files[EXISTING].key]


# --- How often a bucket is listed ---------------------------------------------------------


def listings(storage, stream: CohortStream) -> int:
    """The number of listings of the data, which is also that of the log."""
    watched = Watched(storage)
    read_history(watched, stream)
    data, log = stream.data_prefix, stream.log_prefix
    assert watched.listed == [data, log] * (len(watched.listed) // 2)
    return len(watched.listed) // 2


@pytest.mark.parametrize("keep", ["changes", "nothing"])
def test_a_bucket_is_listed_once_before_and_after_prune(bucket, keep):
    storage, sync = bucket
    assert listings(storage, sync.stream) == 1
    receipt = prune(storage, sync.stream, before=TIMES[6], keep=keep)
    assert receipt.plan.files
    assert listings(storage, sync.stream) == 1


def test_a_bucket_is_listed_once_while_prune_deletes_files(bucket):
    storage, sync = bucket

    class Interrupted(MemoryStorage):
        """The storage of a prune that dies after it deleted one file."""

        deleted = 0
        list_objects, open, create, stage = (
            storage.list_objects,
            storage.open,
            storage.create,
            storage.stage,
        )

        def delete(self, key, /):
            if self.deleted:
                raise KeyboardInterrupt
            self.deleted += 1
            storage.delete(key)

    with pytest.raises(KeyboardInterrupt):
        prune(Interrupted(), sync.stream, before=TIMES[6])
    assert read_history(storage, sync.stream).log.pending is not None
    assert listings(storage, sync.stream) == 1


def test_a_bucket_is_listed_twice_if_the_log_does_not_explain_a_missing_file(bucket):
    storage, sync = bucket
    prune(storage, sync.stream, before=TIMES[6])
    lost = read_history(storage, sync.stream)[2].files[ENTERING]
    storage.delete(lost.key)
    assert listings(storage, sync.stream) == 2


def test_a_sync_that_is_published_between_the_listings_is_complete(bucket):
    storage, sync = bucket
    last = TIMES[-1].isoformat()[:16]
    watched = Watched(storage, hidden=f"{last}_existing.csv")
    history = read_history(watched, sync.stream)
    assert [one.missing for one in history] == [()] * len(TIMES)
    assert len(watched.listed) == 4


# --- Objects that are not files of the stream ----------------------------------------------


def test_objects_that_are_not_files_of_the_stream_are_skipped_with_a_reason(bucket):
    storage, sync = bucket
    sync_cohort(evolve(sync, routing_key="vip"), [("1", "ann", "")], storage, synced_at=TIMES[0])
    storage.create("p/1_abc_notes.txt", b"")
    storage.create("p/1_abc_2026-02-30T00:00_entering.csv", b"")
    history = read_history(storage, sync.stream)
    assert len(history) == len(TIMES)
    reasons = {skipped.key: skipped.reason for skipped in history.skipped}
    assert len(reasons) == 5
    assert "time must begin" in reasons["p/1_abc_notes.txt"]
    assert "time" in reasons["p/1_abc_2026-02-30T00:00_entering.csv"]
    assert "another stream" in reasons["p/1_abc_2026-01-01T00:00_existing_vip.csv"]


def test_a_bucket_shows_its_streams(bucket):
    storage, sync = bucket
    storage.create("q/r/7_zz_2026-01-01T00-00_entering_a_b.csv", b"")
    ours, other = list_streams(storage)
    assert (ours.stream, ours.syncs, ours.files, ours.has_log) == (sync.stream, 12, 36, True)
    assert (ours.first, ours.last) == (TIMES[0], TIMES[-1])
    assert (other.stream.path, other.stream.routing_key, other.has_log) == ("q/r", "a_b", False)
    assert [one.stream for one in list_streams(storage, "q")] == [other.stream]


# --- Names that Amplitude may write ---------------------------------------------------------


def write_sync(storage, key_of) -> None:
    """Create the three files of a first sync, without a log."""
    for diff_type, members in zip(DiffType, (OLD, [], OLD), strict=True):
        storage.create(key_of(diff_type), b"".join(RowSchema().encode(members)))


def test_files_with_an_empty_routing_key_belong_to_the_stream_without_one(storage):
    style = NameStyle(empty_routing_key=True)
    write_sync(storage, lambda t: CohortFileName(1, "a", AT, t, style=style).key("cohorts"))
    stream = CohortStream(project_id=1, cohort_id="a", path="cohorts")
    history = read_history(storage, stream)
    assert [history.record(one) for one in history] == [None]
    assert list(history.members_at(AT)) == OLD


def test_a_stream_without_a_project_is_read(storage):
    stream = CohortStream(project_id=None, cohort_id="26umsb5", path="cohorts")
    write_sync(storage, lambda t: stream.name(AT, t, NameStyle()).key("cohorts"))
    assert list(read_history(storage, stream).members_at(AT)) == OLD
    assert list(adopt(storage, stream).members()) == OLD


AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


def test_a_sync_that_is_published_between_the_listings_is_in_the_log_or_not_seen(bucket):
    """The data is listed before the log, so every sync that is seen has its record."""
    storage, sync = bucket

    def publish(store):
        now = TIMES[-1] + timedelta(hours=1)
        sync_cohort(sync, [("1", "ann", "")], store, clock=lambda: now, guard=False)

    calls = calls_of(lambda s: read_history(s, sync.stream), storage)
    syncs = len(read_history(storage, sync.stream))
    for at in range(len(calls)):
        history = interrupted(lambda s: read_history(s, sync.stream), storage, at, publish)
        assert [history.record(one) for one in history].count(None) == 0
        syncs += 1
        assert syncs - 1 <= len(history) <= syncs
        assert history.unpublished == ()
