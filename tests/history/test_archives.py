"""Cohort files from a .tar.gz: the files that are unpacked, and protection from hostile ones."""

import gzip
import io
import tarfile
import tracemalloc
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortStream,
    DiffType,
    LocalStorage,
    MemoryStorage,
    errors,
    read_history,
)
from amplitude_cohort_s3.history._tar import MAX_MEMBERS
from amplitude_cohort_s3.history.archives import unpack_archive

TIME = "2026-11-23T14:05"
HEADER = b'"amplitude_id","user_id","amplitude_id","plan"\n'
FILES = {
    f"1_a_{TIME}_entering_Active_Users.csv": HEADER + b'"3","cy","3","pro"\n',
    f"1_a_{TIME}_exiting_Active_Users.csv": HEADER + b'"1","ann","1",""\n',
    f"1_a_{TIME}_existing_Active_Users.csv": HEADER + b'"2","bob","2","x ""y"""\n',
}
STREAM = CohortStream(project_id=1, cohort_id="a", path="cohorts", routing_key="Active_Users")


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_of(
    members: Iterable[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def archive_of(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    return gzip.compress(tar_of(((member(n), c) for n, c in files.items()), form))


def keys(storage: MemoryStorage) -> list[str]:
    return [info.key for info in storage.list_objects()]


def is_untouched(storage: MemoryStorage) -> bool:
    return not keys(storage) and not storage._staged  # noqa: SLF001 -- nothing public shows it


FORMS = [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", ["", "./", "input/2026/"])
def test_the_history_of_unpacked_files_can_be_read(form: int, folder: str):
    storage = MemoryStorage()
    packed = archive_of({folder + name: content for name, content in FILES.items()}, form)
    report = unpack_archive(io.BytesIO(packed), storage, path="cohorts")
    assert [info.key for info in report.files] == [f"cohorts/{name}" for name in FILES]
    assert not report.skipped
    (sync,) = read_history(storage, STREAM)
    assert sync.synced_at == datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
    members = read_history(storage, STREAM).members_at(sync)
    assert sorted(members) == [("2", "bob", 'x "y"'), ("3", "cy", "pro")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_the_first_bytes_decide_on_the_compression_of_an_archive(pack):
    storage = MemoryStorage()
    tar = tar_of((member(name), content) for name, content in FILES.items())
    unpack_archive(io.BytesIO(pack(tar)), storage)
    assert keys(storage) == sorted(FILES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("cut", "rule", "inner"),
    [(2600, "ends before", 2), (700, "ends before", 0), (0, "ends before", None)],
)
def test_the_error_about_an_archive_names_it_and_its_file(tmp_path, pack, cut, rule, inner):
    names = list(FILES)
    tar = tar_of((member(name), FILES[name]) for name in names)[:cut]
    path = tmp_path / "cohort.tar.gz"
    path.write_bytes(pack(tar))
    storage = MemoryStorage()
    with path.open("rb") as archive, pytest.raises(errors.InvalidArchiveError) as caught:
        unpack_archive(archive, storage)
    assert rule in caught.value.rule
    assert caught.value.file == str(path)
    assert caught.value.inner_file == (None if inner is None else names[inner])
    assert is_untouched(storage)


@pytest.mark.parametrize("data", [FILES[next(iter(FILES))] * 99, b"PK" + bytes(600)])
def test_a_file_that_is_not_a_tar_is_refused_as_such(data):
    for pack in (bytes, gzip.compress):
        with pytest.raises(errors.InvalidArchiveError, match="not a tar"):
            unpack_archive(io.BytesIO(pack(data)), MemoryStorage())


def test_the_archive_may_be_an_object_of_the_same_storage():
    storage = MemoryStorage()
    storage.create("input/cohort.tar.gz", archive_of(FILES))
    with storage.open("input/cohort.tar.gz") as archive:
        unpack_archive(archive, storage, path="cohorts")
    assert len(keys(storage)) == 4


def test_existing_is_published_last_in_any_order_of_the_archive():
    class Watched(MemoryStorage):
        def publish(self, staged, /):
            published.append(staged.key)
            return super().publish(staged)

    published: list[str] = []
    unpack_archive(io.BytesIO(archive_of(dict(reversed(FILES.items())))), Watched())
    assert [key.split("_")[3] for key in published] == list(DiffType)


@pytest.mark.parametrize("form", FORMS[:2])
def test_names_longer_than_a_header_field_are_read_whole(form: int):
    storage = MemoryStorage()
    name = f"1_a_{TIME}_entering_{'k' * 200}ä.csv"
    unpack_archive(io.BytesIO(archive_of({"f" * 99 + "/" + name: b"x"}, form)), storage)
    assert keys(storage) == [name]


def test_unpacking_again_changes_nothing(tmp_path: Path):
    for storage in (MemoryStorage(), LocalStorage(tmp_path)):
        packed = archive_of(FILES)
        first = unpack_archive(io.BytesIO(packed), storage, path="cohorts")
        again = unpack_archive(io.BytesIO(packed), storage, path="cohorts")
        assert [(f.key, f.size) for f in first.files] == [(f.key, f.size) for f in again.files]


def test_a_conflict_publishes_nothing_and_overwrites_nothing():
    storage = MemoryStorage()
    last = list(FILES)[-1]
    storage.create(last, b"another's")
    with pytest.raises(errors.ObjectExistsError):
        unpack_archive(io.BytesIO(archive_of(FILES)), storage)
    assert keys(storage) == [last]
    assert storage.open(last).read() == b"another's"


NAME = f"1_a_{TIME}_entering.csv"


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (member("/" + NAME), "absolute"),
        (member("../" + NAME), "leads out"),
        (member("a/../../" + NAME), "leads out"),
        (member(NAME, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "not a plain file"),
        (member(NAME, type=tarfile.LNKTYPE, linkname="/etc/passwd"), "not a plain file"),
        (member(NAME, type=tarfile.CHRTYPE), "not a plain file"),
        (member(NAME, type=tarfile.BLKTYPE), "not a plain file"),
        (member(NAME, type=tarfile.FIFOTYPE), "not a plain file"),
        (member("a/._" + NAME), "project id"),
        (member("readme.txt"), "project id"),
        (member(NAME + "\n"), "control character"),
        (member(f"1_a_{TIME}_entering_\udc80.csv"), "encodable as UTF-8"),
        (member(f"1_a_{TIME}_entering_{'k' * 980}.csv"), "it has 1032 bytes"),
        (member(NAME.replace("-11-", "-13-")), "no such time"),
    ],
)
def test_hostile_and_unrelated_members_are_skipped_with_a_reason(
    info: tarfile.TarInfo, reason: str
):
    storage = MemoryStorage()
    whole = [(member(name), content) for name, content in FILES.items()]
    packed = gzip.compress(tar_of([whole[0], (info, b"evil" * 500), *whole[1:]]))
    report = unpack_archive(io.BytesIO(packed), storage, path="p" * 17)
    assert len(keys(storage)) == 3
    (skipped,) = report.skipped
    assert reason in skipped.reason
    str(skipped).encode()


def test_folders_are_not_reported_and_a_repeated_name_is_skipped():
    storage = MemoryStorage()
    members = [
        (member("in", type=tarfile.DIRTYPE), b""),
        (member("in/" + NAME), b"first"),
        (member("other/" + NAME), b"second"),
    ]
    report = unpack_archive(io.BytesIO(gzip.compress(tar_of(members))), storage)
    assert [s.name for s in report.skipped] == ["other/" + NAME]
    assert storage.open(NAME).read() == b"first"


@pytest.mark.parametrize("path", ["..", "/x", "x/", "a//b"])
def test_an_invalid_folder_is_refused(path: str):
    with pytest.raises(errors.InvalidKeyError):
        unpack_archive(io.BytesIO(archive_of(FILES)), MemoryStorage(), path=path)


# --- Cut off and damaged -------------------------------------------------------------


@given(st.data())
def test_nothing_of_a_cut_archive_is_visible(data: st.DataObject):
    packed = archive_of(FILES)
    storage = MemoryStorage()
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(errors.InvalidArchiveError):
        unpack_archive(io.BytesIO(packed[:cut]), storage)
    assert is_untouched(storage)


@given(st.data())
def test_nothing_of_a_cut_tar_in_a_whole_gzip_is_visible(data: st.DataObject):
    tar = tar_of((member(n), c) for n, c in FILES.items())
    end = len(tar.rstrip(b"\0")) // 512 * 512 + 512
    storage = MemoryStorage()
    cut = data.draw(st.integers(0, end) | st.sampled_from(range(0, end + 1, 512)))
    with pytest.raises(errors.InvalidArchiveError):
        unpack_archive(io.BytesIO(gzip.compress(tar[:cut])), storage)
    assert is_untouched(storage)


@given(st.data())
def test_a_flipped_byte_is_found_or_harmless(data: st.DataObject):
    packed = bytearray(archive_of(FILES))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    storage = MemoryStorage()
    try:
        report = unpack_archive(io.BytesIO(packed), storage, path="cohorts")
    except errors.InvalidArchiveError:
        assert is_untouched(storage)
    else:
        # The digest of gzip covers everything except its header.
        assert [storage.open(f.key).read() for f in report.files] == list(FILES.values())


@given(st.binary(max_size=2000), st.booleans())
def test_random_bytes_raise_only_our_own_errors(rubbish: bytes, as_tar: bool):  # noqa: FBT001
    storage = MemoryStorage()
    with pytest.raises(errors.InvalidArchiveError):
        unpack_archive(io.BytesIO(gzip.compress(rubbish) if as_tar else rubbish), storage)
    assert is_untouched(storage)


@given(st.data())
def test_hostile_headers_raise_only_our_own_errors(data: st.DataObject):
    tar = bytearray(tar_of((member(n), c) for n, c in FILES.items()))
    for _ in range(data.draw(st.integers(1, 4))):
        tar[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    storage = MemoryStorage()
    try:
        report = unpack_archive(io.BytesIO(gzip.compress(tar)), storage, path="p")
    except errors.InvalidArchiveError:
        assert is_untouched(storage)
    else:
        assert all(key.startswith("p/") and key.count("/") == 1 for key in keys(storage))
        assert len(report.files) == len(keys(storage))


def test_nothing_stays_staged_if_the_storage_fails():
    class Failing(MemoryStorage):
        def stage(self, key, chunks, /, **kwargs):
            if "existing" in key:
                raise PermissionError(key)
            return super().stage(key, chunks, **kwargs)

    storage = Failing()
    with pytest.raises(PermissionError):
        unpack_archive(io.BytesIO(archive_of(FILES)), storage)
    assert is_untouched(storage)


# --- Bombs ---------------------------------------------------------------------------


class Zeros(io.RawIOBase):
    """Endless zero bytes as gzip after a head: a bomb that takes no memory to build."""

    def __init__(self, head: bytes) -> None:
        codec = zlib.compressobj(wbits=31)
        self._rest = codec.compress(head) + codec.flush(zlib.Z_FULL_FLUSH)
        codec = zlib.compressobj(wbits=-15)
        self._block = codec.compress(bytes(16 << 20)) + codec.flush(zlib.Z_FULL_FLUSH)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while len(self._rest) < len(buffer):
            self._rest += self._block
        buffer[:], self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        return len(buffer)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    return member(name, size=size, type=kind).tobuf(tarfile.GNU_FORMAT)


class Sink(MemoryStorage):
    """A storage that keeps no bytes, so that only the memory of unpacking is measured."""

    def stage(self, key, chunks, /, **kwargs):
        for _ in chunks:
            pass
        return super().stage(key, [], **kwargs)


@pytest.mark.parametrize(
    ("head", "limit"),
    [
        (header(NAME, 1 << 40), "bytes"),
        (header(NAME, 1 << 35), "its own size"),
        (header("unrelated", 1 << 35), "its own size"),
        (header("x", 1 << 35, tarfile.XHDTYPE), "extended header"),
        (header("x", 1 << 35, tarfile.XGLTYPE), "extended header"),
        (header("x", 1 << 35, tarfile.GNUTYPE_LONGNAME), "extended header"),
        (header("x", 1 << 35, tarfile.GNUTYPE_LONGLINK), "extended header"),
        (bytes(1024), "its own size"),
    ],
    ids=["declared", "file", "unrelated", "pax", "global", "longname", "longlink", "after the end"],
)
def test_bombs_are_stopped_early_in_little_memory(head: bytes, limit: str):
    bomb = io.BufferedReader(Zeros(head))
    tracemalloc.start()
    try:
        with pytest.raises(errors.InvalidArchiveError, match=limit) as caught:
            unpack_archive(bomb, Sink())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.over_limit
    assert peak < 8 << 20


def test_the_number_of_members_is_limited():
    storage = MemoryStorage()
    for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XGLTYPE):
        endless = header("x", 0, kind) * (MAX_MEMBERS + 1)
        with pytest.raises(errors.InvalidArchiveError, match="more than 1,000 members"):
            unpack_archive(io.BytesIO(gzip.compress(endless + bytes(1024))), storage)


def test_the_caller_sets_the_limit_of_bytes():
    packed = archive_of(FILES)
    with pytest.raises(errors.InvalidArchiveError, match="4,096 bytes"):
        unpack_archive(io.BytesIO(packed), MemoryStorage(), max_bytes=4096)
    unpack_archive(io.BytesIO(packed), MemoryStorage(), max_bytes=20_000)


def test_a_sparse_file_is_refused():
    with pytest.raises(errors.InvalidArchiveError, match="sparse"):
        unpack_archive(
            io.BytesIO(gzip.compress(header(NAME, 0, tarfile.GNUTYPE_SPARSE))), MemoryStorage()
        )
    info = member(NAME)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    with pytest.raises(errors.InvalidArchiveError, match="sparse"):
        unpack_archive(io.BytesIO(gzip.compress(tar_of([(info, b"x")]))), MemoryStorage())


@pytest.mark.parametrize("record", [b"0 path=x\n", b"9 path=x", b"x", b"99 path=x\n", b"8 pathx\n"])
def test_a_damaged_extended_header_is_refused(record: bytes):
    content = record + bytes(-len(record) % 512)
    tar = header("x", len(record), tarfile.XHDTYPE) + content + header(NAME, 0)
    with pytest.raises(errors.InvalidArchiveError, match="extended"):
        unpack_archive(io.BytesIO(gzip.compress(tar + bytes(1024))), MemoryStorage())
