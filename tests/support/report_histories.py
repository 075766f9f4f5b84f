"""Histories of all kinds that a report must show: long, short, pruned, foreign and hostile."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import attrs
from syncs import AT, OLD, SYNC, abandon, make_void, run_sync, with_settings, write_like_amplitude

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortStream,
    DiffType,
    MemoryStorage,
    UserProperty,
    forget,
    prune,
    read_history,
)
from amplitude_cohort_s3.history import HistoryReport
from amplitude_cohort_s3.history.report.facts import Counts, Facts, Run
from amplitude_cohort_s3.history.report.page import report_of
from amplitude_cohort_s3.testing.sample_bucket import fill_bucket

DAY = timedelta(days=1)
HOSTILE = "</script></title><img src=x onerror=alert(1)>'\"&lt;\u202e"
"""Markup, quotes, an entity, and a character that reverses the direction of text."""


def sample() -> CohortHistory:
    storage = MemoryStorage()
    return read_history(storage, fill_bucket(storage, syncs=28))


def one_sync() -> CohortHistory:
    storage = MemoryStorage()
    run_sync(storage, OLD)
    return read_history(storage, SYNC)


def without_members() -> CohortHistory:
    storage = MemoryStorage()
    run_sync(storage, [])
    return read_history(storage, SYNC)


def void_only() -> CohortHistory:
    storage = MemoryStorage()
    make_void(storage, OLD, AT)
    return read_history(storage, SYNC)


def unfinished() -> CohortHistory:
    storage = MemoryStorage()
    run_sync(storage, OLD, AT - DAY)
    abandon(storage, OLD[1:])
    return read_history(storage, SYNC)


def foreign() -> CohortHistory:
    """Return a history of files by Amplitude, of which one is lost."""
    storage = MemoryStorage()
    write_like_amplitude(storage, AT, OLD, [], OLD)
    write_like_amplitude(storage, AT + DAY, [], OLD[:1], OLD[1:])
    write_like_amplitude(storage, AT + 2 * DAY, OLD[:1], [], OLD)
    storage.delete(SYNC.stream.name(AT + DAY, DiffType.EXISTING, SYNC.name_style).key("cohorts"))
    return read_history(storage, SYNC)


def pruned() -> CohortHistory:
    """Return a history of which old files were pruned, and a user was forgotten."""
    storage = MemoryStorage()
    stream = fill_bucket(storage, syncs=6, members=200)
    history = read_history(storage, stream)
    someone = next(iter(history.members_at(history[-1])))[0]
    forget(storage, stream, [someone])
    prune(storage, stream, before=history[3].synced_at)
    return read_history(storage, stream)


def damaged() -> CohortHistory:
    """Return a history with an edited file and a lost one."""
    storage = MemoryStorage()
    stream = fill_bucket(storage, syncs=4, members=200)
    sync = read_history(storage, stream)[2]
    storage.delete(sync.files[DiffType.EXISTING].key)
    storage.delete(sync.files[DiffType.EXITING].key)
    storage.create(sync.files[DiffType.EXITING].key, b"amplitudeID,userID,plan,country\n")
    return read_history(storage, stream)


def hostile() -> CohortHistory:
    """Return a history in which every text that a writer chooses contains markup."""
    key = HOSTILE.replace("/", "")
    sync = with_settings(attrs.evolve(SYNC, routing_key=key), path=HOSTILE)
    sync = attrs.evolve(sync, user_properties=(UserProperty(HOSTILE), UserProperty("x" * 300)))
    storage = MemoryStorage()
    run_sync(storage, [("1", "ann", "<i>free</i>", "")], AT - DAY, sync)
    run_sync(storage, [("1", "ann", "<i>free</i>", ""), ("2", "bob", "", "")], AT, sync)
    return read_history(storage, sync)


HISTORIES: dict[str, Callable[[], CohortHistory]] = {
    build.__name__: cache(build)
    for build in (
        *(sample, one_sync, without_members, void_only, unfinished, foreign, pruned, damaged),
        hostile,
    )
}


def long_report(syncs: int, properties: int = 60) -> HistoryReport:
    """Return the report of made-up facts about a long history."""
    times = [AT - (syncs - n) * timedelta(hours=1) for n in range(syncs)]
    counts = [
        Counts(at=when, members=2_000_000 + 997 * n, entered=1200 + n % 7, exited=203)
        for n, when in enumerate(times)
    ]
    runs = [
        Run(
            at=one.at,
            requested_at=one.at,
            state="void" if n % 50 == 1 else "published",
            counts=one,
            size=123_456_789,
            skipped=n % 3,
            source={"file": "members-of-the-day.csv.gz"},
            writer="e05952f4",
            notes=("1 row without amplitude_id was skipped",),
        )
        for n, one in enumerate(reversed(counts))
    ]
    filled = {
        f"property {number}": [(when, (n * number % 997) / 997) for n, when in enumerate(times)]
        for number in range(properties)
    }
    return report_of(
        Facts(
            stream=CohortStream(project_id=123, cohort_id="26umsb5", path="cohorts"),
            match_by="amplitude_id",
            syncs=counts,
            filled=filled,
            runs=runs,
            findings=None,
            generated=None,
        )
    )


def all_reports() -> dict[str, HistoryReport]:
    """Return the verified report of each history by its name, and those of long histories."""
    reports = {name: build().report(verify=True, generated=AT) for name, build in HISTORIES.items()}
    return {**reports, "long": long_report(2000), "very_long": long_report(100_000, properties=1)}
