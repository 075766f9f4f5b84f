"""The checks that treat many keys at once find what a loop over single keys finds.

Each is tested with the kernel, if it is built, and without it.
"""

import random
from collections import Counter
from itertools import islice

import pytest
from foreign_history import STREAM, DiffType, key_of
from foreign_history import random_history as foreign_random_history
from hypothesis import given
from hypothesis import strategies as st
from implementations import use_kernel
from random_history import TIMES, build, random_cohorts
from slow_checks import compare_sets_slowly, sides_by_key

from amplitude_cohort_s3 import ExistingMeaning, RowSchema, read_history
from amplitude_cohort_s3.errors import CohortS3Error
from amplitude_cohort_s3.format.kernel import kernel_state
from amplitude_cohort_s3.format.reader import read_table
from amplitude_cohort_s3.history._file_checks import check_table
from amplitude_cohort_s3.history._key_blocks import as_list, count_sides, file_keys
from amplitude_cohort_s3.history._set_checks import compare_sets
from amplitude_cohort_s3.sources import CsvSource

NATIVE = [True, False] if kernel_state() == "in use" else [False]


@pytest.fixture(params=NATIVE, ids=lambda native: "kernel" if native else "python")
def native(request, monkeypatch):
    use_kernel(monkeypatch, is_used=request.param)
    return request.param


# --- Sides -----------------------------------------------------------------------------------

KEYS = st.text("ab1\n,é😀", min_size=1, max_size=4)


@st.composite
def sides_in_blocks(draw):
    """Return one to six sides, and the same in blocks of both kinds, some of them empty."""
    sides = draw(st.lists(st.sets(KEYS, max_size=12), min_size=1, max_size=6))
    in_order, in_blocks = [], []
    for side in sides:
        keys = iter(sorted(side))
        in_order.append(sorted(side))
        blocks = []
        while block := list(islice(keys, draw(st.integers(1, 5)))):
            blocks += [[]] if draw(st.booleans()) else []
            is_text = draw(st.booleans()) and not any("\n" in key for key in block)
            blocks.append("".join(f"{key}\n" for key in block).encode() if is_text else block)
        in_blocks.append(blocks)
    return in_order, in_blocks


@pytest.mark.parametrize("native", NATIVE)
@given(sides=sides_in_blocks())
def test_users_are_counted_by_their_sides(native, sides):
    in_order, in_blocks = sides
    found = Counter()
    with pytest.MonkeyPatch.context() as patch:
        use_kernel(patch, is_used=native)
        for counts in count_sides(*in_blocks):
            found.update(counts)
    expected = Counter(sum(1 << side for side in on) for on in sides_by_key(*in_order))
    assert list(found.items()) == list(expected.items())


def test_a_side_that_is_compared_partly_is_read_partly(native):
    read = []

    def blocks(side, keys):
        for key in keys:
            read.append((side, key))
            yield [key]

    counted = count_sides(blocks(0, "abc"), blocks(1, "xyz"))
    assert next(counted) == {1: 1}
    assert read == [(0, "a"), (1, "x")]


# --- Files -----------------------------------------------------------------------------------

CELLS = st.sampled_from(["", "1", "2", "10", "a", "a,b", 'a"b', "a\nb", "é", "a\rb", '"', "x" * 40])

EDITS = [b"", b'"1",b,c\n', b"1,b,c", b"1,b,c\r\n", b"\n", b"1,b\n", b"\xff,b,c\n"]


@pytest.mark.parametrize("native", NATIVE)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12),
    key=st.sampled_from(["amplitude_id", "user_id", "plan"]),
    edit=st.sampled_from(
        [b"", b'"1",b,c\n', b"1,b,c", b"1,b,c\r\n", b"\n", b"1,b\n", b"\xff,b,c\n"]
    ),
    is_sorted=st.booleans(),
    block_bytes=st.sampled_from([8, 30, 1 << 16]),
)
def test_the_facts_about_a_file_are_those_of_its_rows(
    native, rows, key, edit, is_sorted, block_bytes
):
    schema = RowSchema(properties=("plan",), key=key)
    index = schema.key_index
    if is_sorted:
        rows = [row for _, row in sorted({row[index]: row for row in rows if row[index]}.items())]
    data = b"".join(schema.encode(rows)) + edit
    found = facts_of(data, schema, block_bytes, native=native)
    expected = facts_of(data, schema, block_bytes, native=False)
    assert found == expected
    if not edit:
        keys = [row[index] for row in rows]
        is_ascending = keys == sorted(set(keys)) and "" not in keys
        filled = sum(row[2] != "" for row in rows)
        assert found == (len(rows), (filled,), True, is_ascending, keys)


def facts_of(data, schema, block_bytes, *, native):
    """Return the facts about a file and its keys, or the error about it."""
    source = CsvSource(chunks=lambda: iter([data]), canonical=True)
    with pytest.MonkeyPatch.context() as patch:
        use_kernel(patch, is_used=native)
        try:
            table = read_table([data], canonical=True, block_bytes=block_bytes)
            found = check_table(table, schema)
            keys = [key for block in file_keys(source, schema) for key in as_list(block)]
        except CohortS3Error as error:
            return str(error)
    return found.rows, found.filled, found.is_canonical, found.ascends, keys


# --- Syncs -----------------------------------------------------------------------------------


def assert_same_facts(history):
    for number, sync in enumerate(history):
        before = history[number - 1] if number else None
        for comparable in (True, False):
            found = compare_sets(history, sync, before, comparable=comparable)
            assert found == compare_sets_slowly(history, sync, before, comparable=comparable)


@pytest.mark.parametrize("seed", range(8))
def test_foreign_files_that_contradict_each_other_have_the_same_faults(seed, meaning, native):
    chosen = random.Random(seed)
    bucket = foreign_random_history(seed, meaning, "user_id", TIMES[1] - TIMES[0])
    keys = [key_of(when, t) for when in bucket.times for t in DiffType]
    for _ in range(4):
        one, other = chosen.sample(keys, 2)
        contents = [bucket.storage.open(key).read() for key in (other, one)]
        for key, data in zip((one, other), contents, strict=True):
            bucket.storage.delete(key)
            bucket.storage.create(key, data)
    history = read_history(bucket.storage, STREAM, match_by="user_id")
    assert_same_facts(history)


@pytest.mark.parametrize("seed", range(3))
def test_recorded_syncs_have_the_same_faults(seed, meaning, native):
    storage, sync = build(random_cohorts(seed), meaning, keep_log=True)
    history = read_history(storage, sync.stream)
    assert_same_facts(history)
    # A sync is compared with a sync before it that is not the one before it.
    found = compare_sets(history, history[5], history[2], comparable=True)
    assert found == compare_sets_slowly(history, history[5], history[2], comparable=True)
    assert sum(found.faults.values()) > 5


def test_the_members_are_counted_if_the_files_of_changes_are_lost(native):
    storage, sync = build(random_cohorts(1), ExistingMeaning.MEMBERS, keep_log=True)
    newest = read_history(storage, sync.stream)[-1]
    for diff_type in (DiffType.ENTERING, DiffType.EXITING):
        storage.delete(newest.files[diff_type].key)
    history = read_history(storage, sync.stream)
    found = compare_sets(history, history[-1], history[-2], comparable=False)
    assert found.members == len(list(history.members_at(TIMES[-1])))
