"""Tables brought in step with a history equal what was synced, in every database."""

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from attrs import field, frozen
from databases import KINDS, current, instant, log, new_url, stays, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortSync,
    Destination,
    DiffType,
    ExistingMeaning,
    ExitGuard,
    MemoryStorage,
    UserProperty,
    adopt,
    forget,
    prune,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import ObjectChangedError, TablesError
from amplitude_cohort_s3.sql import AppliedSync, apply
from amplitude_cohort_s3.sql.tables import stream_name
from amplitude_cohort_s3.testing import strategies
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment, sync_ids

START = datetime(2026, 1, 1, tzinfo=UTC)
COHORTS = ({1, 2, 3}, {2, 3, 4}, {1, 4}, {1, 4}, {2, 3}, {1, 2, 3, 5})


def history_of(cohorts: Iterable[set[int]] = COHORTS, *, has_log: bool = True) -> CohortHistory:
    storage = bucket_of(cohorts, has_log=has_log)
    return read_history(storage, STREAM)


def bucket_of(cohorts: Iterable[set[int]] = COHORTS, *, has_log: bool = True) -> MemoryStorage:
    storage, log_storage = MemoryStorage(), None if has_log else MemoryStorage()
    for number, ids in enumerate(cohorts):
        sync_ids(storage, ids, number, log=log_storage)
    return storage


def times(engine: sa.Engine) -> list[tuple]:
    return sorted((key, entered, exited) for key, _, _, _, entered, exited in stays(engine))


def keys(engine: sa.Engine) -> set[int]:
    return {int(key) for key, _, _ in current(engine)}


# --- What was synced comes out ------------------------------------------------------------


