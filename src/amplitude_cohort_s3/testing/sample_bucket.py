"""A bucket with a realistic history, for tests of a reader, a dashboard or a load job.

>>> from amplitude_cohort_s3 import MemoryStorage, read_history
>>> storage = MemoryStorage()
>>> stream = fill_bucket(storage, syncs=3, members=100)
>>> [row.members for row in read_history(storage, stream).churn()]
[100, 101, 101]
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from attrs import evolve, frozen

from ..diff.cohort_diff import diff_members
from ..format.filename import DiffType
from ..format.member import Member
from ..log.stream import CohortStream
from ..settings.cohort_sync import CohortSync
from ..settings.destination import Destination, UserProperty
from ..storage import Storage
from ..sync.sync_cohort import sync_cohort

SYNC = CohortSync(
    destination=Destination(name="sample", path="cohorts"),
    project_id=123,
    cohort_id="26umsb5",
    user_properties=(UserProperty("plan"), UserProperty("country")),
)
"""The default cohort and destination of ``fill_bucket``."""

FIRST = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
"""The default time of the first sync."""

PLANS = ("free", "free", "free", "pro", "pro", "enterprise, annual", "")
COUNTRIES = ("DE", "FR", "JP", "NG", "PL", "US", 'Côte d"Ivoire')
WEEKEND = 5


@frozen(kw_only=True)
class SampleSync:
    """The members at one time.

    Attributes:
        synced_at: The time of the sync.
        members: The members, in random order.
    """

    synced_at: datetime
    members: tuple[Member, ...]


def sample_syncs(
    *,
    syncs: int = 30,
    members: int = 2000,
    first: datetime = FIRST,
    every: timedelta = timedelta(days=1),
    seed: int = 0,
) -> Iterator[SampleSync]:
    """Yield the members of a cohort over time.

    The cohort grows, some members leave, most of them come back after a weekend, and plans
    change. About one member in six is anonymous, without a user id. Equal arguments have equal
    results.

    Args:
        syncs: The number of syncs.
        members: The number of members at the first sync.
        first: The time of the first sync.
        every: The time between two syncs.
        seed: The seed of the random choices.

    >>> [len(sample.members) for sample in sample_syncs(syncs=3, members=100)]
    [100, 101, 101]
    """
    chance = random.Random(seed)  # noqa: S311 - test data
    known = [_random_member(number, chance) for number in range(members)]
    away = set[int]()
    for number in range(syncs):
        when = first + number * every
        if number:
            weekend = when.weekday() >= WEEKEND
            leaving, returning = (0.08, 0.05) if weekend else (0.02, 0.3)
            present = [i for i in range(len(known)) if i not in away]
            back = {i for i in away if chance.random() < returning}
            away |= {i for i in present if chance.random() < leaving}
            away -= back
            new = range(len(known), len(known) + round(len(known) * chance.uniform(0.01, 0.03)))
            known += [_random_member(i, chance) for i in new]
            for i in chance.sample(range(len(known)), len(known) // 100):
                plan = chance.choice(PLANS)
                known[i] = evolve(known[i], properties={**known[i].properties, "plan": plan})
        current = [member for i, member in enumerate(known) if i not in away]
        chance.shuffle(current)
        yield SampleSync(synced_at=when, members=tuple(current))


def fill_bucket(
    storage: Storage,
    *,
    sync: CohortSync = SYNC,
    syncs: int = 30,
    members: int = 2000,
    first: datetime = FIRST,
    every: timedelta = timedelta(days=1),
    seed: int = 0,
    logged: bool = True,
) -> CohortStream:
    """Sync the members of :func:`sample_syncs` to a storage, and return the stream.

    Args:
        storage: The storage of the data.
        sync: The cohort and its destination. Its properties can be ``plan`` and ``country``.
        syncs: As for :func:`sample_syncs`.
        members: As for :func:`sample_syncs`.
        first: As for :func:`sample_syncs`. The last sync must not be in the future.
        every: As for :func:`sample_syncs`.
        seed: As for :func:`sample_syncs`.
        logged: True to sync with a log; False to write only the files, like Amplitude.
    """
    samples = sample_syncs(syncs=syncs, members=members, first=first, every=every, seed=seed)
    before: tuple[Member, ...] = ()
    for sample in samples:
        if logged:
            sync_cohort(
                sync,
                sample.members,
                storage,
                synced_at=sample.synced_at,
                guard=False,
                clock=_stopped_clock(sample.synced_at),
            )
        else:
            _write_files(storage, sync, sample, before)
        before = sample.members
    return sync.stream


def _stopped_clock(now: datetime) -> Callable[[], datetime]:
    return lambda: now


def _write_files(
    storage: Storage, sync: CohortSync, sample: SampleSync, before: tuple[Member, ...]
) -> None:
    with diff_members(
        before, sample.members, schema=sync.schema, existing=sync.destination.existing
    ) as diff:
        for diff_type in DiffType:
            name = sync.stream.name(sample.synced_at, diff_type, sync.name_style)
            chunks = diff.report.files[diff_type].chunks()
            storage.create(name.key(sync.destination.path), b"".join(chunks))


def _random_member(number: int, chance: random.Random) -> Member:
    return Member(
        str(300_000_000_000 + number * 7919),
        "" if chance.random() < 1 / 6 else f"user-{number:06}",
        {"plan": chance.choice(PLANS), "country": chance.choice(COUNTRIES)},
    )
