"""Applying a history makes the tables of any database equal to it."""

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta

import pytest
import sqlalchemy as sa
from attrs import evolve, field, frozen
from databases import KINDS, instant, log, new_url, stays
from histories import (
    COHORTS,
    START,
    bucket_of,
    expected_times,
    history_of,
    history_until,
    keys,
    times,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortSync,
    Destination,
    ExistingMeaning,
    MemoryStorage,
    UserProperty,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import TablesError
from amplitude_cohort_s3.format.cells import is_float_id
from amplitude_cohort_s3.sql import apply
from amplitude_cohort_s3.sql.tables import stream_name
from amplitude_cohort_s3.testing import strategies
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment


@frozen(kw_only=True)
class Synced:
    """Syncs to make: the properties and the members of each, with hostile texts."""

    match_by: str
    meaning: ExistingMeaning
    has_log: bool
    syncs: list[tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = field(repr=False)

    def expected(self, *, refreshed: bool) -> list[tuple]:
        """Return all stays, computed in the simplest way."""
        done, open_, before = [], {}, {}
        properties_before: tuple[str, ...] = ()
        for number, (properties, members) in enumerate(self.syncs):
            when = instant(START + timedelta(hours=number))
            for key in before.keys() - members.keys():
                ids, cells = before[key][:2], before[key][2:]
                known = dict(zip(properties_before, cells, strict=True))
                last = {name: known.get(name, "") for name in properties}
                done.append((key, *ids, as_items(last), open_.pop(key)[-1], when))
            for key, row in members.items():
                cells = as_items(dict(zip(properties, row[2:], strict=True)))
                if key not in open_:
                    open_[key] = (key, *row[:2], cells, when)
                elif refreshed and number == len(self.syncs) - 1:
                    open_[key] = (key, *row[:2], cells, open_[key][-1])
            before, properties_before = members, properties
        return sorted([*done, *((*stay, "") for stay in open_.values())])

    def history(self, cohort_id: str) -> CohortHistory:
        storage, elsewhere = MemoryStorage(), MemoryStorage()
        for number, (properties, members) in enumerate(self.syncs):
            sync = CohortSync(
                destination=Destination(
                    name="d",
                    path="p",
                    match_by=self.match_by,
                    existing=self.meaning,
                ),
                project_id=1,
                cohort_id=cohort_id,
                user_properties=tuple(map(UserProperty, properties)),
                guard=False,
            )
            sync_cohort(
                sync,
                list(members.values()),
                storage,
                synced_at=START + timedelta(hours=number),
                guard=False,
                log=storage if self.has_log else elsewhere,
            )
        return read_history(storage, sync.stream, match_by=self.match_by)


def as_items(cells: Mapping[str, str]) -> tuple:
    return tuple(sorted(cells.items()))


TEXTS = st.sampled_from(("\\.", "a\n\\.\nb", "\\N", "NULL", "{}", "':x", "%s", "$1", "?", "\\"))


@st.composite
def synced(draw: st.DrawFn) -> Synced:
    match_by = draw(st.sampled_from(("amplitude_id", "user_id")))
    names = strategies.cells() | TEXTS
    names = names.filter(lambda n: bool(n) and n.strip().lower() not in IDS)
    texts = strategies.cells() | TEXTS
    pool = draw(st.lists(names, max_size=4, unique=True))
    id_texts = [texts.filter(lambda text: not is_float_id(text)), texts]
    place = int(match_by == "user_id")
    id_texts[place] = strategies.amplitude_ids() | id_texts[place].filter(bool)
    users = draw(st.lists(id_texts[place], min_size=1, max_size=6, unique=True))
    syncs = []
    for _ in range(draw(st.integers(1, 4))):
        properties = tuple(name for name in pool if draw(st.integers(0, 2)))
        members = {}
        for key in users:
            if draw(st.booleans()):
                row = [draw(id_texts[0]), draw(id_texts[1]), *(draw(texts) for _ in properties)]
                row[place] = key
                members[key] = tuple(row)
        syncs.append((properties, members))
    return Synced(
        match_by=match_by,
        meaning=draw(st.sampled_from(ExistingMeaning)),
        has_log=draw(st.booleans()),
        syncs=syncs,
    )


IDS = ("amplitudeid", "amplitude_id", "userid", "user_id")


@pytest.fixture(scope="module", params=KINDS)
def shared(request, tmp_path_factory):
    """Return a database for many streams."""
    engine = sa.create_engine(new_url(request.param, tmp_path_factory.mktemp("db"), request))
    yield engine
    engine.dispose()


numbers = itertools.count()


@settings(
    max_examples=min(25, settings().max_examples),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(syncs=synced(), refreshed=st.booleans())
def test_the_tables_contain_any_history_exactly(shared, syncs, refreshed):
    history = syncs.history(f"c{next(numbers)}")
    stream = stream_name(history.stream)
    for number in range(1, len(syncs.syncs) + 1):  # in two runs, not only in one
        if number in (1, len(syncs.syncs)):
            apply(history_until(history, number), shared, refresh=refreshed)
    found = stays(shared, stream)
    assert found == syncs.expected(refreshed=refreshed)
    assert sorted((key, *when) for key, _, _, _, *when in found) == expected_times(history)


def test_lines_with_a_meaning_for_copy_are_loaded_as_data(engine):
    storage = MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d", match_by="user_id"),
        project_id=1,
        cohort_id="a",
        user_properties=(UserProperty("\\."), UserProperty('"; DROP TABLE cohort_sync; --')),
    )
    members = [
        ("", "\\.", "\\.", "a\n\\.\nb"),
        ("\\.", "x\n\\.", "", "\\N"),
        ("007", "NULL", "'", '"'),
        ("", " ", "%s %(x)s :x $1 ?", "\r\n"),
    ]
    sync_cohort(sync, members, storage, synced_at=START)
    apply(read_history(storage, sync.stream), engine)
    names = [p.name for p in sync.user_properties]
    assert [row[:4] for row in stays(engine)] == sorted(
        (row[1], row[0], row[1], as_items(dict(zip(names, row[2:], strict=True))))
        for row in members
    )


def test_more_properties_than_a_function_of_postgresql_accepts_arguments(engine):
    names = [f"p{n}" for n in range(130)]
    storage = MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d"),
        project_id=1,
        cohort_id="a",
        user_properties=tuple(map(UserProperty, names)),
    )
    sync_cohort(sync, [("1", "ann", *names)], storage, synced_at=START)
    apply(read_history(storage, sync.stream), engine)
    assert stays(engine)[0][3] == as_items(dict(zip(names, names, strict=True)))


def test_the_tables_can_be_in_a_schema_of_any_name(engine, request):
    name = 'we"ird %s Schema'
    if engine.dialect.name == "sqlite":  # a schema of SQLite is a file
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        request.addfinalizer(engine.dispose)
        with engine.connect() as connection:
            quoted = engine.dialect.identifier_preparer.quote(name)
            connection.exec_driver_sql(f"ATTACH ':memory:' AS {quoted}")
    else:
        with engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema(name))
    history = history_of()
    assert len(apply(history, engine, schema=name).applied) == len(COHORTS)
    assert apply(history, engine, schema=name).skipped == len(COHORTS)
    view = sa.table("cohort_current", schema=name)
    with engine.connect() as connection:
        count = sa.select(sa.func.count()).select_from(view)
        assert connection.execute(count).scalar() == len(COHORTS[-1])


