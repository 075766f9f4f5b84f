"""The stays of a history are the same, whether they are merged as lines or row by row."""

# ruff: noqa: SLF001 -- the rows from which the stays follow are not public

import random
from datetime import timedelta
from operator import itemgetter

import pytest
from attrs import evolve
from foreign_history import STREAM, key_of
from foreign_history import random_history as foreign_history
from hypothesis import given, settings
from hypothesis import strategies as st
from implementations import use_kernel
from random_history import START, build, random_cohorts

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    RowSchema,
    UserProperty,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.history import Stay, _copies, _stay_lines
from amplitude_cohort_s3.history.origins import Origin
from amplitude_cohort_s3.history.stays import ChangeKind, RowMerge, snapshots_to_show, stays_of
from amplitude_cohort_s3.history.sync_files import CHANGES
from amplitude_cohort_s3.sources import CsvSource

DAY = timedelta(days=1)


def stays_row_by_row(history: CohortHistory) -> list[Stay]:
    """Return the stays that follow from all changes as rows, sorted in memory."""
    schema, numbers = history.schema, range(len(history))
    changes = [
        (key, number, kind, row)
        for number in numbers
        for diff_type, kind in CHANGES.items()
        for key, row in history._changed_rows(number, diff_type, schema)[1]
    ]
    snapshots = [n for n in numbers if history._origins[n] is Origin.FILES]
    for number in snapshots_to_show(snapshots, history._columns_at):
        rows = history._members(number, schema)
        changes += [(key, number, ChangeKind.PRESENT, row) for key, row in rows]
    times = [*(sync.synced_at for sync in history), None]
    return [
        Stay(
            entered=times[-1 if one.entered is None else one.entered],
            exited=times[-1 if one.exited is None else one.exited],
            row=one.row,
            columns=schema.columns,
        )
        for one in stays_of(sorted(changes), history._row_merge(schema))
    ]


def assert_same_stays(history: CohortHistory) -> list[Stay]:
    """Compare the values and the table of the stays with those that are computed from rows."""
    expected, found = stays_row_by_row(history), history.intervals()
    assert list(found) == expected
    table = found.to_arrow()
    assert table.column_names[2:] == list(history.columns)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    assert list(rows) == [(one.entered, one.exited, *one.row) for one in expected]
    assert found.to_polars().rows() == [(one.entered, one.exited, *one.row) for one in expected]
    return expected


@pytest.fixture(autouse=True, params=["kernel", "Python"])
def _small_rounds(request, monkeypatch):
    """Merge few rows at a time, and write copies to the disk."""
    monkeypatch.setattr(_stay_lines, "ROUND_BYTES", 300)
    monkeypatch.setattr(_stay_lines, "MIN_PIECE_BYTES", 20)
    monkeypatch.setattr(_copies, "HELD_BYTES", 100)
    if request.param == "Python":
        use_kernel(monkeypatch, is_used=False)


TEXTS = ["", "x", "a,b", 'say "x"', "two\nlines", "cr\rhere", "é日本😀", " x ", "\ufeffx", '"']
KEYS = ["1", "10", "2", "a", "ab", "é", "日本", "😀", "\ufeff1", "z z", *map(str, range(30, 60))]
ODD_KEYS = ["a,b", 'q"q', "l\nl"]

cells = st.sampled_from(TEXTS)
members = st.dictionaries(st.sampled_from(KEYS + ODD_KEYS), st.tuples(cells, cells), max_size=25)


