"""The default engine with the native kernel and threads, and its equality with pure Python."""

import os
import random
import shutil
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3.diff import engine as engine_module
from amplitude_cohort_s3.diff._threads import run_in_threads, usable_processors
from amplitude_cohort_s3.diff.engine import PartitionEngine
from amplitude_cohort_s3.errors import CohortS3Error
from amplitude_cohort_s3.format import kernel as kernel_module
from amplitude_cohort_s3.format.existing_meaning import ExistingMeaning
from amplitude_cohort_s3.format.filename import DiffType
from amplitude_cohort_s3.format.schema import RowSchema
from amplitude_cohort_s3.testing.engine_cases import csv_source
from amplitude_cohort_s3.testing.engine_contract import DiffEngineContract


@pytest.mark.usefixtures("with_kernel")
class TestKernel(DiffEngineContract):
    @pytest.fixture
    def engine(self):
        return PartitionEngine()


@pytest.mark.usefixtures("with_kernel")
class TestKernelWithThreads(DiffEngineContract):
    @pytest.fixture
    def engine(self):
        return PartitionEngine(workers=3, range_bytes=2000, batch_bytes=6000)


@pytest.mark.usefixtures("with_kernel")
class TestKernelWithOneRowAtATime(DiffEngineContract):
    """Ranges of one or two rows, in all tests but those with thousands of rows."""

    @pytest.fixture
    def engine(self):
        return PartitionEngine(workers=1, range_bytes=20, batch_bytes=100)

    test_the_form_of_the_csv_does_not_change_the_result = None
    test_sides_of_any_size = None
    test_a_changed_property_is_neither_entering_nor_exiting = None
    test_current_rows_in_the_order_of_the_key = None
    test_keys_with_a_long_common_prefix = None


# --- The same results, for random members ---------------------------------------------------

ALPHABETS = ("0123456789", "a+b", "ab", "a!\"#$%&'()*+-./", "éßa日😀", "aA~ \t", "\x01\x1fz,")
SUMS = ("a", "a+b", "ab", "a+", "a,b", "aa", "a+b+", "b", "a-b", "a b", "", "é", "éa", "7.0")
PLAIN_CELLS = ("DE", "US", "free", "enterprise", "", "日本", "x" * 30)
ODD_CELLS = ("", "a,b", 'say "hi"', '"', "two\nlines", "lone\rCR", "\t", "ünï", "😀", "=1+1", " ")


def random_key(r, style):
    match style:
        case "digits":
            return str(r.randrange(10 ** r.choice((1, 3, 6, 12))))
        case "fixed":
            return f"{r.randrange(10**9):012d}"
        case "prefix":
            return f"user_account_number_{r.randrange(10**6)}"
        case "two prefixes":
            return r.choice(("a" * 20, "b" * 23)) + str(r.randrange(9999))
        case "sums":
            return r.choice(SUMS)
    alphabet = r.choice(ALPHABETS)
    return "".join(r.choice(alphabet) for _ in range(r.randrange(1, 14)))


def to_csv(r, rows, header, style):
    def cell(text):
        needs = style == "quoted" or any(c in text for c in ',"\n\r')
        return '"' + text.replace('"', '""') + '"' if needs else text

    end = "\r\n" if style == "crlf" else "\n"
    lines = [",".join(map(cell, row)) for row in (header, *rows)]
    data = (end.join(lines) + (end if r.random() < 0.8 else "")).encode()
    if r.random() < 0.05 and len(data) > 40:
        at = r.randrange(30, len(data))
        data = data[:at] + r.choice((b"\0", b"\xff", b'"', b",", b"\n", b"\r")) + data[at:]
    return data