@frozen(kw_only=True)
class Synced:
    """What is synced: the properties and the members of each sync, all of it hostile."""

    match_by: str
    meaning: ExistingMeaning
    has_log: bool
    syncs: list[tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = field(repr=False)

    def expected(self, *, refreshed: bool) -> list[tuple]:
        """All stays, by the plainest of programs."""
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
                exit_guard=ExitGuard(share=1, number=1000),
            )
            sync_cohort(
                sync,
                list(members.values()),
                storage,
                synced_at=START + timedelta(hours=number),
                max_exits=1000,
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
    id_texts = [texts, texts]
    id_texts[match_by == "user_id"] = strategies.amplitude_ids() | texts.filter(bool)
    users = draw(st.lists(id_texts[match_by == "user_id"], min_size=1, max_size=6, unique=True))
    syncs = []
    for _ in range(draw(st.integers(1, 4))):
        properties = tuple(name for name in pool if draw(st.integers(0, 2)))
        members = {}
        for key in users:
            if draw(st.booleans()):
                row = [draw(id_texts[0]), draw(id_texts[1]), *(draw(texts) for _ in properties)]
                row[match_by == "user_id"] = key
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
    """One database for many streams."""
    engine = sa.create_engine(new_url(request.param, tmp_path_factory.mktemp("db"), request))
    yield engine
    engine.dispose()


numbers = itertools.count()


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(what=synced(), refreshed=st.booleans())
def test_any_history_comes_out_as_it_went_in(shared, what, refreshed):
    history = what.history(f"c{next(numbers)}")
    stream = stream_name(history.stream)
    for number in range(1, len(what.syncs) + 1):  # as they come, not only all at once
        if number in (1, len(what.syncs)):
            apply(history_until(history, number), shared, refresh=refreshed)
    found = stays(shared, stream)
    assert found == what.expected(refreshed=refreshed)
    assert sorted((key, *when) for key, _, _, _, *when in found) == told(history)


def history_until(history: CohortHistory, number: int) -> CohortHistory:
    """The same history when it had so many syncs."""
    from attrs import evolve  # noqa: PLC0415

    return evolve(history, syncs=history.syncs[:number])


def test_lines_that_mean_something_to_copy_are_data(engine):
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


def test_more_properties_than_a_function_takes_arguments(engine):
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


def test_the_tables_may_be_in_a_schema_of_any_name(engine):
    name = 'we"ird %s Schema'
    if engine.dialect.name == "sqlite":  # its schemas are files
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
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


# --- Again, later, twice ------------------------------------------------------------------


def test_what_was_applied_is_skipped(engine):
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
    assert times(engine) == told(history)
    assert keys(engine) == COHORTS[-1]
    assert [row[1] for row in log(engine)] == [1, 2, 3, 4, 5, 6]


def test_streams_share_the_tables(engine):
    first, second = bucket_of(), bucket_of(({7}, {8}))
    apply(read_history(first, STREAM), engine)
    other = history_of_other_stream()
    apply(other, engine)
    apply(read_history(second, STREAM), engine)  # nothing new under this name
    assert times(engine) == sorted([*told(read_history(first, STREAM)), *told(other)])


def history_of_other_stream() -> CohortHistory:
    sync = CohortSync(
        destination=Destination(name="d"), project_id=1, cohort_id="a", routing_key="vip"
    )
    storage = MemoryStorage()
    sync_cohort(sync, [("1", "u")], storage, synced_at=START)
    return read_history(storage, sync.stream)


def test_a_sync_that_shows_up_late_is_left_out_and_told(engine):
    history = history_of(has_log=False)
    from attrs import evolve  # noqa: PLC0415

    with_hole = evolve(history, syncs=(*history.syncs[:2], *history.syncs[3:4]))
    with pytest.raises(TablesError):
        apply(with_hole, engine)
    report = apply(with_hole, engine, reconcile=True)
    assert (report.applied[0].opened, report.applied[0].closed) == (1, 2)
    report = apply(history, engine)
    assert report.late == (moment(2),)
    assert report.skipped == 3
    assert keys(engine) == COHORTS[-1]


def test_engines_whose_listeners_begin_transactions_work_too(tmp_path):
    """SQLAlchemy's own advice for SQLite."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.sqlite")

    @sa.event.listens_for(engine, "connect")
    def connected(connection, _):
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begun(connection):
        connection.exec_driver_sql("BEGIN")

    history = history_of()
    apply(history, engine)
    assert times(engine) == told(history)


# --- What does not add up -----------------------------------------------------------------


def test_members_before_the_first_known_sync_entered_at_no_known_time(engine):
    storage = bucket_of()
    delete(storage, 0, *DiffType)
    history = read_history(storage, STREAM)
    report = apply(history, engine)
    assert report.applied[0].opened == 2
    assert times(engine) == told(history)
    assert {entered for _, entered, _ in times(engine)} >= {""}


@pytest.mark.parametrize("has_log", [True, False])
def test_an_adopted_stream_is_a_history_too(engine, has_log):
    storage = bucket_of(has_log=False)
    if has_log:
        adopt(storage, STREAM)
        sync_ids(storage, {1, 9}, len(COHORTS))
        for number in range(2):
            delete(storage, number, *DiffType)
    history = read_history(storage, STREAM)
    apply(history, engine)
    assert times(engine) == told(history)


def test_the_newest_sync_of_an_adopted_stream_follows_on_unlogged_ones(engine):
    storage = bucket_of(has_log=False)
    apply(read_history(storage, STREAM), engine)
    adopt(storage, STREAM)
    sync_ids(storage, {1, 9}, len(COHORTS))
    history = read_history(storage, STREAM)
    assert [one.members for one in apply(history, engine).applied] == [2]
    assert times(engine) == told(history)


def test_a_pruned_stream_goes_on_as_if_nothing_were_missing(engine):
    storage = bucket_of()
    apply(read_history(storage, STREAM), engine)
    prune(storage, STREAM, before=moment(4))
    sync_ids(storage, {1, 9}, len(COHORTS))
    (applied,) = apply(read_history(storage, STREAM), engine).applied
    assert (applied.repaired, keys(engine)) == (None, {1, 9})


def test_who_is_forgotten_must_be_taken_out_of_the_tables_too(engine):
    storage = bucket_of()
    apply(read_history(storage, STREAM), engine)
    forget(storage, STREAM, ["1"])
    sync_ids(storage, {2, 9}, len(COHORTS))
    history = read_history(storage, STREAM)
    with pytest.raises(TablesError):
        apply(history, engine)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM cohort_membership WHERE amplitude_id = '1'"))
    (applied,) = apply(history, engine).applied
    assert applied.repaired is None
    assert times(engine) == told(history)


def delete(storage: MemoryStorage, number: int, *diff_types: DiffType) -> None:
    for sync in read_history(storage, STREAM):
        if sync.synced_at == moment(number):
            for diff_type in diff_types:
                storage.delete(sync.files[diff_type].key)


def test_a_gap_is_an_error_and_can_be_bridged(engine):
    storage = bucket_of()
    apply(history_until(read_history(storage, STREAM), 2), engine)
    before = stays(engine), log(engine)
    delete(storage, 2, *DiffType)
    history = read_history(storage, STREAM)
    with pytest.raises(TablesError, match="record 3, is not the last applied"):
        apply(history, engine)
    assert (stays(engine), log(engine)) == before
    report = apply(history, engine, reconcile=True)
    repaired = report.applied[0]
    assert "record 3" in repaired.repaired
    assert (repaired.opened, repaired.closed, repaired.members) == (1, 2, 2)
    assert [one.repaired for one in report.applied[1:]] == [None, None]
    assert keys(engine) == COHORTS[-1]


@pytest.mark.parametrize("lost", [DiffType.ENTERING, DiffType.EXITING])
def test_a_lost_file_is_a_gap_and_its_changes_follow_from_the_snapshot(engine, lost):
    storage = bucket_of()
    delete(storage, 4, lost)
    history = read_history(storage, STREAM)
    with pytest.raises(TablesError, match=f"lacks its file {lost.value}"):
        apply(history, engine)
    assert len(log(engine)) == 4
    apply(history, engine, reconcile=True)
    assert times(engine) == told(history)


@pytest.mark.parametrize("has_log", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM cohort_membership WHERE member_key = '4' AND exited IS NULL",
        "UPDATE cohort_membership SET member_key = '77' WHERE member_key = '4'",
        (
            "INSERT INTO cohort_membership SELECT stream, '99', '', '', properties, entered, NULL "
            "FROM cohort_membership WHERE member_key = '4'"
        ),
    ],
    ids=["lost", "changed", "added"],
)
def test_tables_that_somebody_changed_are_an_error_and_can_be_repaired(engine, damage, has_log):
    history = history_of(has_log=has_log)
    apply(history_until(history, 3), engine)
    with engine.begin() as connection:
        connection.execute(sa.text(damage))
    before = stays(engine), log(engine)
    with pytest.raises(TablesError, match="reconcile=True"):
        apply(history, engine)
    if has_log and "'77'" in damage:  # their number is right: found when one of them leaves
        assert len(log(engine)) == 4
    else:
        assert (stays(engine), log(engine)) == before
    report = apply(history, engine, reconcile=True)
    assert sum(one.opened + one.closed for one in report.applied)
    assert keys(engine) == COHORTS[-1]


def test_a_damaged_file_changes_nothing(engine):
    storage = bucket_of()
    apply(history_until(read_history(storage, STREAM), 4), engine)
    before = stays(engine), log(engine)
    key = read_history(storage, STREAM)[4].files[DiffType.ENTERING].key
    data = storage.open(key).read()
    storage.delete(key)
    storage.create(key, data.replace(b"user 2", b"user 7"))
    with pytest.raises(ObjectChangedError):
        apply(read_history(storage, STREAM), engine)
    assert (stays(engine), log(engine)) == before


# --- Crashes and races --------------------------------------------------------------------


class CrashError(Exception):
    pass


def test_a_crash_before_or_after_any_statement_leaves_whole_syncs(
    engine, tmp_path, record_property
):
    history = history_of(COHORTS[:2])
    whole = [[], *states(history, tmp_path)]
    left: list[int] = []  # how many statements to let pass, if any is to be stopped

    @sa.event.listens_for(engine, "before_cursor_execute")
    @sa.event.listens_for(engine, "after_cursor_execute")
    def crash(*_):
        if left:
            left[0] -= 1
            if left[0] < 0:
                raise CrashError

    cases = applied = passed = 0
    ended = False
    while not ended:
        left[:] = [passed]
        try:
            apply(history, engine)
            ended = True
        except CrashError:
            cases += 1
        left.clear()
        before, applied = applied, len(log(engine))
        assert stays(engine) == whole[applied]
        assert applied >= before
        passed = 0 if applied > before else passed + 1
    assert applied == len(history)
    assert cases > 50
    record_property("cases", cases)


def states(history: CohortHistory, folder: Path) -> list[list[tuple]]:
    """The tables after each sync of an uninterrupted run."""
    engine = sa.create_engine(f"sqlite:///{folder}/expected.sqlite")
    found = []
    for number in range(1, len(history) + 1):
        apply(history_until(history, number), engine)
        found.append(stays(engine))
    engine.dispose()
    return found


def test_runs_at_the_same_time_apply_each_sync_once(engine):
    history = history_of()
    start = threading.Barrier(4)

    def run(_: int) -> list[AppliedSync]:
        start.wait()
        return list(apply(history, engine).applied)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(run, range(4)))
    applied = sorted(one.synced_at for report in reports for one in report)
    assert applied == [sync.synced_at for sync in history]
    assert times(engine) == told(history)
    assert len(log(engine)) == len(history)


# --- The hook -----------------------------------------------------------------------------


def test_sql_runs_in_the_transaction_of_each_sync(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE seen (stream TEXT, members INTEGER)")
    hook = (
        "INSERT INTO seen SELECT :stream, count(*) FROM cohort_current "
        "WHERE ':x' <> 'y' AND stream = :stream"
    )
    apply(history_of(), engine, on_applied=hook.replace(":x", "x"))
    with engine.connect() as connection:
        found = list(connection.execute(sa.text("SELECT stream, members FROM seen")))
    assert found == [("cohorts/1_a", len(ids)) for ids in COHORTS]


def test_a_function_runs_in_the_transaction_and_can_stop_it(engine):
    seen = []

    def hook(connection: sa.Connection, applied: AppliedSync) -> None:
        rows = connection.execute(sa.text("SELECT count(*) FROM cohort_current")).scalar()
        seen.append((applied.synced_at, rows))
        if len(seen) == 3:
            raise CrashError

    history = history_of()
    with pytest.raises(CrashError):
        apply(history, engine, on_applied=hook)
    assert seen == [(moment(n), len(COHORTS[n])) for n in range(3)]
    assert len(log(engine)) == 2
    assert keys(engine) == COHORTS[1]
    apply(history, engine, on_applied=hook)
    assert keys(engine) == COHORTS[-1]


@pytest.mark.servers
def test_a_stored_procedure_is_called_with_each_sync(postgresql, tmp_path, request):
    engine = sa.create_engine(new_url("psycopg", tmp_path, request))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE calls (stream text, synced_at timestamptz)")
        connection.exec_driver_sql(
            "CREATE PROCEDURE on_cohort(s text, t timestamptz) LANGUAGE sql"
            " AS $$ INSERT INTO calls VALUES (s, t) $$"
        )
    history = history_of()
    apply(history, engine, on_applied="CALL on_cohort(:stream, :synced_at)")
    with engine.connect() as connection:
        calls = list(connection.execute(sa.text("SELECT * FROM calls ORDER BY synced_at")))
    assert calls == [("cohorts/1_a", sync.synced_at) for sync in history]
    engine.dispose()


# --- Imports ------------------------------------------------------------------------------


def test_sqlalchemy_is_imported_when_it_is_needed():
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
