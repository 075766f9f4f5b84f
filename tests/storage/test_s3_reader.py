"""The stream over an S3 object, in front of stores that answer in unusual ways."""

import io
from types import SimpleNamespace

import pytest

from amplitude_cohort_s3.storage.s3._reader import ObjectReader

DATA = bytes(range(256)) * 40


class Store:
    """A store with one object, which may ignore ranges or not report the size."""

    def __init__(self, *, honours_ranges=True, reports_size=True):
        self.honours_ranges = honours_ranges
        self.reports_size = reports_size
        self.ranges = []

    def get_object(self, Range=None, **_):  # noqa: N803 -- the name in the S3 API
        self.ranges.append(Range)
        start = int(Range.removeprefix("bytes=").removesuffix("-")) if Range else 0
        answer = {"ETag": '"1"'}
        if Range and self.honours_ranges:
            answer["ContentRange"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        else:
            start = 0
        if self.reports_size:
            answer["ContentLength"] = len(DATA) - start
        else:
            answer["ResponseMetadata"] = {"HTTPHeaders": {"transfer-encoding": "chunked"}}
        body = io.BytesIO(DATA[start:])
        return {**answer, "Body": SimpleNamespace(read=body.read, close=body.close)}

    def open(self):
        return ObjectReader(self.get_object, "bucket", "key")


@pytest.mark.parametrize("honours_ranges", [True, False])
@pytest.mark.parametrize("reports_size", [True, False])
def test_a_seek_continues_at_the_right_byte(honours_ranges, reports_size):
    store = Store(honours_ranges=honours_ranges, reports_size=reports_size)
    with store.open() as reader:
        for start in (5000, 7, len(DATA) - 3):
            assert reader.seek(start) == start
            assert reader.read(100) == DATA[start : start + 100]
        assert reader.seek(0) == 0
        assert reader.readall() == DATA
    assert store.ranges == [None, "bytes=5000-", "bytes=7-", f"bytes={len(DATA) - 3}-", None]


def test_a_seek_to_the_end_requests_nothing():
    store = Store()
    with store.open() as reader:
        assert reader.seek(0, io.SEEK_END) == len(DATA)
        assert reader.read(1) == b""
    assert store.ranges == [None]


def test_a_seek_from_an_unknown_end_is_refused():
    with Store(reports_size=False).open() as reader:
        with pytest.raises(io.UnsupportedOperation, match="size"):
            reader.seek(-1, io.SEEK_END)
        assert reader.readall() == DATA


def test_a_closed_stream_requests_nothing():
    store = Store()
    reader = store.open()
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.readinto(bytearray(1))
    assert store.ranges == [None]
