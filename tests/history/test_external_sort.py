"""The external sort: equal to sorted(), in runs of any size, and without leftovers."""

import re
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3.errors import DiskFullError
from amplitude_cohort_s3.history._external_sort import external_sort

TEXT = st.text(max_size=3)
ITEMS = st.lists(st.tuples(st.binary(max_size=2), st.integers(0, 3), st.tuples(TEXT, TEXT)))


@given(ITEMS, st.sampled_from([1, 1000, 1 << 20]))
def test_items_come_back_sorted_and_complete(items, run_bytes):
    assert list(external_sort(items, run_bytes=run_bytes)) == sorted(items)


def test_more_runs_than_may_be_open_are_merged_in_between(tmp_path):
    items = [(b"%03d" % (n * 7 % 200), (str(n),)) for n in range(200)]
    found = external_sort(items, run_bytes=1, work_dir=tmp_path)
    assert next(found) == (b"000", ("0",))
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.iterdir())) <= 64
    assert [key for key, _ in found] == [b"%03d" % n for n in range(1, 200)]
    assert not list(tmp_path.iterdir())


def test_an_iterator_that_is_closed_early_removes_its_files(tmp_path):
    found = external_sort([(b"2", ()), (b"1", ())], run_bytes=1, work_dir=tmp_path)
    next(found)
    found.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("items", [2, 200])
def test_a_full_disk_is_our_error_and_leaves_no_files(items, tmp_path):
    """The disk is full at the first run, or when many runs are merged into one."""
    rows = [(b"%03d" % n, ("x" * 100,)) for n in range(items)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20 if items == 2 else 1000, before[1]))
    try:
        with pytest.raises(DiskFullError, match=re.escape(str(tmp_path))):
            list(external_sort(rows, run_bytes=1, work_dir=tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
