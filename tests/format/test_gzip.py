"""Gzip, compressed and decompressed in chunks."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3.errors import CompressionError
from amplitude_cohort_s3.format.compression import compress_chunks, decompress_chunks
from amplitude_cohort_s3.testing import strategies


@given(st.lists(st.binary(max_size=200), max_size=5), st.data())
def test_law_decompress_undoes_compress_for_any_chunks(chunks, data):
    text, compressed = b"".join(chunks), b"".join(compress_chunks(chunks))
    assert gzip.decompress(compressed) == text
    assert b"".join(decompress_chunks(data.draw(strategies.chunked(compressed)))) == text


def test_the_compressed_bytes_have_no_time_and_no_name():
    compressed = b"".join(compress_chunks([b"x"]))
    assert compressed == b"".join(compress_chunks([b"x"]))
    assert compressed[3:8] == b"\0\0\0\0\0"


def test_a_file_with_several_members_and_padding_is_read_in_any_chunks():
    one, two = (b"".join(compress_chunks([part])) for part in (b"one", b"two"))
    data = one + two + b"\0" * 5
    for size in (1, 3, len(one), len(data)):
        cut = [data[n : n + size] for n in range(0, len(data), size)]
        assert b"".join(decompress_chunks(cut)) == b"onetwo"


@pytest.mark.parametrize("cut", [0, 1, 5, -9, -1])
def test_a_file_that_is_cut_off_is_an_error(cut):
    compressed = b"".join(compress_chunks([b"some text" * 99]))
    with pytest.raises(CompressionError):
        list(decompress_chunks([compressed[:cut]]))


def test_bytes_that_are_damaged_or_not_gzip_are_an_error():
    compressed = bytearray(b"".join(compress_chunks([b"some text" * 99])))
    compressed[-6] ^= 1
    for data in (bytes(compressed), b"no gzip", b"\x1f\x8b no gzip", zlib.compress(b"x")):
        with pytest.raises(CompressionError):
            list(decompress_chunks([data]))


@pytest.mark.parametrize("more", [-300, -1, 0, 1, 258, 300])
def test_a_text_of_about_a_mib_is_read_completely_from_chunks_of_any_size(more):
    text = b"1" * ((1 << 20) + more)
    packed = b"".join(compress_chunks([text]))
    for size in (1, 2, 3, 7, len(packed) - 8, len(packed) - 1):
        chunks = [packed[i : i + size] for i in range(0, len(packed), size)]
        assert b"".join(decompress_chunks(chunks)) == text


def test_a_small_file_of_much_text_is_decompressed_in_limited_chunks():
    codec = zlib.compressobj(9, wbits=31)
    packed = codec.compress(b"1,a\n" * (1 << 22)) + codec.flush()
    assert len(packed) < 1 << 16
    assert max(map(len, decompress_chunks([packed]))) <= 4 << 20
