"""Parts of a file that the native kernel reads with one call, compared with reads in Python."""

import os
import sys
import threading
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_calls import ReadSpansCall

pytestmark = pytest.mark.skipif(not hasattr(os, "pread"), reason="this system has no pread")

spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), max_size=8)


def packed(*numbers: int) -> bytes:
    return array("Q", numbers).tobytes()


@given(file=st.binary(max_size=40), spans=spans)
def test_parts_are_those_that_python_reads(kernel, file, spans):
    call = ReadSpansCall.of(file, *spans)
    assert call.run(kernel) == call.expected()


def test_the_position_of_the_file_is_neither_used_nor_changed(kernel, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb", buffering=0) as file:
        file.seek(4)
        assert kernel.read_spans(file.fileno(), packed(8, 2, 0, 1)) == b"89\n0"
        assert file.tell() == 4


def test_a_file_that_cannot_be_read_is_left_to_python(kernel, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        closed = file.fileno()
    assert kernel.read_spans(closed, packed(0, 1)) is None
    assert kernel.read_spans(-1, packed(0, 1)) is None
    with path.open("ab") as file:
        assert kernel.read_spans(file.fileno(), packed(0, 1)) is None
    reader, writer = os.pipe()
    assert kernel.read_spans(reader, packed(0, 1)) is None
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("size", [(1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_a_text_of_4_gib_is_left_to_python(kernel, tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        for numbers in ((0, size), (0, 1, 0, size), (0, size, 0, 1), (0, size, 0, size)):
            assert kernel.read_spans(file.fileno(), packed(*numbers)) is None
        half = (0, 1 << 31, 0, 1 << 31)
        assert kernel.read_spans(file.fileno(), packed(*half)) is None


@pytest.mark.parametrize("length", [1, 8, 15, 17, 24])
def test_spans_that_are_not_pairs_are_refused(kernel, length):
    with pytest.raises(ValueError, match="pairs of an offset and a size"):
        kernel.read_spans(0, bytes(length))
    with pytest.raises(TypeError):
        kernel.read_spans(0, bytearray(16))


def test_other_threads_run_during_a_call(kernel, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 20))
    other_thread_ran = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # Only a call that releases the GIL lets the other thread run.
    try:
        with path.open("rb") as file:
            threading.Thread(target=other_thread_ran.set).start()
            for _ in range(100):
                kernel.read_spans(file.fileno(), packed(0, 1 << 20))
    finally:
        sys.setswitchinterval(interval)
    assert other_thread_ran.is_set()


def test_a_failing_allocation_of_python_is_a_memory_error(kernel, tmp_path):
    testcapi = pytest.importorskip("_testcapi", reason="this Python has no test modules")
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    failures = 0
    with path.open("rb") as file:
        number, numbers = file.fileno(), packed(0, 5, 2, 3)
        for n in range(20):
            testcapi.set_nomemory(n, n + 1)
            try:
                found = kernel.read_spans(number, numbers)
            except MemoryError:
                failures += 1
                continue
            finally:
                testcapi.remove_mem_hooks()
            assert found == b"01234\n234"
    assert failures
