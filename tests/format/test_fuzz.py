"""Bad input: any input gives a result or an error of the library, and no file leaves its root."""

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortFileName,
    CohortS3Error,
    CohortStream,
    CohortSync,
    Destination,
    LocalStorage,
    MemoryStorage,
    RowSchema,
    read_head,
    read_history,
    recover,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    InvalidFileNameError,
    InvalidKeyError,
    MalformedCsvError,
    RecordFormatError,
    UnsuitableStorageError,
)
from amplitude_cohort_s3.format.compression import compress_chunks, decompress_chunks
from amplitude_cohort_s3.format.reader import read_table
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.log.keys import outcome_key, parse_log_key, record_key
from amplitude_cohort_s3.log.outcomes import Outcome
from amplitude_cohort_s3.log.records import SyncRecord
from amplitude_cohort_s3.storage import StagedObject
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.small_cohort import STREAM, SYNC, moment, rows, sync_ids

NAME = "1_a_2026-11-23T14:05_entering_key.csv"
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
"""Any text, lone surrogates included."""

HOSTILE = (
    *("", ".", "..", "../up", "a/../../up", "/etc/passwd", "//a", "a//b", "a/", "./a", "~", "~/a"),
    *("nul\0", "line\nfeed", "tab\t", "back\\..\\..\\up", "C:\\up", "C:up", "\\\\host\\share"),
    *("\u2024\u2024/up", "\uff0e\uff0e/up", "\u2215etc", "..\u200b/up", "\u202egnp", "e\u0301"),
    *("\ud800", "x" * 255, "x" * 256, "x" * 1025, "é" * 513, "a/" * 300 + "a", "%2e%2e/up"),
    *(".amplitude_cohort_s3/x", ".amplitude_cohort_s3", ".Amplitude_Cohort_S3/x"),
    *("_syncs/1_a/99999998-00000001.json", "con", "aux.csv", "a.", "a ", "-rf", "$(up)", "`up`"),
)

hostile = pytest.mark.parametrize("text", HOSTILE, ids=ascii)