@st.composite
def histories(draw) -> CohortHistory:
    """Return a history of a few syncs, with or without a log."""
    match_by = draw(st.sampled_from(["amplitude_id", "user_id", "mail"]))
    mail = UserProperty("mail")
    storage, log = MemoryStorage(), MemoryStorage()
    stream = None
    columns = st.sampled_from([(), ("plan",), ("city", "plan"), ("plan", "city")])
    before, always = {}, draw(columns) if draw(st.booleans()) else None
    for number in range(draw(st.integers(0, 5))):
        names = draw(columns) if always is None else always
        meaning = draw(st.sampled_from(list(ExistingMeaning)))
        sync = CohortSync(
            destination=Destination(
                name="d",
                path="in",
                match_by=mail if match_by == "mail" else match_by,
                existing=meaning,
            ),
            project_id=1,
            cohort_id="a",
            user_properties=tuple(map(UserProperty, names)),
        )
        stream = sync.stream
        now = draw(members)
        if draw(st.booleans()):  # Most users stay.
            now = {**before, **{k: v for k, v in now.items() if len(v[0]) != 1}}
            for key in draw(st.sets(st.sampled_from(KEYS))):
                now.pop(key, None)
        rows = [row_of(key, values, match_by, names) for key, values in now.items()]
        when = START + number * DAY
        sync_cohort(sync, rows, storage, log=log, synced_at=when, guard=False)
        before = now
    if draw(st.booleans()):
        log = storage
    return read_history(storage, stream or STREAM, log=log, match_by=match_by)


def row_of(key, values, match_by, names):
    ids = {"amplitude_id": f"i{key}", "user_id": values[1], "mail": f"m{key}"}
    ids[match_by] = key
    if match_by != "mail":
        del ids["mail"]
    return ids | dict(zip(names, values, strict=False))