def random_members(r, schema):
    """Return previous and current rows with keys in a style, and whether these are odd."""
    style = r.choice(("digits", "fixed", "prefix", "two prefixes", "sums", "any"))
    hostile = r.choice((0, 0, 0, 0.01, 0.3))
    count = r.choice((0, 1, 2, 3, 7, 30, 100, 400))
    place = schema.key_index
    keys = list(dict.fromkeys(random_key(r, style) for _ in range(count)))

    def row(key):
        cells = [
            r.choice(ODD_CELLS if r.random() < hostile else PLAIN_CELLS) for _ in schema.columns
        ]
        cells[0] = cells[0] if place else key
        cells[place] = key
        return tuple(cells)

    before = {key: row(key) for key in keys if key and r.random() < 0.8}
    now = [before[k] if k in before and r.random() < 0.7 else row(k) for k in keys]
    now = [row for row in now if r.random() < 0.8]
    for _ in range(r.choice((0, 0, 0, 3, 20)) if now else 0):
        other = r.choice(now)
        now.append(other if r.random() < 0.7 else row(other[place]))
    r.shuffle(now) if r.random() < 0.7 else now.sort(key=lambda x: x[place].encode())
    return [before[key] for key in sorted(before, key=str.encode)], now


def random_case(seed):
    """Return the arguments of a diff, and those of the engine."""
    r = random.Random(seed)
    properties = ("plan", "city", "x")[: r.randrange(4)]
    schema = RowSchema(
        properties=properties,
        key=r.choice(("amplitude_id", "amplitude_id", "user_id", *properties[:1])),
    )
    before, now = random_members(r, schema)
    canonical = r.random() < 0.6
    if canonical:
        before = before if r.random() < 0.95 else before[::-1]
        previous = b"".join(schema.encode(before))
    else:
        r.shuffle(before)
        before += before[: r.choice((0, 3))]
        previous = to_csv(r, before, schema.header, r.choice(("plain", "quoted")))
    header = list(schema.header)
    if r.random() < 0.2 and len(header) > 2:  # another order of the columns
        header, now = header[::-1], [row[::-1] for row in now]
    style = r.choice(("plain", "plain", "plain", "quoted", "crlf"))
    current = to_csv(r, now, header, style)
    chunk = r.choice((7, 100, 1 << 20))
    sides = csv_source(previous, canonical=canonical, chunk=chunk), csv_source(current, chunk=chunk)
    arguments = {
        "schema": schema,
        "existing": r.choice(list(ExistingMeaning)),
        "duplicates": r.choice(("refuse", "keep_smallest", "keep_smallest")),
        "progress": None,
    }
    sizes = {
        "range_bytes": r.choice((60, 500, 5000, 512 << 10)),
        "batch_bytes": r.choice((200, 3000, 50_000, 4 << 20)),
    }
    return sides, arguments, sizes, r.choice((1, 1, 2, 3))


def outcome(engine, sides, arguments, folder):
    """Return the files and the report, or the error."""
    folder.mkdir()
    try:
        report = engine.diff(*sides, **arguments, folder=folder)
    except CohortS3Error as error:
        return type(error), str(error)
    else:
        files = {name: report.files[name].path.read_bytes() for name in DiffType}
        return files, {name: report.files[name].sha256 for name in DiffType}, str(report)
    finally:
        shutil.rmtree(folder)


# In parts, for several processes.
@pytest.mark.parametrize("part", range(3))
@settings(
    max_examples=int(os.environ.get("KERNEL_ROUNDS", "150")) // 3,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(seed=st.integers(0, 1 << 40))
def test_the_kernel_changes_neither_results_nor_errors(kernel, tmp_path_factory, part, seed):
    sides, arguments, sizes, workers = random_case(f"{part} {seed}")
    folder = tmp_path_factory.getbasetemp() / "diff"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_module, "_STATE", "disabled")
        expected = outcome(PartitionEngine(**sizes, workers=1), sides, arguments, folder)
        patch.setattr(kernel_module, "_kernel", kernel)
        patch.setattr(kernel_module, "_STATE", "in use")
        found = outcome(PartitionEngine(**sizes, workers=workers), sides, arguments, folder)
    assert found == expected


