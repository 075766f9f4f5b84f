"""Members that are renamed, filtered and hashed between a source and a sync."""

import hashlib
import hmac
import io
import logging
import pickle
from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    AmplitudeCohorts,
    Cadence,
    CohortSync,
    Destination,
    Member,
    MemberFile,
    MemoryStorage,
    RowSchema,
    UserProperty,
    diff_members,
    read_head,
    run_due,
    sync_cohort,
)
from amplitude_cohort_s3.errors import (
    ArgumentTypeError,
    CohortS3Error,
    ConfigurationError,
    InvalidCellError,
    MissingColumnsError,
)
from amplitude_cohort_s3.sources import select
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude

SCHEMA = RowSchema(properties=("plan",))
USERS = [
    {"id": 1, "user_id": "ann", "tier": "pro", "country": "DE"},
    {"id": 2, "user_id": "bob", "tier": "free", "country": "DE"},
    {"id": 3, "user_id": "cy", "tier": None, "country": "FR"},
]
RENAME = {"id": "amplitude_id", "tier": "plan"}
CSV = "country,tier,user_id,id\nDE,pro,ann,1\nDE,free,bob,2\nFR,,cy,3\n"

SOURCES = {
    "mappings": lambda: USERS,
    "a generator": lambda: iter(USERS),
    "pandas": lambda: pd.DataFrame(USERS),
    "polars": lambda: pl.DataFrame(USERS),
    "a file": lambda: MemberFile(io.BytesIO(CSV.encode())),
}


def rows_of(members, schema=SCHEMA):
    with diff_members((), members, schema=schema) as diff:
        return list(diff.rows("entering"))


def hashed(text, secret=b"s"):
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_columns_are_renamed(source):
    found = rows_of(select(source(), rename=RENAME))
    assert found == [("1", "ann", "pro"), ("2", "bob", "free"), ("3", "cy", "")]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"tier": "pro"}, "1"),
        ({"tier": {"pro", "free"}}, "12"),
        ({"country": "DE", "tier": lambda tier: tier != "pro"}, "2"),
        ({"tier": ""}, "3"),
        ({"id": ["2", "3"]}, "23"),
        ({"user_id": str.isupper}, ""),
        ({}, "123"),
    ],
)
def test_members_are_selected_by_columns_that_the_sync_need_not_have(source, where, ids):
    found = rows_of(select(source(), rename=RENAME, where=where))
    assert "".join(row[0] for row in found) == ids


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_columns_are_hashed(source):
    found = rows_of(select(source(), rename=RENAME, hash=["plan", "userID"], secret="s"))
    assert found == [
        ("1", hashed("ann"), hashed("pro")),
        ("2", hashed("bob"), hashed("free")),
        ("3", hashed("cy"), ""),
    ]


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    st.binary(min_size=1),
)
def test_a_hash_is_the_hmac_sha256_of_the_text(text, secret):
    rows = [{"amplitude_id": "1", "plan": text}]
    ((_, _, found),) = rows_of(select(rows, hash="plan", secret=secret))
    assert found == hashed(text, secret)


def test_members_can_be_matched_by_a_hash():
    schema = RowSchema(properties=("email",), key="email")
    users = [{"amplitude_id": n, "email": f"{n}@x.io"} for n in range(3)]
    first = select(users[:2], hash=["email"], secret="s")
    second = select(users[1:], hash=["email"], secret="s")
    with diff_members(first, second, schema=schema) as diff:
        assert [row[2] for row in diff.rows("entering")] == [hashed("2@x.io")]
        assert diff.exiting.rows == 1


@pytest.mark.parametrize("text", ["7.0", "3e+17"])
def test_an_id_that_lost_digits_is_refused_before_it_is_hashed(text):
    rows = [{"amplitude_id": "1"}, {"amplitude_id": text}]
    with pytest.raises(InvalidCellError, match=r"floating-point number.*row 2"):
        rows_of(select(rows, hash=["amplitudeID"], secret="s"), RowSchema())
    assert rows_of(select(rows[:1], hash=["amplitudeID"], secret="s"), RowSchema()) == [
        (hashed("1"), "")
    ]


def test_the_selection_of_a_location_reads_its_files(tmp_path):
    (tmp_path / "users.csv").write_text(CSV)
    for location in (tmp_path / "users.csv", str(tmp_path), f"{tmp_path}/*.csv"):
        assert len(rows_of(select(location, rename=RENAME, where={"country": "DE"}))) == 2


def test_properties_with_another_header_are_found_by_their_name():
    schema = RowSchema(properties=("Plan name",), names=("plan",))
    rows = [{"amplitude_id": 1, "tier": "pro"}]
    assert rows_of(select(rows, rename={"tier": "plan"}), schema) == [("1", "", "pro")]
    assert rows_of(select(rows, rename={"tier": "Plan name"}), schema) == [("1", "", "pro")]
    rows = [{"amplitude_id": 1, "plan": "pro"}]
    assert rows_of(select(rows, where={"plan": "pro"}), schema) == [("1", "", "pro")]
    for name in ("plan", "Plan name"):
        assert rows_of(select(rows, hash=[name], secret="s"), schema) == [("1", "", hashed("pro"))]


def test_the_record_names_hashed_columns_and_keeps_the_origin(tmp_path):
    file = tmp_path / "users.csv"
    file.write_text(CSV)
    sync = CohortSync(
        destination=Destination("d"), project_id=1, cohort_id="a", user_properties=["plan"]
    )
    members = select(MemberFile(file), rename=RENAME, hash=["plan"], secret="topsecret")
    source = sync_cohort(sync, members, MemoryStorage()).record.source
    assert (source["file"], source["hashed"]) == ("users.csv", "plan")
    assert "topsecret" not in str(source)
    assert "topsecret" not in repr(members)


