"""The native kernel with texts that other threads change, and with texts of 4 GiB.

The kernel works without the GIL, so other threads run during a call. They can overwrite a text;
then its result has no meaning, but nothing else may happen.
"""

import ctypes
import mmap
import os
import random
import sys
import threading
from array import array
from contextlib import contextmanager

import pytest

FUNCTIONS = (
    *("partition", "join", "canonize", "count_filled", "columns", "views", "stays"),
    *("check", "keys", "sides"),
)

TOKENS = (
    b",",
    b"\n",
    b'"',
    b"\r",
    b"\0",
    b"\xc3",
    b"a",
    b"7",
    b'",',
    b"\n\n\n\n\n\n\n\n",
    b",,,,,,,,",
)

NUMBERS = array("I", [1, 2]).tobytes()
"""The numbers of two syncs, for the stays."""


def calls(kernel, rows, size):
    """Return a call of each function for three columns."""
    stride = rows.count(b"\n") + 1
    entries = 3 * 16 * stride
    return {
        "partition": lambda: kernel.partition(rows, bytearray(size), 3, 0, b"a", b"aaaaaaaa"),
        "join": lambda: kernel.join(rows, rows, 3, 0, None, "b", 0, 2, 9),
        "canonize": lambda: kernel.canonize(rows, bytearray(2 * size), 3, b"\2\xff\0"),
        "count_filled": lambda: kernel.count_filled(rows, 3),
        "columns": lambda: kernel.columns(rows, bytearray(entries + size), 3, stride, 0),
        "views": lambda: kernel.columns(rows, bytearray(entries + size), 3, stride, 1),
        "stays": lambda: kernel.stays((rows, rows), NUMBERS, b"\0\1", bytearray(2 * size), 3, 0),
        "check": lambda: kernel.check(rows, 3, 0, b""),
        "keys": lambda: kernel.keys(rows, bytearray(size), 3, 0),
        "sides": lambda: kernel.sides(rows, rows),
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_other_threads_run_during_a_call(kernel, function):
    rows = b"".join(b"%d,a,b\n" % n for n in range(20_000))
    call = calls(kernel, rows, len(rows))[function]
    other_thread_ran = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # Only a call that releases the GIL lets the other thread run.
    try:
        threading.Thread(target=other_thread_ran.set).start()
        for _ in range(100):
            call()
    finally:
        sys.setswitchinterval(interval)
    assert other_thread_ran.is_set()


@contextmanager
def running(change):
    """Let another thread make changes, one after the other, during the block."""
    ended = threading.Event()

    def work():
        source = random.Random(1)
        while not ended.is_set():
            change(source)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("key", [b"%d", b"a" * 20 + b"%d"], ids=["short", "equal heads"])
def test_a_text_that_another_thread_overwrites_is_read_within_its_bounds(kernel, function, key):
    # One key differs in its first byte, so the others differ after their heads only.
    rows = b"z,,\n" + b"".join(key % (n * 7919 % 3000) + b',"x,y",\n' for n in range(3000))
    if function == "stays":
        rows = b"".join(sorted(rows.splitlines(keepends=True)))
    text = bytearray(rows)

    def overwrite(source):
        token = source.choice(TOKENS)
        at = source.randrange(len(text) - len(token))
        text[at : at + len(token)] = token
        if source.random() < 0.02:
            text[:] = rows

    call = calls(kernel, text, len(text))[function]
    answers = 0
    with running(overwrite):
        for _ in range(200):
            text[:] = rows
            try:
                answers += call() is not None
            except UnicodeDecodeError:  # of a conflicting key
                answers += 1
    text[:] = rows
    assert call() is not None


@pytest.mark.parametrize("function", FUNCTIONS)
def test_another_thread_can_not_resize_a_text_during_a_call(kernel, function):
    text = bytearray(b"".join(b"%d,a,b\n" % n for n in range(50_000)))
    size = len(text)
    refused = []

    def resize(source):
        try:
            del text[-5:]
            text.extend(b"a,bc\n")
        except BufferError as error:
            refused.append(error)

    call = calls(kernel, text, size)[function]
    with running(resize):
        for _ in range(300):
            call()
            if len(refused) > 3:
                break
    assert refused


# --- 4 GiB ---------------------------------------------------------------------------------

MAX_TEXT_BYTES = (1 << 32) - 2
PIECE = 1 << 24

needs_time = pytest.mark.skipif(
    "KERNEL_TARGETS" not in os.environ or "KERNEL_UNDER_TEST" in os.environ,
    reason="takes long; nox -s kernel does it once",
)


@contextmanager
def repeated(piece, size):
    """Map the pages of a piece again and again, as a text of any size that takes no memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mmap.argtypes, libc.mmap.restype = arguments, ctypes.c_void_p
    libc.munmap.argtypes = arguments[:2]
    read_write, fixed, no_reserve = mmap.PROT_READ | mmap.PROT_WRITE, 0x10, 0x4000
    file = os.memfd_create("piece")
    os.write(file, piece)
    whole = -(-size // len(piece)) * len(piece)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    begin = libc.mmap(None, whole, 0, private, -1, 0)
    for at in range(0, whole, len(piece)):
        place = libc.mmap(begin + at, len(piece), read_write, mmap.MAP_SHARED | fixed, file, 0)
        assert place == begin + at
    os.close(file)
    try:
        yield memoryview((ctypes.c_char * size).from_address(begin)).cast("B")
    finally:
        libc.munmap(begin, whole)


@pytest.fixture(scope="module")
def piece():
    """16 lines of 1 MiB; the last one ends with LF."""
    return b"".join(b"%06d," % n + b"x" * ((1 << 20) - 8) + b"\n" for n in range(16))


@needs_time
def test_the_largest_text_is_processed(kernel, piece):
    with repeated(piece, MAX_TEXT_BYTES) as lines, repeated(piece, MAX_TEXT_BYTES) as out:
        rows, skipped, lengths = kernel.partition(lines, out, 2, 0, b"", b"000008\0\0")
        assert (rows, skipped) == (4096, 0)
        # Each range has half of the lines, and the last line lacks its LF and one byte.
        assert list(array("I", lengths)) == [(1 << 31) - 1, (1 << 31) - 2]
        found = kernel.join(lines, b"", 2, 0, b"000014", b"000015", 0, 0, 9)
        assert (found[0], found[7]) == (1, piece[14 << 20 : 15 << 20])
        found = kernel.join(b"", lines, 2, 0, b"000014", b"000015", 0, 0, 9)
        assert (found[1:4], found[6]) == ((256, 1, 0), piece[14 << 20 : 15 << 20])


@needs_time
def test_a_larger_text_is_left_to_python(kernel, piece):
    with repeated(piece, MAX_TEXT_BYTES + 1) as lines:
        assert kernel.partition(lines, lines_like(lines), 2, 0, b"", b"") is None
        assert kernel.join(lines, b"", 2, 0, None, None, 0, 0, 9) is None
        assert kernel.join(b"", lines, 2, 0, None, None, 0, 0, 9) is None


def lines_like(lines):
    """Return a buffer of the same size, of which nothing is written."""
    return mmap.mmap(-1, len(lines), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)


@needs_time
def test_some_functions_process_a_text_of_any_size(kernel, piece):
    with repeated(piece, (1 << 32) + len(piece)) as lines:
        assert kernel.count_filled(lines, 2) == ()
        out = bytearray(100_000)
        written = kernel.canonize(lines, out, 2, b"\0")
        assert bytes(out[:written]) == b"".join(b"%06d\n" % n for n in range(16)) * 257
