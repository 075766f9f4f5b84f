"""A search in a sorted file finds the row that reading the file would find, or it gives up."""

import io
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3.format.schema import RowSchema
from amplitude_cohort_s3.history import _sorted_file
from amplitude_cohort_s3.history._sorted_file import find_row

LONGEST_ROW = 120


@contextmanager
def small_windows(size):
    """Sizes that make a file of some hundred bytes a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sorted_file, "_BUFFER_BYTES", 8)
        patch.setattr(_sorted_file, "_WINDOW_BYTES", size - 1)
        patch.setattr(_sorted_file, "_MAX_WINDOW_BYTES", 4 * size)
        patch.setattr(_sorted_file, "_CHUNK_BYTES", 16)
        patch.setattr(_sorted_file, "_STEPS", (40, LONGEST_ROW))
        patch.setattr(_sorted_file, "MAX_ROW_BYTES", LONGEST_ROW)
        yield


def encoded(schema, rows):
    return b"".join(schema.encode(rows))


def search(data, schema, key):
    return find_row(io.BytesIO(data), len(data), schema, key.encode())


TEXTS = st.text(st.sampled_from('12ab,"\n\ré\U0001f600'), max_size=6)
"""Cells that need quotes, have quotes of their own, or have more bytes than letters."""

LIKE_ROWS = st.lists(
    st.builds("{},u{},{}".format, st.integers(0, 99), st.integers(0, 9), st.sampled_from("ab")),
    max_size=4,
).map("\n".join)
"""Cells whose text looks like rows."""


@st.composite
def files(draw):
    """A schema with any column as its key, and sorted rows."""
    key = draw(st.sampled_from(["amplitude_id", "user_id", "plan"]))
    schema = RowSchema(properties=("plan",), key=key)
    keys = draw(st.lists(st.one_of(st.integers(0, 99).map(str), TEXTS), max_size=30))
    cells = st.one_of(st.sampled_from(["", "a"]), TEXTS, LIKE_ROWS)
    rows = []
    for one in sorted(set(filter(None, keys)), key=str.encode):
        row = [draw(cells) for _ in schema.columns]
        row[schema.key_index] = one
        if len(encoded(schema, [row])) - len(schema.header_line) <= LONGEST_ROW:
            rows.append(tuple(row))
    return schema, rows


@pytest.mark.parametrize("size", [32, 80])
@settings(max_examples=4 * settings().max_examples)
@given(files(), st.one_of(st.integers(0, 99).map(str), TEXTS))
@example((RowSchema(properties=("plan",)), []), "1")
@example((RowSchema(properties=("plan",)), [("1", "", "")]), "1")
def test_a_search_finds_what_the_file_has(size, file, absent):
    schema, rows = file
    data = encoded(schema, rows)
    by_key = {row[schema.key_index]: row for row in rows}
    with small_windows(size):
        for key in {*by_key, absent}:
            assert search(data, schema, key) in (by_key.get(key, ()), None), key


@pytest.mark.parametrize("size", [32, 80])
@settings(max_examples=2 * settings().max_examples)
@given(st.sets(st.integers(0, 10**6), max_size=200), st.integers(0, 10**6))
def test_a_search_in_rows_without_quotes_never_gives_up(size, numbers, absent):
    schema = RowSchema()
    rows = sorted((str(number), f"user {number % 7}") for number in numbers)
    data = encoded(schema, rows)
    with small_windows(size):
        for key in {*map(str, numbers), str(absent)}:
            expected = next((row for row in rows if row[0] == key), ())
            assert search(data, schema, key) == expected


@pytest.mark.parametrize("size", [32, 80])
@given(st.data())
def test_a_search_among_rows_with_some_quotes_never_gives_up(size, data):
    schema = RowSchema(properties=("plan",))
    plans = st.sampled_from(["a", "a, b", 'the "best"', "line 1\nline 2"])
    rows = [(f"{number:03}", f"u{number}", data.draw(plans)) for number in range(60)]
    content = encoded(schema, rows)
    with small_windows(size):
        for row in rows:
            assert search(content, schema, row[0]) == row


@pytest.mark.parametrize("size", [32, 80])
@pytest.mark.parametrize("before", range(0, 60, 7))
@pytest.mark.parametrize("lines", [1, 3, 8])
@pytest.mark.parametrize("first", [0, 31, 95])
def test_no_cell_that_looks_like_rows_deceives_a_search(size, before, lines, first):
    """Its lines have keys that no row has, or those of rows elsewhere, all in order."""
    schema = RowSchema(properties=("plan",))
    cell = "\n".join(f"{key:02},u,a" for key in range(first, first + lines)) + "\n"
    keys = [key for key in range(100) if not first <= key < first + lines]
    rows = [(f"{key:02}", "u", cell if n == before else "a") for n, key in enumerate(keys)]
    data = encoded(schema, rows)
    with small_windows(size):
        for key in range(103):
            expected = next((row for row in rows if row[0] == f"{key:02}"), ())
            assert search(data, schema, f"{key:02}") in (expected, None)


def test_a_row_that_is_longer_than_any_window_is_read_whole():
    schema = RowSchema(properties=("plan",))
    rows = [(f"{n:05}", "u", "x" * (9 << 20) if n == 500 else "a") for n in range(1000)]
    data = encoded(schema, rows)
    found = [search(data, schema, key) for key in ("00001", "00499", "00500", "00998")]
    assert found == [rows[1], rows[499], None, rows[998]]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"amplitudeID", b"amplitudeId"),
        lambda data: data[:-5],
        lambda data: b"".join(reversed(data.splitlines(keepends=True))),
        lambda data: data.replace(b"u\n", b"u\r\n"),
        lambda data: data.replace(b"u\n", b'"u"\n'),
        lambda data: data.replace(b"u\n", b"u,1\n"),
        lambda data: data.replace(b"u\n", b'"u\n'),
        lambda data: data.replace(b"u\n", b'",\xff"\n'),
    ],
)
def test_a_file_that_is_not_sorted_and_canonical_is_not_searched(change):
    schema = RowSchema()
    data = change(encoded(schema, [(f"{n:03}", "u") for n in range(1000)]))
    assert search(data, schema, "500") is None


class Counting(io.BytesIO):
    """A stream that counts its bytes and the places where it was read."""

    def __init__(self, data):
        super().__init__(data)
        self.seeks, self.bytes_read = 0, 0

    def seek(self, offset, whence=0, /):
        self.seeks += offset != self.tell()
        return super().seek(offset, whence)

    def read(self, size=-1, /):
        data = super().read(size)
        self.bytes_read += len(data)
        return data


@pytest.mark.parametrize("kind", ["numbers", "texts", "clusters"])
@pytest.mark.parametrize("quoted", [True, False])
def test_a_search_reads_a_few_places(kind, quoted):
    keys = {
        "numbers": [str(10**11 + n * 7_919) for n in range(50_000)],
        "texts": sorted(f"{n * 7_919 % 1_000_003:06x}@example.com" for n in range(50_000)),
        "clusters": [f"{n // 250}" * 9 + f"{n % 250:03}" for n in range(10_000, 60_000)],
    }[kind]
    rows = [(key, "u" * 140, "a, b" if quoted else "ab") for key in sorted(keys)]
    schema = RowSchema(properties=("plan",))
    data = encoded(schema, rows)
    for index in range(0, len(rows), 2_473):
        stream = Counting(data)
        found = find_row(stream, len(data), schema, rows[index][0].encode())
        assert found == rows[index]
        assert stream.seeks <= 10
        assert quoted is False or stream.bytes_read < 3 << 20
