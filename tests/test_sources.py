"""Files as members, gzip, and the progress bar."""

import gzip
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
from amplitude_cohort_s3.compression import compress_chunks, decompress_chunks
from amplitude_cohort_s3.diff import diff_members
from amplitude_cohort_s3.errors import MalformedGzipError, MissingExtraError
from amplitude_cohort_s3.rows import RowSchema
from amplitude_cohort_s3.sources import csv_file

DATA = b"amplitudeID,userID\n1,ann\n"


@given(st.lists(st.binary(max_size=50)), st.integers(1, 60))
def test_gzip_is_an_inverse_pair(chunks, size):
    packed = b"".join(compress_chunks(chunks))
    assert packed[4:8] == bytes(4)  # no time
    assert gzip.decompress(packed) == b"".join(chunks)
    pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
    assert b"".join(decompress_chunks(pieces)) == b"".join(chunks)
    padded = packed + packed + bytes(9)
    pieces = [padded[i : i + size] for i in range(0, len(padded), size)]
    assert b"".join(decompress_chunks(pieces)) == b"".join(chunks) * 2


def test_without_the_extra_the_plain_bytes_are_the_same(monkeypatch):
    fast = b"".join(compress_chunks([DATA]))
    monkeypatch.setitem(sys.modules, "isal", None)
    assert gzip.decompress(b"".join(compress_chunks([DATA]))) == gzip.decompress(fast) == DATA


def test_half_a_gzip_file_is_an_error():
    with pytest.raises(MalformedGzipError):
        list(decompress_chunks([gzip.compress(DATA)[:-3]]))
    with pytest.raises(MalformedGzipError):
        list(decompress_chunks([b"\x1f\x8b no gzip"]))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_file_is_read_by_its_bytes_and_not_its_name(tmp_path, name, packed):
    path = tmp_path / name
    path.write_bytes(gzip.compress(DATA) if packed else DATA)
    source = csv_file(path)
    assert b"".join(source.chunks()) == DATA
    assert source.size == (None if packed else len(DATA))
    assert b"".join(csv_file(path.as_uri()).chunks()) == DATA


def test_progress_true_draws_a_bar(capsys):
    pytest.importorskip("tqdm")
    with diff_members((), [("1", ""), ("2", "")], schema=RowSchema(), progress=True):
        pass
    assert "2.00/2.00" in capsys.readouterr().err


def test_a_sync_draws_it_too(capsys):
    pytest.importorskip("tqdm")
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    sync_cohort(sync, [("1", ""), ("2", "")], MemoryStorage(), progress=True)
    assert "2.00/2.00" in capsys.readouterr().err


def test_without_tqdm_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(MissingExtraError, match=r"amplitude_cohort_s3\[progress\]"):
        diff_members((), [], schema=RowSchema(), progress=True, work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
