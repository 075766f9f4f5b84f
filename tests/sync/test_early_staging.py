"""Large files are staged while they grow; nothing of that stays if the sync is not committed."""

import gzip
import os
import threading

import attrs
import pytest
from syncs import AT, HOUR, NOW, OLD, SYNC, contents, data_files, run_sync, with_settings

from amplitude_cohort_s3 import (
    Cadence,
    DiffType,
    Guard,
    LocalStorage,
    MemoryStorage,
    prepare_sync,
    run_due,
)
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.errors import MassExitError, SyncTimeTakenError, UnusableDiffError
from amplitude_cohort_s3.sync import early_staging
from amplitude_cohort_s3.sync.prepare import prepare_start
from amplitude_cohort_s3.sync.start import begin_sync
from amplitude_cohort_s3.testing.cut_matrix import CutMatrix

ENTERING, EXITING, EXISTING = DiffType
ENGINE = PartitionEngine(range_bytes=16 << 10)
PEOPLE = [(f"{n:06}", f"user {n:06}") for n in range(20_000)]
LATER = PEOPLE[:-10]
SIZE = 40_000


@pytest.fixture(autouse=True)
def small_files_are_large(monkeypatch):
    monkeypatch.setattr(early_staging, "EARLY_BYTES", SIZE)
    monkeypatch.setattr(early_staging, "CHUNK_BYTES", 4096)


class Watched(MemoryStorage):
    """A storage that counts the files whose staging begins, and the bytes that it has received.

    Attributes:
        begun: The kind of each file whose staging has begun.
        received: The number of bytes that have been read of each.
        gate: An event before which no byte is read, or None.
        refuse: The exception that ends the staging of a file, or None.
        broken: The exception that ends the reading of a visible file midway, or None.
    """

    def __init__(self):
        super().__init__()
        self.begun = []
        self.received = {}
        self.broken = None
        self.refuse = None
        self.gate = None

    def stage(self, key, chunks, /, *, content_type="text/csv"):
        kind = key.removesuffix(".gz").removesuffix(".csv").rpartition("_")[2]
        self.begun.append(kind)
        self.received[kind] = 0

        def counted():
            if self.gate is not None:
                self.gate.wait()
            for chunk in chunks:
                self.received[kind] += len(chunk)
                yield chunk
                if self.refuse is not None:
                    raise self.refuse

        return super().stage(key, counted(), content_type=content_type)

    def open(self, key, /):
        stream = super().open(key)
        if self.broken is not None and key.endswith("existing.csv"):
            half = stream.read(len(stream.getvalue()) // 2)
            return Breaking(half, self.broken)
        return stream

    def count_staged(self):
        return len(vars(self)["_staged"])


class Breaking:
    """A stream that raises at its end."""

    def __init__(self, data, error):
        self._left = [data]
        self._error = error

    def read(self, size=-1):
        if self._left:
            return self._left.pop()
        raise self._error

    def readinto(self, buffer):
        data = self.read()
        buffer[: len(data)] = data
        return len(data)

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("stage")]


@pytest.fixture
def storage():
    storage = Watched()
    run_sync(storage, PEOPLE, engine=ENGINE)
    storage.begun.clear()
    yield storage
    assert storage.count_staged() == 0
    assert threads() == []


def sync_later(storage, members=LATER, **options):
    return run_sync(storage, members, AT + HOUR, engine=ENGINE, **options)


def test_the_files_are_those_of_a_sync_that_stages_at_the_end(storage, monkeypatch):
    sync_later(storage)
    assert sorted(storage.begun) == ["entering", "existing", "exiting"]
    monkeypatch.setattr(early_staging, "EARLY_BYTES", 1 << 30)
    other = Watched()
    run_sync(other, PEOPLE, engine=ENGINE)
    sync_later(other)
    assert data_files(other) == data_files(storage)
    assert len(contents(other)) == len(contents(storage))


def test_a_large_file_is_staged_before_the_plan_exists(storage):
    """The guard stops the sync after its largest file was nearly staged."""
    with pytest.raises(MassExitError):
        sync_later(storage, PEOPLE[:9_000])
    assert sorted(storage.begun) == ["existing", "exiting"]
    assert len(data_files(storage)) == 3


def test_small_files_are_staged_after_the_plan(storage):
    with pytest.raises(MassExitError):
        sync_later(storage, PEOPLE[:100], guard=Guard(max_exits=5))
    assert "existing" not in storage.begun