def cut_and_spliced(valid: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for the bytes with a part replaced, and for random bytes."""
    place = st.integers(0, len(valid))
    return st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda a, b, new: valid[: min(a, b)] + new + valid[max(a, b) :],
            place,
            place,
            st.binary(max_size=8),
        ),
    )


# --- Names -------------------------------------------------------------------------------


@given(ANY_TEXT | cut_and_spliced(NAME.encode()).map(lambda b: b.decode("utf-8", "replace")))
def test_any_text_is_a_name_or_a_name_error(text):
    for read in (CohortFileName.parse, CohortFileName.from_key):
        with suppress(InvalidFileNameError):
            read(text)
    parse_log_key(STREAM, text)
    parse_log_key(STREAM, STREAM.log_prefix + text)


# --- CSV ---------------------------------------------------------------------------------

CSV = b'amplitudeID,userID,plan\n1,ann,"a,""b"\n2,,"c\nd"\n'


@given(data=cut_and_spliced(CSV), canonical=st.booleans(), size=st.integers(1, 64))
@example(data=b'"', canonical=False, size=1)
@example(data=b"\xef\xbb\xbf", canonical=False, size=1)
def test_any_bytes_are_csv_or_a_csv_error(data, canonical, size):
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    with suppress(MalformedCsvError):
        list(chain.from_iterable(read_table(chunks, canonical=canonical).batches))
    with suppress(CohortS3Error):
        list(RowSchema(properties=("plan",)).decode(chunks, canonical=canonical))


@given(cut_and_spliced(b"".join(compress_chunks([CSV * 10]))))
def test_any_bytes_are_gzip_or_an_error_of_the_library(data):
    with suppress(CohortS3Error):
        list(decompress_chunks([data]))


# --- The log ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log() -> MemoryStorage:
    """Return a log of three published syncs, a void one, and an unfinished one."""
    storage = MemoryStorage()
    for minute in range(3):
        sync_ids(storage, {minute, minute + 1, 9}, minute)
    for minute in (3, 4):
        fault = Fault()
        sync_ids(FaultyStorage(copy_of(storage), fault), {1, minute}, minute)
        with suppress(Death):
            at = fault.calls.index("inspect")
            sync_ids(FaultyStorage(storage, Fault(at=at)), {1, minute}, minute)
        if minute == 3:
            record = SyncRecord.from_bytes(read(storage, record_key(STREAM, 4)), key="")
            for file in record.files.values():
                storage.discard(file.staged)
            recover(storage, STREAM)
    return storage


def copy_of(storage: MemoryStorage) -> MemoryStorage:
    same = MemoryStorage()
    same._visible = dict(storage._visible)  # noqa: SLF001 -- the store is changed directly
    same._staged = dict(storage._staged)  # noqa: SLF001
    return same


def overwrite(storage: MemoryStorage, key: str, data: bytes) -> None:
    storage.delete(key)
    storage.create(key, data)


def read(storage: MemoryStorage, key: str) -> bytes:
    with storage.open(key) as stream:
        return stream.read()


def sealed(value: dict) -> bytes:
    """Return the entry with a valid digest, as someone who knows the format can make it."""
    return Forged(value).to_bytes()


class Forged(SyncRecord):
    """A record with any JSON, written like a record of the library."""

    def __init__(self, value):
        self.__dict__["value"] = {k: v for k, v in value.items() if k != "sha256"}

    def to_json(self):
        return self.__dict__["value"]


@given(cut_and_spliced(b'{"schema_version": 1}'))
def test_bytes_that_are_not_a_record_are_refused(data):
    for kind in (SyncRecord, Outcome):
        with pytest.raises(RecordFormatError):
            kind.from_bytes(data, key="k")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)


def paths(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path to every value inside JSON."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from paths(inner, (*path, name))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), junk=JSON)
def test_a_record_with_junk_in_it_is_read_or_refused_as_a_record(log, data, junk):
    for key in (record_key(STREAM, 2), outcome_key(STREAM, 2)):
        value = json.loads(read(log, key))
        *parents, name = data.draw(st.sampled_from(list(paths(value))))
        at = value
        for parent in parents:
            at = at[parent]
        at[name] = junk
        kind = Outcome if ".end." in key else SyncRecord
        with suppress(RecordFormatError):
            kind.from_bytes(sealed(value), key=key)


@pytest.mark.parametrize("name", [record_key, outcome_key])
def test_each_flipped_bit_of_an_entry_is_detected(log, name, record_property):
    key = name(STREAM, 2)
    whole = read(log, key)
    kind = Outcome if name is outcome_key else SyncRecord
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RecordFormatError):
            kind.from_bytes(bytes(flipped), key=key)
    record_property("cases", len(whole) * 8)


def edits(value: dict) -> Iterator[dict]:
    """Yield the entry with one of its values changed, for each value."""
    for path in paths(value):
        edited = copy.deepcopy(value)
        *parents, name = path
        at = edited
        for parent in parents:
            at = at[parent]
        match at[name]:
            case bool():
                at[name] = not at[name]
            case int():
                at[name] += 1
            case str() as text:
                at[name] = "0" * 64 if len(text) == 64 else text[:-1] + chr(ord(text[-1]) ^ 1)
            case None:
                at[name] = "x"
            case list():
                at[name] = [*at[name], "plan"]
            case dict():
                at[name] = {**at[name], "x": "y"}
        if path != ("sha256",):
            yield edited


def entries(log):
    return [info.key for info in log.list_objects(STREAM.log_prefix)]


def test_an_entry_that_someone_edited_is_refused(log, record_property):
    """Change any value of any entry, but not the digest."""
    cases = 0
    for key in entries(log):
        for value in edits(json.loads(read(log, key))):
            data = (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
            kind = Outcome if ".end." in key else SyncRecord
            with pytest.raises(RecordFormatError):
                kind.from_bytes(data, key=key)
            cases += 1
    record_property("cases", cases)


def test_an_entry_that_someone_forged_breaks_the_chain(log, record_property):
    """Change any value of any published sync except the newest, and its digest.

    The next record has the digest of this one. The newest has no next record, so a forger
    with write access can replace it; the bucket's policy must prevent that.
    """
    cases = 0
    for number in (1, 2):
        for name in (record_key, outcome_key):
            key = name(STREAM, number)
            for value in edits(json.loads(read(log, key))):
                forged = copy_of(log)
                overwrite(forged, key, sealed(value))
                with suppress(CohortS3Error):
                    findings = {finding.kind for finding in read_history(forged, STREAM).verify()}
                    assert findings > {FindingKind.UNFINISHED_SYNC}, value
                cases += 1
    record_property("cases", cases)


@pytest.mark.parametrize("field", ["number", "sha256", None])
def test_recovery_does_not_finish_a_record_that_continues_another_head(log, field):
    forged = copy_of(log)
    key = record_key(STREAM, 5)
    value = json.loads(read(log, key))
    if field is None:
        value["previous"] = None
    else:
        value["previous"][field] = 2 if field == "number" else "0" * 64
    overwrite(forged, key, sealed(value))
    before = {info.key for info in forged.list_objects()}
    for finish in (recover, lambda storage, _: sync_ids(storage, {5}, 6)):
        with pytest.raises(RecordFormatError):
            finish(forged, STREAM)
    assert {info.key for info in forged.list_objects()} == before


def test_a_copied_entry_is_refused(log):
    """Copy an entry to another number, and to another stream."""
    other = MemoryStorage()
    stream = CohortStream(project_id=1, cohort_id="other", path="cohorts")
    for key in entries(log):
        other.create(key.replace("1_a", "1_other"), read(log, key))
    swapped = copy_of(log)
    overwrite(swapped, outcome_key(STREAM, 4), read(log, outcome_key(STREAM, 3)))
    swapped.delete(record_key(STREAM, 5))
    overwrite(other, outcome_key(stream, 4), read(log, outcome_key(STREAM, 4)))
    other.delete(record_key(stream, 5))
    for storage, owner in ((other, stream), (swapped, STREAM)):
        with pytest.raises(RecordFormatError):
            read_head(storage, owner)


# --- Keys and handles -----------------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    """Return a folder with a secret, in which the root of a storage will be."""
    (tmp_path / "up").write_text("secret")
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "up").write_text("secret")
    return tmp_path / "world"


def outside(world):
    root = world / "root"
    found = (path for path in world.parent.rglob("*") if root not in (path, *path.parents))
    return {(path, path.read_bytes() if path.is_file() else None) for path in found}


def uses_of(key):
    return [
        lambda storage: storage.open(key).close(),
        lambda storage: storage.create(key, b"data"),
        lambda storage: storage.publish(storage.stage(key, [b"data"])),
        lambda storage: list(storage.list_objects(key)),
    ]


def uses_of_staged(key, handle):
    staged = StagedObject(key=key, size=6, sha256="0" * 64, handle=handle)
    return [
        lambda storage: storage.inspect(staged),
        lambda storage: storage.publish(staged),
        lambda storage: storage.discard(staged),
    ]


HANDLES = (
    {},
    {"token": "t"},
    {"file": "0" * 32},
    {"file": "../../up"},
    {"file": "/etc/passwd"},
    {"file": "0" * 32 + "\n"},
    {"upload_id": "u", "token": "t", "parts": ""},
)


@hostile
def test_a_hostile_key_stays_in_its_root(text, world):
    before = outside(world)
    for use in chain(uses_of(text), *(uses_of_staged(text, handle) for handle in HANDLES)):
        for storage in (LocalStorage(world / "root"), MemoryStorage()):
            with suppress(CohortS3Error):
                use(storage)
    assert outside(world) == before


@given(text=ANY_TEXT)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=min(25, settings().max_examples),
)
def test_any_key_stays_in_its_root(text, world):
    before = outside(world)
    for use in chain(uses_of(text), uses_of_staged(text, HANDLES[2])):
        for storage in (LocalStorage(world / "root"), MemoryStorage()):
            with suppress(CohortS3Error):
                use(storage)
    assert outside(world) == before


@pytest.mark.parametrize("storage", [MemoryStorage(), LocalStorage("nowhere")], ids=repr)
def test_a_handle_of_another_kind_of_storage_is_refused(storage):
    for use in uses_of_staged("key", {"upload_id": "u"}):
        with pytest.raises(UnsuitableStorageError, match="handle"):
            use(storage)


def test_a_folder_and_a_file_of_one_name_are_refused_if_the_disk_can_have_only_one(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.create("file", b"")
    storage.create("folder/file", b"")
    for key in ("file/below", "folder"):
        for use in uses_of(key)[1:3]:
            with pytest.raises(InvalidKeyError):
                use(storage)


@hostile
def test_a_hostile_name_is_refused_or_stays_in_its_root(text, world):
    """Use the name as routing key, cohort id and path of a sync, and read it back."""
    before = outside(world)
    for field in ("routing_key", "cohort_id", "path"):
        given = {"routing_key": None, "cohort_id": "a", "path": "p", field: text}
        with suppress(CohortS3Error):
            sync = CohortSync(
                destination=Destination(name="d", path=given["path"]),
                project_id=1,
                cohort_id=given["cohort_id"],
                routing_key=given["routing_key"],
            )
            storage = LocalStorage(world / "root")
            sync_cohort(sync, rows([1]), storage, synced_at=moment(0), clock=lambda: moment(0))
            assert [s.synced_at for s in read_history(storage, sync.stream)] == [moment(0)]
            assert CohortFileName.from_key(next(iter(sync_files(storage, sync))))
    assert outside(world) == before


def sync_files(storage, sync):
    return [info.key for info in storage.list_objects(sync.stream.data_prefix)]


def test_streams_with_similar_routing_keys_are_separate():
    storage = MemoryStorage()
    keys = ["a", "A", "\u0430", "a_", "a%5F", "a%5f", "~", "~a", "é", "e\u0301", "x" * 200]
    for number, key in enumerate(keys):
        sync = CohortSync(
            destination=SYNC.destination, project_id=1, cohort_id="a", routing_key=key
        )
        ids = range(number + 1)
        sync_cohort(sync, rows(ids), storage, synced_at=moment(0), clock=lambda: moment(0))
        head = read_head(storage, sync.stream)
        assert head is not None
        assert head.record.members == len(ids)
