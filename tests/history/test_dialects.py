r"""Buckets in the dialects of other tools have the same history.

The files are written by the csv module or by hand, never by the library. The intervals are
compared with those that a simple function computes from sets of members.
"""

import csv
import gzip
import io
import random
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortStream,
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    MemoryStorage,
    detect_existing_meaning,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.history.archives import unpack_archive
from amplitude_cohort_s3.history.findings import FindingKind

START = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = CohortStream(project_id=187520, cohort_id="26umsb5", path="in")
ENTERING, EXITING, EXISTING = DiffType
IDS = ["7", "42", "007", "1e5", "NA", "null", "12345678901234567890", "9", "10"]
AWKWARD = ["", "plain", 'say "hi"', "a,b", "two\nlines", "cr\rlf\r\n", " blanks ", "\t=1+1", "ünï→"]

Table = list[list[str]]


def text_of(table: Table, **options) -> str:
    out = io.StringIO()
    csv.writer(out, **options).writerows(table)
    return out.getvalue()


def plain(table: Table) -> bytes:
    return text_of(table, lineterminator="\n").encode()


def excel(table: Table) -> bytes:
    return text_of(table, quoting=csv.QUOTE_ALL).encode("utf-8-sig")


def amplitude_export(table: Table) -> bytes:
    """Write a TAB before every cell and header, which protects spreadsheets."""
    tabbed = [["\t" + cell for cell in row] for row in table]
    return text_of(tabbed, quoting=csv.QUOTE_ALL, lineterminator="\n").encode()


def repeated_id(table: Table) -> bytes:
    """Write an id column twice, as one public consumer of Amplitude's files saw it."""
    return text_of([[*row[:2], row[0], *row[2:]] for row in table], quoting=csv.QUOTE_ALL).encode()


def reordered(table: Table) -> bytes:
    return text_of([row[::-1] for row in table], lineterminator="\n").encode()


def shuffled(table: Table) -> bytes:
    rows = table[1:]
    random.Random(len(rows)).shuffle(rows)
    return text_of([table[0], *rows], lineterminator="\r\n").encode()


def no_end(table: Table) -> bytes:
    return text_of(table, lineterminator="\n").removesuffix("\n").encode()


def blank_lines(table: Table) -> bytes:
    return ("\n\n" + text_of(table, lineterminator="\n\n") + "\n").encode()


DIALECTS: list[Callable[[Table], bytes]] = [
    *(plain, excel, amplitude_export, repeated_id, reordered, shuffled, no_end, blank_lines)
]
HEADERS = [
    ("amplitude_id", "user_id"),
    ("amplitudeID", "userID"),
    (" amplitudeID", " userID "),
    ("AMPLITUDE_ID", "USER_ID"),
]


def write_bucket(
    storage: MemoryStorage,
    cohorts: list[dict[str, str]],
    meaning: ExistingMeaning,
    write: Callable[[int, Table], bytes],
    *,
    name: Callable[[datetime, DiffType], str],
    header: tuple[str, str] = HEADERS[0],
) -> None:
    """Write three files for each sync, from the property of each id at that time."""
    before: dict[str, str] = {}
    for number, now in enumerate(cohorts):
        stayed = {k: v for k, v in now.items() if k in before}
        existing = {
            ExistingMeaning.MEMBERS: now,
            ExistingMeaning.STAYED: stayed,
            ExistingMeaning.PREVIOUS: {
                **{k: before[k] for k in before.keys() - now.keys()},
                **stayed,
            },
        }[meaning]
        contents = {
            ENTERING: {k: v for k, v in now.items() if k not in before},
            EXITING: {k: v for k, v in before.items() if k not in now},
            EXISTING: existing,
        }
        for diff_type, members in contents.items():
            rows = [[key, f"u,{key}", value] for key, value in members.items()]
            data = write(number, [[*header, "plan"], *rows])
            storage.create(name(START + timedelta(hours=number), diff_type), data)
        before = now


def amplitudes_name(when: datetime, diff_type: DiffType) -> str:
    return f"in/187520_26umsb5_{when:%Y-%m-%dT%H:%M}_{diff_type.value}.csv"


def expected_stays(
    cohorts: list[dict[str, str]], hours: list[int] | None = None
) -> list[tuple[str, datetime, datetime | None]]:
    stays = []
    hours = hours or [*range(len(cohorts))]
    for key in {key for members in cohorts for key in members}:
        inside = [key in members for members in cohorts]
        entered = None
        for number, is_in in enumerate([*inside, None]):
            when = START + timedelta(hours=[*hours, 0][number])
            if is_in and entered is None:
                entered = when
            elif not is_in and entered is not None:
                stays.append((key, entered, when if is_in is False else None))
                entered = None
    return sorted(stays, key=lambda stay: (stay[0].encode(), stay[1]))


