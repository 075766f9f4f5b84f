"""Compression with the extras `fast` and `zstd`; test_gzip.py needs neither."""

import gzip
import sys

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3.errors import CompressionError
from amplitude_cohort_s3.format.compression import compress_chunks, unpack_chunks

DATA = b"amplitudeID,userID\n1,ann\n"


def cut(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def test_without_the_extra_the_plain_bytes_are_the_same(monkeypatch):
    fast = b"".join(compress_chunks([DATA]))
    monkeypatch.setitem(sys.modules, "isal", None)
    assert gzip.decompress(b"".join(compress_chunks([DATA]))) == gzip.decompress(fast) == DATA


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=3), st.integers(1, 60))
def test_frames_of_zstandard_are_read_one_after_the_other(texts, size):
    packed = b"".join(map(zstd.compress, texts))
    assert b"".join(unpack_chunks(cut(packed, size))) == b"".join(texts)


def test_a_small_file_of_much_text_is_decompressed_in_small_chunks():
    packed = zstd.compress(bytes(50 << 20))
    pieces = [len(piece) for piece in unpack_chunks([packed])]
    assert sum(pieces) == 50 << 20
    assert max(pieces) <= 1 << 20


def test_half_a_zstandard_file_is_an_error():
    with pytest.raises(CompressionError, match="Zstandard"):
        list(unpack_chunks([zstd.compress(DATA)[:-3]]))
    with pytest.raises(CompressionError, match="Zstandard"):
        list(unpack_chunks([zstd.compress(DATA), b"no frame"]))


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_the_error_about_a_file_that_is_cut_off_names_it(pack):
    with pytest.raises(CompressionError) as caught:
        list(unpack_chunks([pack(b"1,ann\n" * 99)[:-3]], file="in/members.csv"))
    assert caught.value.file == "in/members.csv"
    assert str(caught.value).startswith("'in/members.csv' is not one complete")