def downloads_of(changed):
    """Return how many downloads two runs take if the second one selects by ``changed``."""
    moment = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
    sync = CohortSync(
        destination=Destination("d"),
        project_id=123,
        cohort_id="26umsb5",
        cadence=Cadence.DAILY,
        user_properties=[UserProperty("email")],
    )
    with FakeAmplitude() as fake:
        fake.polls = 0
        fake.set_cohort("26umsb5", [Member("1", "a", {"email": "A@x.io"})])
        amplitude = AmplitudeCohorts(fake.api_key, fake.secret_key, base_url=fake.base_url)
        storage = MemoryStorage()
        options = {"hash": ["email"], "secret": "s", "where": {"email": is_address}}
        for when, more in zip(moment, ({}, changed), strict=True):
            members = select(amplitude.members("26umsb5"), **(options | more))
            report = run_due([(sync, members)], storage, when)
            assert report.results[0].error is None
        assert read_head(storage, sync.stream) is not None
        return amplitude.usage().used


def is_address(text):
    return "@" in text


def test_an_unchanged_cohort_is_not_downloaded_again():
    once, twice = downloads_of({}), downloads_of({"secret": "another"})
    assert once < twice


@pytest.mark.parametrize(
    "changed",
    [
        {"where": {"email": lambda text: text.endswith(".io")}},
        {"where": {"email": is_address, "user_id": "a"}},
        {"where": {}},
        {"rename": {"user_id": "user_id"}},
        {"where": {"email": "".__lt__}},  # what it does is not known
    ],
)
def test_another_selection_is_read_again(changed):
    assert downloads_of(changed) == downloads_of({"secret": "another"})


def test_the_values_that_a_condition_uses_count():
    def selection(limit):
        return select(USERS, where={"id": lambda text: int(text) > limit})

    one, same, other = (selection(n).csv_source(CHOSEN).origin for n in (1, 1, 2))
    assert one == same != other


LIMITS = {"id": 1}


def in_limits(text):
    return text.isdecimal() and any(int(text) <= LIMITS[name] for name in LIMITS)


def test_the_values_that_a_comprehension_in_a_condition_uses_count(monkeypatch):
    def origin():
        return select(USERS, where={"id": in_limits}).csv_source(CHOSEN).origin

    before = origin()
    assert "selection" in before
    monkeypatch.setitem(LIMITS, "id", 2)
    assert origin() != before


class Allowed:
    """A value whose repr does not change with what it contains."""

    ids = ("1",)


ALLOWED = Allowed()


@pytest.mark.parametrize(
    "condition",
    [
        lambda text: text in ALLOWED.ids,
        lambda text: text in NUMBERS,
        lambda text: not in_limits(text),
        lambda text, ids=ALLOWED: text in ids.ids,
        {"1"}.__contains__,
        {"1": ""}.get,
    ],
)
def test_a_condition_that_uses_more_than_data_is_never_unchanged(condition):
    origin = select(USERS, where={"id": condition}).csv_source(CHOSEN).origin
    assert "selection" not in origin


NUMBERS = pd.Series(range(10_000)).to_numpy()

CHOSEN = RowSchema(properties=("id",), key="id")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rename": {"tier": "level"}}, "'level' is not a column of the sync; it has 'amp"),
        ({"rename": RENAME, "hash": ["tier"], "secret": "s"}, "hash: 'tier' is not a column"),
        ({"hash": ["plan"]}, "set secret="),
        ({"secret": "s"}, "secret is for columns in hash"),
        ({"rename": {"tier": "plan", "country": "plan"}}, "2 columns are renamed to 'plan'"),
        ({"rename": {"id": "userID", "x": "user_id"}}, "2 columns are renamed to 'user_id'"),
    ],
)
def test_faults_of_a_selection_are_reported(options, words):
    with pytest.raises(ConfigurationError, match=words):
        rows_of(select(USERS, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"rename": ["a"]},
        {"rename": {"tier": None}},
        {"where": "plan"},
        {"where": {"plan": None}},
        {"where": {"id": 7}},
        {"where": {"id": [1, 2]}},  # no text equals a number, so nobody would be selected
        {"where": {"id": b"12"}},
        {"hash": 7, "secret": "s"},
        {"hash": [7], "secret": "s"},
    ],
)
def test_arguments_of_other_types_are_refused(options):
    with pytest.raises(ArgumentTypeError):
        select(USERS, **options)


def test_a_missing_column_is_reported_by_its_name_in_the_source():
    with pytest.raises(MissingColumnsError, match=r"(?s)'level'.*'tier'"):
        rows_of(select(USERS, rename={"id": "amplitude_id", "level": "plan"}))


def test_a_selection_can_be_pickled(tmp_path):
    file = tmp_path / "users.csv"
    file.write_text(CSV)
    members = select(MemberFile(file), rename=RENAME, where={"tier": "pro"})
    assert rows_of(pickle.loads(pickle.dumps(members))) == rows_of(members) != []


def test_no_error_shows_the_secret_or_a_user(caplog):
    caplog.set_level(logging.DEBUG)
    users = [{"amplitude_id": 1.5, "user_id": "ann@secret.example", "plan": "x"}]
    with pytest.raises(CohortS3Error) as caught:
        rows_of(select(users, hash=["user_id"], secret="topsecret"))
    shown = repr(caught.value) + str(caught.value) + caplog.text
    assert "topsecret" not in shown
    assert "ann@" not in shown
