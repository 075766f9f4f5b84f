"""The default engine in Python: the contract with ranges of several sizes.

Threads and cleaning up are tested with the kernel too.
"""

import errno
import itertools
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3.diff import engine as engine_module
from amplitude_cohort_s3.diff._boundaries import Boundaries
from amplitude_cohort_s3.diff._partition import without_small_ones
from amplitude_cohort_s3.diff.cohort_diff import compute_diff, diff_members, system_folder
from amplitude_cohort_s3.diff.engine import PartitionEngine
from amplitude_cohort_s3.diff.progress import Reporter
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    DiskFullError,
    DuplicateKeyError,
    EmptyKeyError,
)
from amplitude_cohort_s3.format.existing_meaning import ExistingMeaning
from amplitude_cohort_s3.format.filename import DiffType
from amplitude_cohort_s3.format.schema import RowSchema
from amplitude_cohort_s3.sources.protocol import CsvSource
from amplitude_cohort_s3.testing.engine_cases import canonical_bytes, csv_source, sample_rows
from amplitude_cohort_s3.testing.engine_contract import DiffEngineContract

SCHEMA = RowSchema(properties=("plan", "city"))
TINY = PartitionEngine(range_bytes=2000, batch_bytes=6000)


@pytest.mark.usefixtures("without_kernel")
class TestDefault(DiffEngineContract):
    @pytest.fixture
    def engine(self):
        return PartitionEngine()


@pytest.mark.usefixtures("without_kernel")
class TestTinyRanges(DiffEngineContract):
    """Small ranges, so that small input is treated like large input with the default ranges."""

    @pytest.fixture
    def engine(self):
        return TINY


@pytest.mark.usefixtures("without_kernel")
class TestOneRowAtATime(DiffEngineContract):
    """Ranges of one or two rows, in the tests that use hypothesis."""

    @pytest.fixture
    def engine(self):
        return PartitionEngine(range_bytes=20, batch_bytes=100)

    test_the_form_of_the_csv_does_not_change_the_result = None
    test_sides_of_any_size = None
    test_a_changed_property_is_neither_entering_nor_exiting = None
    test_current_rows_in_the_order_of_the_key = None
    test_keys_with_a_long_common_prefix = None
    test_large_and_many_cells = None
    test_an_error_has_the_line_of_a_malformed_row = None
    test_a_canonical_file_that_is_not_sorted_is_malformed = None


def files_of(engine, previous, current, existing=ExistingMeaning.MEMBERS):
    with diff_members(previous, current, schema=SCHEMA, engine=engine, existing=existing) as diff:
        return {t: file.path.read_bytes() for t, file in diff.report.files.items()}, diff.report


# --- Threads -------------------------------------------------------------------------


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize(
    ("canonical", "existing"), list(zip([True, False, True], ExistingMeaning, strict=True))
)
def test_threads_do_not_change_the_result(canonical, existing):
    previous = csv_source(canonical_bytes(sample_rows(3000)), canonical=canonical)
    current = csv_source(canonical_bytes(sample_rows(3300)[300:], ordered=False))
    alone, report = files_of(TINY, previous, current, existing)
    engine = PartitionEngine(workers=2, range_bytes=30_000, batch_bytes=60_000)
    shared, other = files_of(engine, previous, current, existing)
    assert shared == alone
    assert other.members_sha256 == report.members_sha256


@pytest.mark.usefixtures("each_implementation")
def test_an_error_in_a_thread_is_raised_in_the_caller():
    rows = [*sample_rows(9000), ("1", "other", "", "")]
    engine = PartitionEngine(workers=2, range_bytes=100_000, batch_bytes=200_000)
    with pytest.raises(DuplicateKeyError):
        files_of(
            engine,
            csv_source(canonical_bytes([])),
            csv_source(canonical_bytes(rows, ordered=False)),
        )


def test_without_the_kernel_one_thread_does_all_the_work(without_kernel, tmp_path):
    threads = set()
    rows = sample_rows(3000)
    header = canonical_bytes([])

    def chunks():
        for begin in range(0, len(rows), 100):
            threads.add(threading.active_count())
            yield canonical_bytes(rows[begin : begin + 100])[len(header) :]

    current = CsvSource(chunks=lambda: itertools.chain([header], chunks()))
    engine = PartitionEngine(workers=4, range_bytes=2000, batch_bytes=6000)
    before = threading.active_count()  # Threads of earlier tests may end in the meantime.
    files_of(engine, (), current)
    assert max(threads) <= before


