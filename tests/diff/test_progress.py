"""The events of a diff, how often they come, and the bars of the extra `progress`."""

import sys
from functools import partial
from itertools import chain, groupby, pairwise

import pytest

from amplitude_cohort_s3 import (
    CsvSource,
    ExistingMeaning,
    MemberFile,
    RowSchema,
    diff_members,
    errors,
)
from amplitude_cohort_s3.diff import ProgressEvent
from amplitude_cohort_s3.diff.cohort_diff import compute_diff, system_folder
from amplitude_cohort_s3.diff.progress import INTERVAL, Reporter, StepProgress, reporting

SCHEMA = RowSchema()
ROWS = [(str(n), f"user {n}") for n in range(3000)]


def events_of(current, previous=()):
    events = []
    with diff_members(previous, current, schema=SCHEMA, progress=events.append):
        pass
    return events


def steps_of(events):
    """Return the events of each step, in the order of the steps."""
    return {step: list(found) for step, found in groupby(events, key=lambda event: event.step)}


class Clock:
    """A clock that stands still until somebody lets time pass."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def slowly(self, rows, seconds):
        """Yield rows, each after some seconds."""
        for row in rows:
            self.now += seconds
            yield row


def seen_with(clock, members, tmp_path):
    """Return the events of a diff, each with its time."""
    seen = []
    with compute_diff(
        (),
        members,
        schema=SCHEMA,
        existing=ExistingMeaning.MEMBERS,
        duplicates="refuse",
        engine=None,
        reporter=Reporter(lambda event: seen.append((clock.now, event)), clock),
        open_folder=partial(system_folder, tmp_path),
    ):
        pass
    return seen


@pytest.mark.parametrize("rate", [50_000, 10_000, 300, 5])
def test_a_slow_generator_is_reported_at_least_every_half_second(tmp_path, rate):
    clock = Clock()
    rows = ((str(n), "") for n in range(2 * rate))
    seen = seen_with(clock, clock.slowly(rows, 1 / rate), tmp_path)
    assert clock.now > 1.9  # seconds
    times = [when for when, event in seen if event.step == "read"]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 0.5
    assert len(times) <= clock.now / INTERVAL + 3  # at most four a second


def test_a_generator_that_becomes_slow_is_late_once(tmp_path):
    clock = Clock()
    members = chain(ROWS[:2500], clock.slowly(ROWS[2500:2600], 0.1))
    seen = seen_with(clock, members, tmp_path)
    times = [when for when, event in seen if event.step == "read"]
    assert sum(later - earlier > 0.5 for earlier, later in pairwise(times)) <= 1


def test_a_fast_source_costs_only_a_few_events(tmp_path):
    clock = Clock()
    seen = seen_with(clock, iter(ROWS), tmp_path)
    assert [event for _, event in seen] == [
        ProgressEvent("read", 0, None),
        ProgressEvent("read", 3000, 3000),
        ProgressEvent("compare", 0, 3000),
        ProgressEvent("compare", 3000, 3000),
    ]


def test_each_step_begins_with_nothing_and_ends_with_its_total(tmp_path):
    file = tmp_path / "members.csv"
    file.write_bytes(b"".join(SCHEMA.encode(ROWS)))
    for current in (ROWS, iter(ROWS), MemberFile(file), []):
        steps = steps_of(events_of(current, ROWS[:10]))
        assert [*steps] == ["read", "compare"]
        for events in steps.values():
            assert events[0].done == 0
            assert events[-1].done == events[-1].total
            counts = [event.done for event in events]
            assert counts == sorted(counts)


def test_the_total_is_known_from_the_beginning_if_the_source_knows_it(tmp_path):
    assert events_of(ROWS)[0] == ProgressEvent("read", 0, 3000)
    assert events_of(iter(ROWS))[0] == ProgressEvent("read", 0, None)
    file = tmp_path / "members.csv"
    size = file.write_bytes(b"".join(SCHEMA.encode(ROWS)))
    assert events_of(MemberFile(file))[0] == ProgressEvent("read", 0, size, "bytes")


def test_tables_and_parquet_files_know_their_number_of_rows(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"amplitude_id": [key for key, _ in ROWS]})
    assert events_of(table)[0] == ProgressEvent("read", 0, 3000)
    parquet.write_table(table, tmp_path / "members.parquet")
    assert events_of(MemberFile(tmp_path / "members.parquet"))[0].total == 3000
    # A stream of batches does not know it before its end.
    events = events_of(arrow.RecordBatchReader.from_batches(table.schema, table.to_batches()))
    assert events[0] == ProgressEvent("read", 0, None)
    assert steps_of(events)["read"][-1] == ProgressEvent("read", 3000, 3000)


def test_rows_without_a_key_and_repeated_rows_count_as_read():
    rows = [("1", "ann"), ("1", "ann"), ("2", "bob"), ("3", "")]
    schema = RowSchema(key="user_id")
    events = []
    with diff_members((), rows, schema=schema, progress=events.append):
        pass
    last = {event.step: event for event in events}
    assert last["read"].done == 4
    assert last["compare"] == ProgressEvent("compare", 3, 3)


def test_the_number_of_members_before_is_not_a_total():
    assert events_of(iter(ROWS), ROWS)[0].total is None


def test_an_event_can_be_printed():
    assert str(ProgressEvent("read", 20_000)) == "read: 20,000 rows"
    assert str(ProgressEvent("store", 1, 2000, "bytes")) == "store: 1 of 2,000 bytes"


def test_a_step_may_begin_again_but_does_not_go_back():
    seen = []
    reporter = Reporter(lambda event: seen.append(event.done), iter(range(100)).__next__)
    for done in (0, 5, 3, 5, 6, 0, 2):
        reporter(ProgressEvent("verify", done, 9))
    assert seen == [0, 5, 6, 0, 2]


def test_the_last_event_of_a_step_is_never_left_out():
    seen = []
    reporter = Reporter(seen.append, clock=lambda: 0)  # no time passes
    for done in (0, 1, 2):
        reporter(ProgressEvent("read", done))
    reporter(ProgressEvent("compare", 0))
    assert [event.done for event in seen] == [0, 2, 0]


def test_nothing_is_reported_after_the_call():
    seen = []
    with reporting(seen.append) as reporter:
        step = StepProgress(reporter, "read", 2)
    step.add(1)
    step.end()
    assert [event.done for event in seen] == [0]


@pytest.mark.parametrize("wrong", [False, 1, "yes"])
def test_anything_but_true_or_a_function_is_refused(wrong, tmp_path):
    with pytest.raises(errors.ArgumentTypeError, match=r"progress .*: pass True for bars"):
        diff_members((), [], schema=SCHEMA, progress=wrong, work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bars_of_all_steps_are_drawn_and_closed(capsys):
    tqdm = pytest.importorskip("tqdm")
    source = CsvSource(chunks=lambda: iter([b"amplitude_id,user_id\n1,\n2,\n"]))
    with diff_members((), [("1", ""), ("2", "")], schema=SCHEMA, progress=True):
        assert not vars(tqdm.tqdm)["_instances"]
    shown = capsys.readouterr().err
    for step in ("read", "compare"):
        assert f"{step}: 100%" in shown
    assert "2.00/2.00" in shown
    with diff_members((), source, schema=SCHEMA, progress=True):
        pass
    assert "B/s" in capsys.readouterr().err


def test_the_bar_of_a_call_that_fails_is_closed_too(capsys):
    tqdm = pytest.importorskip("tqdm")

    def failing():
        yield ("1", "")
        raise LookupError

    with pytest.raises(LookupError):
        diff_members((), failing(), schema=SCHEMA, progress=True)
    assert not vars(tqdm.tqdm)["_instances"]


def test_without_tqdm_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(errors.MissingExtraError, match=r"amplitude_cohort_s3\[progress\]"):
        diff_members((), [], schema=SCHEMA, progress=True, work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