def check(storage: MemoryStorage, cohorts: list[dict[str, str]], meaning: ExistingMeaning) -> None:
    history = read_history(storage, STREAM)
    assert len(history) == len(cohorts)
    for sync, members in zip(history, cohorts, strict=True):
        expected = sorted((key, f"u,{key}", value) for key, value in members.items())
        assert sorted(history.members_at(sync)) == expected
    expected_intervals = expected_stays(cohorts)
    stays = [(stay.row[0], stay.entered, stay.exited) for stay in history.intervals()]
    assert stays == expected_intervals
    changes = sorted(
        (event.synced_at, event.diff_type is EXITING, event.row[0]) for event in history.events()
    )
    assert changes == sorted(
        [(entered, False, key) for key, entered, _ in expected_intervals]
        + [(exited, True, key) for key, _, exited in expected_intervals if exited is not None]
    )
    assert history.verify() == ()
    assert meaning in detect_existing_meaning(history)
    for key in {key for members in cohorts for key in members}:
        found = [(key, stay.entered, stay.exited) for stay in history.member_history(key)]
        assert found == [stay for stay in expected_intervals if stay[0] == key]


COHORTS = st.lists(
    st.dictionaries(st.sampled_from(IDS), st.sampled_from(AWKWARD)), min_size=1, max_size=5
)


@settings(max_examples=min(40, settings().max_examples))
@given(
    cohorts=COHORTS,
    meaning=st.sampled_from(ExistingMeaning),
    dialect=st.sampled_from(DIALECTS),
    header=st.sampled_from(HEADERS),
)
def test_every_dialect_results_in_the_same_history(cohorts, meaning, dialect, header):
    if dialect is plain and header[0].startswith(" "):
        header = HEADERS[0]
    storage = MemoryStorage()
    # The repeated column is only a repetition if its header is the same.
    write_bucket(
        storage, cohorts, meaning, lambda _, t: dialect(t), name=amplitudes_name, header=header
    )
    check(storage, cohorts, meaning)


@settings(max_examples=min(25, settings().max_examples))
@given(cohorts=COHORTS, meaning=st.sampled_from(ExistingMeaning), seed=st.integers(0, 99))
def test_dialects_and_spellings_of_names_may_change_from_sync_to_sync(cohorts, meaning, seed):
    chosen = random.Random(seed)
    spellings = [
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%dT%H-%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H-%MZ",
        "%Y-%m-%dT%H_%M",
        "%Y-%m-%dT%H_%M_%SZ",
    ]
    by_hour = [chosen.choice(spellings) for _ in range(6)]
    ends = [chosen.choice([".csv", "_.csv", ".csv.gz"]) for _ in range(6)]
    by_sync = [chosen.choice(DIALECTS) for _ in range(6)]

    def name(when: datetime, diff_type: DiffType) -> str:
        time = f"{when:{by_hour[when.hour]}}"
        return f"in/187520_26umsb5_{time}_{diff_type.value}{ends[when.hour]}"

    def write(number: int, table: Table) -> bytes:
        data = by_sync[number](table)
        return gzip.compress(data) if chosen.random() < 0.5 else data  # whatever the name

    storage = MemoryStorage()
    write_bucket(storage, cohorts, meaning, write, name=name)
    check(storage, cohorts, meaning)


def test_a_column_that_some_files_lack_is_empty_for_them():
    storage = MemoryStorage()
    files = {
        0: (
            b"amplitude_id,user_id\n1,a\n",
            b"amplitude_id,user_id\n",
            b"user_id,amplitude_id\na,1\n",
        ),
        1: (
            b"plan,amplitude_id\npro,2\n",
            b"amplitude_id,user_id\n",
            b"amplitude_id,plan,user_id\n1,,a\n2,pro,\n",
        ),
        2: (
            b"amplitude_id,city\n3,Bonn\n",
            b"amplitude_id,plan\n2,pro\n",
            b"city,amplitude_id\nBonn,3\n,1\n",
        ),
    }
    for hour, contents in files.items():
        for diff_type, data in zip(DiffType, contents, strict=True):
            storage.create(amplitudes_name(START + timedelta(hours=hour), diff_type), data)
    history = read_history(storage, STREAM)
    assert history.columns == ("amplitude_id", "user_id", "plan", "city")
    assert [event.row for event in history.events()] == [
        ("1", "a", "", ""),
        ("2", "", "pro", ""),
        ("3", "", "", "Bonn"),
        ("2", "", "pro", ""),
    ]
    assert [list(history.members_at(sync)) for sync in history] == [
        [("1", "a")],
        [("1", "a", ""), ("2", "", "pro")],
        [("1", "", "", ""), ("3", "", "Bonn", "")],
    ]
    assert history.verify() == ()