@pytest.mark.usefixtures("each_implementation")
def test_sources_are_read_in_the_thread_of_the_caller():
    """A cursor of sqlite3, for example, must be used in the thread that made it."""
    readers = set()

    def source(rows, *, canonical):
        def chunks():
            data = canonical_bytes(rows)
            for begin in range(0, len(data), 3000):
                readers.add(threading.get_ident())
                yield data[begin : begin + 3000]

        return CsvSource(chunks=chunks, canonical=canonical)

    engine = PartitionEngine(workers=3, range_bytes=6000, batch_bytes=15_000)
    rows = sample_rows(3300)
    for canonical in (True, False):
        files_of(engine, source(rows[300:], canonical=canonical), source(rows, canonical=False))
    assert readers == {threading.get_ident()}


# --- Ranges --------------------------------------------------------------------------


@given(st.lists(st.text(max_size=5)), st.integers(1, 50))
def test_two_different_keys_are_split_into_two_ranges(keys, count):
    ranges = Boundaries.from_sample(keys, count)
    distinct = sorted({*keys} - {""})
    assert list(ranges.splitters) == sorted({*ranges.splitters})
    assert all(len(splitter) <= ranges.width for splitter in ranges.splitters)
    if len(distinct) > 1 and count > 1:
        assert distinct[0] < ranges.splitters[0]
        assert ranges.splitters[-1] <= distinct[-1]


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize("canonical", [True, False])
def test_the_small_ranges_of_a_small_source_of_unknown_size_are_joined_together(
    canonical, monkeypatch
):
    joins = []
    monkeypatch.setattr(
        engine_module,
        "without_small_ones",
        lambda *a: joins.extend(without_small_ones(*a)) or joins,
    )
    rows = sample_rows(9000)
    data = canonical_bytes(rows, ordered=False)
    chunks = [data[begin : begin + 10_000] for begin in range(0, len(data), 10_000)]
    current = CsvSource(chunks=lambda: iter(chunks))
    engine = PartitionEngine(range_bytes=20_000, batch_bytes=50_000)
    previous = csv_source(canonical_bytes(rows[900:]), canonical=canonical)
    _, report = files_of(engine, previous, current)
    assert report.files[DiffType.ENTERING].rows == 900
    assert len(data) / 20_000 < len(joins) < 3 * len(data) / 20_000
    assert [(a.end, b.begin) for a, b in itertools.pairwise(joins) if a.end != b.begin] == []
    assert (joins[0].begin, joins[-1].end) == (None, None)


@pytest.mark.usefixtures("each_implementation")
def test_many_equal_rows_are_one_member():
    line = b"1,ann,free,Rome\n"
    source = csv_source(SCHEMA.header_line + line * 20_000 + b"2,bob,,\n")
    _, report = files_of(TINY, csv_source(canonical_bytes([])), source)
    assert (report.members_now, report.collapsed) == (2, 19_999)


@pytest.mark.usefixtures("each_implementation")
def test_a_range_that_nearly_all_members_left_is_joined_by_several_jobs():
    rows = sample_rows(5000)
    files, report = files_of(TINY, csv_source(canonical_bytes(rows), canonical=True), rows[:3])
    assert (report.members_before, report.members_now) == (5000, 3)
    assert len(files) == 3


@pytest.mark.parametrize("fault", [{"workers": 0}, {"range_bytes": 0}, {"batch_bytes": -1}])
def test_impossible_sizes_are_refused(fault):
    with pytest.raises(ConfigurationError):
        PartitionEngine(**fault)


# --- Positions of rows in errors -----------------------------------------------------


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize("once", [True, False])
def test_an_error_has_the_row_of_an_iterable(once):
    rows = [("1", "line\nend", "", ""), ("2", "", "", ""), ("1", "", "", "")]
    with pytest.raises(DuplicateKeyError, match="row 3") as caught:
        files_of(TINY, (), iter(rows) if once else rows)
    assert (caught.value.lines, caught.value.unit) == ((3,), "row")
    rows[2] = ("", "", "", "")
    with pytest.raises(EmptyKeyError, match="row 3"):
        files_of(TINY, (), iter(rows) if once else rows)