# --- Several runs and streams --------------------------------------------------------------


def test_syncs_that_were_applied_before_are_skipped(engine):
    history = history_of()
    first = apply(history_until(history, 3), engine)
    assert [(one.entered, one.exited, one.members) for one in first.applied] == [
        (3, 0, 3),
        (1, 1, 3),
        (1, 2, 2),
    ]
    second = apply(history, engine)
    assert (len(second.applied), second.skipped, second.late) == (3, 3, ())
    assert apply(history, engine).applied == ()
    assert times(engine) == expected_times(history)
    assert keys(engine) == COHORTS[-1]
    assert [row[1] for row in log(engine)] == [1, 2, 3, 4, 5, 6]


def test_streams_share_the_tables(engine):
    first, second = bucket_of(), bucket_of(({7}, {8}))
    apply(read_history(first, STREAM), engine)
    other = history_of_other_stream()
    apply(other, engine)
    apply(read_history(second, STREAM), engine)  # no new sync of this stream
    assert times(engine) == sorted(
        [*expected_times(read_history(first, STREAM)), *expected_times(other)]
    )


def history_of_other_stream() -> CohortHistory:
    sync = CohortSync(
        destination=Destination(name="d"), project_id=1, cohort_id="a", routing_key="vip"
    )
    storage = MemoryStorage()
    sync_cohort(sync, [("1", "u")], storage, synced_at=START)
    return read_history(storage, sync.stream)


def test_a_sync_that_shows_up_late_is_left_out_and_expected_times(engine):
    history = history_of(has_log=False)
    with_hole = evolve(history, syncs=(*history.syncs[:2], *history.syncs[3:4]))
    with pytest.raises(TablesError):
        apply(with_hole, engine)
    report = apply(with_hole, engine, reconcile=True)
    assert (report.applied[0].opened, report.applied[0].closed) == (1, 2)
    report = apply(history, engine)
    assert report.late == (moment(2),)
    assert report.skipped == 3
    assert keys(engine) == COHORTS[-1]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_the_listeners_of_an_engine_may_begin_transactions(engine):
    """SQLAlchemy's documentation recommends this for SQLite."""

    @sa.event.listens_for(engine, "connect")
    def connected(connection, _):
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begun(connection):
        connection.exec_driver_sql("BEGIN")

    history = history_of()
    apply(history, engine)
    assert times(engine) == expected_times(history)


# --- Imports ------------------------------------------------------------------------------


def test_sqlalchemy_is_imported_only_when_it_is_needed():
    code = (
        "import sys, amplitude_cohort_s3.sql as sql;"
        "assert 'sqlalchemy' not in sys.modules;"
        "sys.modules['sqlalchemy'] = None;"
        "from amplitude_cohort_s3.errors import MissingExtraError\n"
        "try: sql.apply\nexcept MissingExtraError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "amplitude_cohort_s3[sql]" in found.stdout