@pytest.mark.usefixtures("with_kernel")
@pytest.mark.parametrize("key", ["amplitude_id", "user_id", "plan"])
def test_usual_members_never_need_the_python_code(key, monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError("the Python code was used")

    monkeypatch.setattr("amplitude_cohort_s3.format.reader.LineReader.lines", refuse)
    monkeypatch.setattr(engine_module.RangeJoin, "__call__", refuse)
    monkeypatch.setattr(engine_module, "choose_boundaries", lambda *_: engine_module.Boundaries())
    schema = RowSchema(properties=("plan", "city"), key=key)
    rows = [(f"{n}", f"u{n}", f"p{n}", "Köln, am Rhein") for n in range(100, 400)]
    rows.sort(key=lambda row: row[schema.key_index])
    current = to_csv(random.Random(1), rows[5:], schema.header, "quoted")
    sides = csv_source(b"".join(schema.encode(rows)), canonical=True), csv_source(current)
    report = PartitionEngine().diff(
        *sides,
        schema=schema,
        existing=ExistingMeaning.MEMBERS,
        duplicates="refuse",
        folder=tmp_path,
        progress=None,
    )
    assert [report.files[name].rows for name in DiffType] == [0, 5, 295]


# --- Threads --------------------------------------------------------------------------------


def test_results_are_in_the_order_of_the_tasks():
    gate = threading.Event()

    def work(task):
        if task == 0:
            gate.wait(20)
        elif task == 3:
            gate.set()
        return task * task

    assert list(run_in_threads([work] * 3, range(20))) == [n * n for n in range(20)]


def test_no_two_threads_use_the_same_work_at_a_time():
    class Work:
        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, task):
            assert self.lock.acquire(blocking=False)
            threading.Event().wait(0.001)
            self.lock.release()
            return task

    works = [Work() for _ in range(4)]
    assert list(run_in_threads(works, range(100))) == list(range(100))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux can limit it")
def test_only_the_processors_of_the_process_count():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_processors() == len(allowed)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_a_task_is_raised_in_its_place(threads):
    def work(task):
        if task == 5:
            raise LookupError(task)
        return task

    results = run_in_threads([work] * threads, range(20))
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(LookupError, match="5"):
        next(results)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("fails", [1, None])
def test_an_error_of_the_iterator_is_raised_after_the_results_of_earlier_tasks(threads, fails):
    gate = threading.Event()

    def tasks():
        yield from range(2)
        gate.set()
        raise LookupError("no more tasks")

    def work(task):
        gate.wait(20)
        if task == fails:
            raise ZeroDivisionError
        return task

    results = run_in_threads([work] * threads, tasks())
    found = []
    with pytest.raises(LookupError if fails is None else ZeroDivisionError):
        found.extend(results)
    assert found == list(range(2 if fails is None else fails))


def test_no_thread_works_after_the_results_are_closed():
    running = []

    def work(task):
        running.append(task)
        threading.Event().wait(0.01)
        running.remove(task)

    with closing(run_in_threads([work] * 4, range(1000))) as results:
        next(results)
    assert running == []
    assert not [t for t in threading.enumerate() if t.name.startswith("cohort-diff")]


@pytest.mark.parametrize(
    ("has_kernel", "processors", "workers"),
    [(True, 16, 4), (True, 2, 2), (True, 1, 1), (False, 16, 1)],
)
def test_by_default_each_processor_has_a_worker_up_to_four(
    has_kernel, processors, workers, monkeypatch, tmp_path
):
    monkeypatch.setattr(engine_module, "HAS_KERNEL", has_kernel)
    monkeypatch.setattr(engine_module, "usable_processors", lambda: processors)
    limits = []
    monkeypatch.setattr(engine_module, "partition", lambda *a, **_: limits.append(a[3]) or 1 / 0)
    rows = b"".join(b"%d,u\n" % n for n in range(900_000))
    source = csv_source(b"amplitude_id,user_id\n" + rows)
    with pytest.raises(ZeroDivisionError):
        PartitionEngine().diff(
            csv_source(b"amplitudeID,userID\n", canonical=True),
            source,
            schema=RowSchema(),
            existing=ExistingMeaning.MEMBERS,
            duplicates="refuse",
            folder=Path(tmp_path),
            progress=None,
        )
    assert limits[0].workers == workers