def test_a_sync_that_may_not_be_committed_stages_nothing_early(storage):
    with prepare_sync(
        SYNC, LATER, storage, synced_at=AT + HOUR, clock=lambda: NOW, engine=ENGINE
    ) as prepared:
        assert storage.begun == []
        prepared.commit()
        assert sorted(storage.begun) == ["entering", "existing", "exiting"]
    storage.begun.clear()
    run_sync(storage, PEOPLE, AT + 2 * HOUR, engine=ENGINE, dry_run=True)
    sync_later(storage)  # a repeated run
    with pytest.raises(SyncTimeTakenError):
        sync_later(storage, PEOPLE)
    assert storage.begun == []


def test_a_run_of_due_syncs_stages_early(storage):
    sync = attrs.evolve(SYNC, cadence=Cadence.HOURLY)
    report = run_due([(sync, PEOPLE[:9_000])], storage, NOW)
    assert isinstance(report.results[0].error, MassExitError)
    assert "existing" in storage.begun


@pytest.mark.parametrize("error", [OSError("the network"), KeyboardInterrupt()], ids=repr)
def test_a_sync_that_fails_while_it_compares_keeps_nothing(storage, error):
    storage.broken = error
    with pytest.raises(type(error)):
        sync_later(storage)
    assert storage.begun == ["existing"]
    storage.broken = None
    assert len(data_files(storage)) == 3


def test_an_error_of_the_store_is_raised_when_the_sync_is_committed(storage):
    """Errors of the members and of the plan come first, as if the file was staged at the end."""
    storage.refuse = OSError("the store is full")
    with pytest.raises(OSError, match="the store is full"):
        sync_later(storage)
    with pytest.raises(MassExitError):
        sync_later(storage, PEOPLE[:9_000])


def test_an_interrupt_at_the_end_of_the_upload_keeps_nothing(storage, monkeypatch):
    real = early_staging.Answer.result

    def interrupted(answer):
        result = real(answer)
        monkeypatch.setattr(early_staging.Answer, "result", real)
        raise KeyboardInterrupt(result)

    monkeypatch.setattr(early_staging.Answer, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sync_later(storage)
    assert len(data_files(storage)) == 3


def prepared_early(storage):
    start = begin_sync(SYNC, storage, synced_at=AT + HOUR, clock=lambda: NOW)
    return prepare_start(
        start,
        LATER,
        duplicates="refuse",
        engine=ENGINE,
        work_dir=None,
        progress=None,
        commits=True,
    )


def test_a_file_that_is_changed_while_it_is_staged_is_not_published(storage):
    storage.gate = threading.Event()
    with prepared_early(storage) as prepared:
        assert storage.begun == ["existing"]
        with prepared.diff.existing.path.open("r+b") as file:
            file.seek(-3, os.SEEK_END)
            file.write(b"X")
        storage.gate.set()
        with pytest.raises(UnusableDiffError, match="'existing' was changed"):
            prepared.commit()
    assert len(data_files(storage)) == 3


def test_a_committed_sync_can_be_committed_again(storage):
    with prepared_early(storage) as prepared:
        first = prepared.commit()
        assert prepared.commit().record.ref == first.record.ref
    assert len(data_files(storage)) == 6


@pytest.mark.parametrize("local", [False, True])
def test_compressed_files_are_compressed_while_they_grow(tmp_path, local):
    storage = LocalStorage(tmp_path) if local else Watched()
    sync = with_settings(compression="gzip")
    result = run_sync(storage, PEOPLE, sync=sync, engine=ENGINE)
    file = result.record.files[EXISTING]
    data = gzip.decompress(contents(storage)[file.key])
    assert data.count(b"\n") == len(PEOPLE) + 1
    with pytest.raises(MassExitError):
        run_sync(storage, OLD, AT + HOUR, sync, engine=ENGINE)
    assert len(data_files(storage)) == 3
    if local:
        assert list(storage.list_staged()) == []


def test_two_logs_and_another_storage_get_the_same_files(storage):
    """A file that was staged in one storage does not count as staged in another."""
    other = Watched()
    with prepared_early(storage) as prepared:
        staged = prepared.diff.stage(EXISTING, other, "k")
        assert other.inspect(staged).name == "STAGED"
        prepared.commit()


class TestEarlyCut(CutMatrix):
    """Each call of a sync fails that stages its files while they grow."""

    @pytest.fixture
    def new_storage(self, monkeypatch):
        # More than the header, so that the previous file is opened before anything is staged.
        monkeypatch.setattr(early_staging, "EARLY_BYTES", 24)
        return MemoryStorage