@settings(max_examples=min(10, settings().max_examples))
@given(cohorts=COHORTS, meaning=st.sampled_from(ExistingMeaning))
def test_a_bucket_of_archives_is_unpacked_and_read(cohorts, meaning):
    """There is one ``.tar.gz`` for each sync, with a routing key in the names."""
    loose, archives, storage = MemoryStorage(), MemoryStorage(), MemoryStorage()

    def name(when: datetime, diff_type: DiffType) -> str:
        time = f"{when:%Y-%m-%dT%H:%M}"
        return f"187520_26umsb5_{time}_{diff_type.value}_Active_Users.csv"

    write_bucket(loose, cohorts, meaning, lambda _, t: excel(t), name=name)
    infos = list(loose.list_objects())
    for number in count():
        three = infos[3 * number : 3 * number + 3]
        if not three:
            break
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for info in three:
                member = tarfile.TarInfo(f"./export/{info.key}")
                member.size = info.size
                tar.addfile(member, loose.open(info.key))
        archives.create(f"input/{number}.tar.gz", packed.getvalue())
    for info in archives.list_objects("input/"):
        with archives.open(info.key) as archive:
            unpack_archive(archive, storage, path="in")
    history = read_history(
        storage,
        CohortStream(project_id=187520, cohort_id="26umsb5", path="in", routing_key="Active_Users"),
    )
    stays = [(stay.row[0], stay.entered, stay.exited) for stay in history.intervals()]
    assert stays == expected_stays(cohorts)
    assert history.verify() == ()


@pytest.mark.parametrize("lost", [{1}, {2}, {1, 2}, {1, 3}])
@pytest.mark.parametrize("diff_type", [ENTERING, EXITING, EXISTING])
def test_without_a_log_the_changes_across_an_incomplete_sync_are_derived(lost, diff_type):
    cohorts = [{"1": "a", "2": "a"}, {"2": "b", "3": ""}, {"3": "", "1": "c"}, {"3": "", "4": ""}]
    cohorts.append({"1": "", "5": ""})
    storage = MemoryStorage()
    meaning = ExistingMeaning.MEMBERS
    write_bucket(storage, cohorts, meaning, lambda _, t: plain(t), name=amplitudes_name)
    for number in lost:
        storage.delete(amplitudes_name(START + timedelta(hours=number), diff_type))
    history = read_history(storage, STREAM)
    stays = [(stay.row[0], stay.entered, stay.exited) for stay in history.intervals()]
    kinds = [finding.kind for finding in history.verify()]
    if diff_type is EXISTING:
        # The members follow from the changes too.
        assert stays == expected_stays(cohorts)
        assert kinds == [FindingKind.MISSING_FILE] * len(lost)
        return
    left = [number for number in range(5) if number not in lost]
    assert [sync.synced_at.hour for sync in history] == left
    assert stays == expected_stays([cohorts[number] for number in left], left)
    assert kinds == [FindingKind.INCOMPLETE_SYNC] * len(lost)
    derived = {event.synced_at.hour for event in history.events() if event.derived}
    assert derived == {n for n in left if n and n - 1 in lost}


def test_with_a_log_a_lost_sync_is_reported_and_the_changes_across_it_are_derived():
    storage, sync = (
        MemoryStorage(),
        CohortSync(
            destination=Destination(name="d", path="in"), project_id=187520, cohort_id="26umsb5"
        ),
    )
    cohorts = [["1", "2"], ["2", "3"], ["1", "3"], ["4"]]
    for number, ids in enumerate(cohorts):
        when = START + timedelta(hours=number)
        sync_cohort(sync, [(n, "") for n in ids], storage, synced_at=when, guard=False)
    for info in read_history(storage, STREAM)[1].files.values():
        storage.delete(info.key)
    history = read_history(storage, STREAM)
    findings = history.verify()
    assert [(f.kind, f.synced_at.hour) for f in findings] == [(FindingKind.MISSING_FILE, 1)] * 3
    assert "whole sync" in str(findings[0])
    stays = [(stay.row[0], stay.entered, stay.exited) for stay in history.intervals()]
    left = [dict.fromkeys(cohorts[k], "") for k in (0, 2, 3)]
    assert stays == expected_stays(left, [0, 2, 3])
    assert {e.synced_at.hour for e in history.events() if e.derived} == {2}


def test_two_spellings_of_one_file_are_reported():
    storage = MemoryStorage()
    cohorts = [{"1": ""}, {"1": "", "2": ""}]
    meaning = ExistingMeaning.MEMBERS
    write_bucket(storage, cohorts, meaning, lambda _, t: plain(t), name=amplitudes_name)
    key = "in/187520_26umsb5_2026-01-01T01:00_existing.csv"
    storage.create(key.replace("T01:00", "T01-00"), storage.open(key).read())
    [finding] = read_history(storage, STREAM).verify()
    assert (finding.kind, finding.key) == (FindingKind.DUPLICATE_FILE, key)