# Half of the examples, since each is compared from every sync on, with the kernel and without.
@settings(max_examples=settings().max_examples // 2)
@given(history=histories())
def test_random_histories_have_the_same_stays(history):
    assert_same_stays(history)
    for sync in history:
        assert_same_stays(read_since(history, sync.synced_at))


def read_since(history: CohortHistory, when) -> CohortHistory:
    syncs = tuple(sync for sync in history.syncs if sync.synced_at >= when)
    return evolve(history, syncs=syncs)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("match_by", ["amplitude_id", "user_id"])
@pytest.mark.parametrize("step", [DAY, 17 * DAY / 24])
def test_files_with_odd_rows_have_the_same_stays(seed, meaning, match_by, step):
    bucket = foreign_history(seed, meaning, match_by, step)
    assert_same_stays(read_history(bucket.storage, STREAM, match_by=match_by))
    rest = bucket.lose(3)
    rest.remove(4, DiffType.EXITING)
    assert_same_stays(read_history(rest.storage, STREAM, match_by=match_by))


@pytest.mark.parametrize("seed", range(6))
def test_histories_with_lost_files_have_the_same_stays(seed, meaning, keep_log):
    chosen = random.Random(seed)
    storage, sync = build(random_cohorts(seed), meaning, keep_log=keep_log)
    for one in read_history(storage, sync.stream)[2:-2:3]:
        storage.delete(one.files[chosen.choice(list(DiffType))].key)
    assert_same_stays(read_history(storage, sync.stream))


def test_many_users_and_syncs_have_the_same_stays(monkeypatch):
    monkeypatch.setattr(_stay_lines, "ROUND_BYTES", 20_000)
    chosen = random.Random(1)
    storage = MemoryStorage()
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    now = set(range(3000))
    for number in range(30):
        now -= set(chosen.sample(sorted(now), 30))
        now |= set(chosen.sample(range(4000), 30))
        rows = [(str(one), f"u{one % 7}") for one in now]
        sync_cohort(sync, rows, storage, synced_at=START + number * DAY)
    stays = assert_same_stays(read_history(storage, sync.stream))
    assert len(stays) > 3200


# --- Faults ------------------------------------------------------------------------------


def fault_of(question) -> tuple:
    """Return the class and the text of the error that a question raises."""
    try:
        question()
    except Exception as error:  # noqa: BLE001 -- any error is compared
        return type(error), str(error)
    return ()


def damages(data: bytes):
    """Yield damaged forms of a file."""
    middle = len(data) // 2
    yield data[:middle]
    yield data[:-1]
    yield data + b"zz,zz\n"
    yield data + b"zz,zz,zz\n"
    for byte in b'"\n,\0\xff\r':
        yield data[:middle] + bytes([byte]) + data[middle + 1 :]
    yield data[:-2] + b'"\n'
    lines = data.splitlines(keepends=True)
    yield b"".join([lines[0], *reversed(lines[1:])])
    yield b"".join([*lines, lines[-1]])
    yield b"\n" + data
    yield lines[0].replace(b"userID", b"other") + b"".join(lines[1:])
    yield b""


@pytest.mark.parametrize("diff_type", list(DiffType))
@pytest.mark.parametrize("number", [0, 2, -1])
def test_a_damaged_file_raises_the_same_error(diff_type, number, keep_log, meaning):
    cohorts = [{k: (k, f"u{k}", "x") for k in one} for one in random_cohorts(4)[:5]]
    storage, sync = build(cohorts, meaning, keep_log=keep_log)
    key = read_history(storage, sync.stream)[number].files[diff_type].key
    data, faults = storage.open(key).read(), 0
    for damaged in damages(data):
        storage.delete(key)
        storage.create(key, damaged)
        history = read_history(storage, sync.stream)
        expected = fault_of(lambda history=history: stays_row_by_row(history))
        for question in (lambda h=history: list(h.intervals()), history.intervals().to_arrow):
            assert fault_of(question) == expected, damaged
        faults += bool(expected)
    is_read = diff_type is not DiffType.EXISTING or number == -1 or not keep_log
    assert faults > 5 or not is_read


def test_a_lost_file_raises_the_same_error(meaning):
    storage, sync = build(random_cohorts(4), meaning, keep_log=True)
    history = read_history(storage, sync.stream)
    for diff_type in DiffType:
        storage.delete(history[-1].files[diff_type].key)
        expected = fault_of(lambda: stays_row_by_row(history))
        assert fault_of(lambda: list(history.intervals())) == expected


def test_temporary_files_are_removed(tmp_path, meaning):
    storage, sync = build(random_cohorts(2), meaning, keep_log=True)
    stays = iter(read_history(storage, sync.stream, work_dir=tmp_path).intervals())
    next(stays)
    stays.close()
    assert not list(tmp_path.iterdir())


def test_stays_are_in_the_order_of_the_key(meaning):
    storage, sync = build(random_cohorts(2), meaning, keep_log=True)
    rows = read_history(storage, sync.stream).intervals().to_arrow().to_pylist()
    keys = [(row["amplitude_id"].encode(), row["entered"]) for row in rows]
    assert keys == sorted(keys, key=itemgetter(0))
    assert keys == sorted(keys)


def test_a_single_foreign_sync_has_the_same_stays(meaning):
    storage = MemoryStorage()
    for diff_type, rows in zip(DiffType, ("1,a\n", "", "1,a\n"), strict=True):
        storage.create(key_of(START, diff_type), f"amplitudeID,userID\n{rows}".encode())
    (stay,) = assert_same_stays(read_history(storage, STREAM))
    assert (stay.entered, stay.exited, stay.row) == (START, None, ("1", "a"))


@pytest.mark.parametrize("rows", [b",x\n1,u\n2,v\n", b"1,u\n,x\n2,v\n", b"1,u\n2,v\n,x\n"])
def test_rows_without_a_key_are_not_members_wherever_a_damaged_file_has_them(rows):
    schema = RowSchema()
    source = CsvSource(chunks=lambda: iter([schema.header_line + rows]), canonical=True)
    side = _stay_lines.StaySide(
        number=0, kind=ChangeKind.ENTERED, source=source, size=len(rows), check=list
    )
    found = list(_stay_lines.stay_lines([side], schema, RowMerge.of([], schema.columns)))
    assert b"".join(one.lines for one in found) == b"1,u\n2,v\n"