# --- Nothing is left ----------------------------------------------------------------


def breaking_source(error, rows=3000):
    def chunks():
        yield canonical_bytes(sample_rows(rows), ordered=False)
        raise error

    return CsvSource(chunks=chunks)


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt(), OSError(errno.EIO, "io")])
@pytest.mark.parametrize("side", [0, 1])
def test_an_error_of_a_source_leaves_no_files_and_threads(tmp_path, workers, error, side):
    sides = [csv_source(canonical_bytes(sample_rows(3000)), canonical=False)] * 2
    sides[side] = breaking_source(error)
    engine = PartitionEngine(workers=workers, range_bytes=2000, batch_bytes=6000)
    threads = threading.active_count()
    with pytest.raises(type(error)):
        diff_members(*sides, schema=SCHEMA, engine=engine, work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("canonical", [True, False])
def test_sources_are_closed_while_the_error_of_the_diff_is_handled(tmp_path, repeatable, canonical):
    """Its traceback would keep them open, with their connections and threads."""
    opened = []

    def source(rows):
        data = canonical_bytes(rows)

        def chunks():
            opened.append(1)
            try:
                for begin in range(0, len(data), 10_000):
                    yield data[begin : begin + 10_000]
            finally:
                opened.pop()

        return CsvSource(chunks=chunks, canonical=canonical, repeatable=repeatable)

    def refuse(*_):
        raise LookupError

    files = len([*Path("/dev/fd").iterdir()])
    engine = PartitionEngine(workers=2, range_bytes=15_000, batch_bytes=10_000)
    sides = source(sample_rows(3000)), source(sample_rows(3000))

    def refuse_in(step):
        def callback(event):
            if event.step == step and event.done:
                refuse()

        return Reporter(callback, clock=itertools.count().__next__)  # each event is due

    in_steps = ({"reporter": refuse_in("read")}, {"reporter": refuse_in("compare")})
    for options in (*in_steps, {"grown": refuse}):
        with pytest.raises(LookupError) as caught:
            compute_diff(
                *sides,
                schema=SCHEMA,
                existing=ExistingMeaning.MEMBERS,
                duplicates="refuse",
                engine=engine,
                open_folder=partial(system_folder, tmp_path),
                **{"reporter": None, **options},
            )
        assert caught.value.__traceback__ is not None
        assert opened == []
        assert len([*Path("/dev/fd").iterdir()]) == files


@pytest.mark.usefixtures("each_implementation")
def test_closing_leaves_no_files(tmp_path):
    with diff_members((), sample_rows(5), schema=SCHEMA, work_dir=tmp_path):
        (folder,) = tmp_path.iterdir()
        assert sorted(p.name for p in folder.iterdir()) == [
            "entering.csv", "existing.csv", "exiting.csv",
        ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit", [1000, 100_000, 200_000])
def test_a_full_disk_is_an_error_and_leaves_no_files(tmp_path, limit, workers):
    rows = sample_rows(3000)
    engine = PartitionEngine(workers=workers, range_bytes=2000, batch_bytes=6000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(DiskFullError) as caught:
            diff_members(rows, iter(rows * 2), schema=SCHEMA, engine=engine, work_dir=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("each_implementation")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_leaves_no_files(tmp_path, workers):
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    script = textwrap.dedent(f"""
        import itertools, signal, sys
        # A shell starts processes in the background with interrupts ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from amplitude_cohort_s3.diff.cohort_diff import compute_diff, diff_members, system_folder
        from amplitude_cohort_s3.sources.protocol import CsvSource
        from amplitude_cohort_s3.diff.engine import PartitionEngine
        from amplitude_cohort_s3.format.schema import RowSchema
        def chunks():
            yield b"amplitudeID,userID\\n"
            for n in itertools.count():
                yield b"".join(b"%d,x\\n" % i for i in range(n * 9000, (n + 1) * 9000))
                if n == 20:
                    print("running", flush=True)
        diff_members((), CsvSource(chunks=chunks), schema=RowSchema(), work_dir=sys.argv[1],
                     engine=PartitionEngine(workers={workers}, batch_bytes=500_000))
        """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, work_dir],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"running\n"
    assert list(work_dir.iterdir())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert list(work_dir.iterdir()) == []
