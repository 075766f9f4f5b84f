"""A storage that fails while a file is read fails however the file is read."""

import io

import pytest

from amplitude_cohort_s3 import MemoryStorage
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage

READERS = {
    "read": lambda stream: stream.read(),
    "read in parts": lambda stream: [stream.read(3) for _ in range(9)],
    "readline": lambda stream: [stream.readline() for _ in range(9)],
    "lines": list,
    "readinto": lambda stream: [stream.readinto(bytearray(3)) for _ in range(9)],
    "buffered": lambda stream: io.BufferedReader(stream).read(),
    "text": lambda stream: list(io.TextIOWrapper(stream)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_file_that_fails_midway_never_seems_to_be_complete(read):
    store = MemoryStorage()
    store.create("a", b"1\n22\n333\n4444\n")
    with FaultyStorage(store, Fault(at=0, when="midway")).open("a") as stream:
        assert stream.read(0) == b""
        assert stream.read(4) == b"1\n22"
        with pytest.raises(Death):
            read(stream)
