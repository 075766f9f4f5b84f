"""A small cohort of three members, and ways to sync it, for the tests of ``sync``."""

import gzip
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    MemoryStorage,
    NameStyle,
    diff_members,
    read_head,
    sync_cohort,
)
from amplitude_cohort_s3.errors import SyncVoidError
from amplitude_cohort_s3.storage.local import STAGING_FOLDER
from amplitude_cohort_s3.sync import plan_sync
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage

ENTERING, EXITING, EXISTING = DiffType
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
NOW = AT + 10 * HOUR
SYNC = CohortSync(
    destination=Destination(name="warehouse", path="cohorts"),
    project_id=123,
    cohort_id="26umsb5",
)
STREAM = SYNC.stream
OLD = [("1", "ann"), ("2", "bob"), ("3", "cy")]
NEW = [("2", "bob"), ("3", "cy"), ("4", "dee")]


def run_sync(storage, members, at=AT, sync=SYNC, *, now=NOW, **options):
    return sync_cohort(sync, members, storage, synced_at=at, clock=lambda: now, **options)


def with_settings(sync=SYNC, /, **settings):
    """Return the sync with other settings of its destination."""
    return attrs.evolve(sync, destination=attrs.evolve(sync.destination, **settings))


def contents(storage):
    """Return the bytes of every visible object by its key."""
    found = {}
    for info in storage.list_objects():
        with storage.open(info.key) as file:
            found[info.key] = file.read()
    return found


def data_files(storage):
    return {key: data for key, data in contents(storage).items() if "_syncs/" not in key}


def rows(storage, result):
    """Return the rows of the three files of a sync."""
    found = []
    for file in result.record.files.values():
        data = contents(storage)[file.key]
        if file.key.endswith(".gz"):
            data = gzip.decompress(data)
        found.append(list(result.record.schema.decode([data])))
    return found


def members_now(storage, sync=SYNC, **options):
    return list(read_head(storage, sync.stream, **options).members())


def staged_objects(storage):
    """Return what is stored and not visible, read from the inside of the storage."""
    if isinstance(storage, MemoryStorage):
        return list(vars(storage)["_staged"])
    return [path.name for path in (storage.root / STAGING_FOLDER).rglob("*") if path.is_file()]


def assert_refused(storage, error, act):
    """Assert that a function raises, changes no object, and leaves nothing staged."""
    before = contents(storage)
    with pytest.raises(error) as caught:
        act()
    assert contents(storage) == before
    assert not staged_objects(storage)
    return caught.value


def plan_and_diff(storage, members, at):
    head = read_head(storage, STREAM)
    before = () if head is None else head.members()
    diff = diff_members(before, members, schema=SYNC.schema)
    return plan_sync(SYNC, diff, synced_at=at, previous=head), diff


class _LosingStorage(FaultyStorage):
    """A storage that loses the staged file ``existing`` just before it is published."""

    def publish(self, staged, /):
        if "existing" in staged.key:
            self.inner.discard(staged)
        return super().publish(staged)


def make_void(storage, members, at, sync=SYNC):
    """Run a sync that loses a staged file, for example by a rule of the bucket."""
    with pytest.raises(SyncVoidError):
        run_sync(_LosingStorage(storage, Fault()), members, at, sync, log=storage)


class _DyingStorage(FaultyStorage):
    """A storage whose process dies before it publishes anything."""

    def publish(self, staged, /):
        raise Death(staged.key)


def abandon(storage, members, at=AT, sync=SYNC, *, log=None):
    """Run a sync whose writer dies right after it created the record."""
    with pytest.raises(Death):
        run_sync(_DyingStorage(storage, Fault()), members, at, sync, log=log or storage)


def write_like_amplitude(storage, at, entering, exiting, existing, *, words=DiffType):
    """Write the files of a sync as Amplitude might: unsorted, all cells quoted, CRLF."""
    for diff_type, members in zip(DiffType, (entering, exiting, existing), strict=True):
        lines = [("amplitude_id", "user_id"), *reversed(members)]
        data = "".join('"{}"\r\n'.format('","'.join(cells)) for cells in lines)
        if diff_type in words:
            storage.create(STREAM.name(at, diff_type, NameStyle()).key("cohorts"), data.encode())
