"""Names of cohort files, as docs/explanation/file_format.md describes them."""

import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from amplitude_cohort_s3 import CohortFileName, DiffType, NameStyle
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    InvalidFileNameError,
    NaiveDatetimeError,
)
from amplitude_cohort_s3.testing import strategies

AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
ENTERING, EXITING, EXISTING = DiffType
MINUTES = NameStyle()
SECONDS = NameStyle(seconds=True)
HOURS_SECONDS = NameStyle(second_group="seconds")
SPARK = NameStyle(separator="-")
GZIP = NameStyle(extension=".csv.gz")
EMPTY_KEY = NameStyle(empty_routing_key=True)
IMITATION = "9_b_2020-01-01T00:00_exiting_x.csv"

# Names, and the arguments of CohortFileName for them. Both directions are tested.
CASES = [
    # Amplitude's own form, and each part that may be missing
    ("123_26umsb5_2026-11-23T14:05_entering_vip.csv", (123, "26umsb5", AT, ENTERING, "vip")),
    ("123_26umsb5_2026-11-23T14:05_exiting.csv", (123, "26umsb5", AT, EXITING)),
    ("0_a_2026-11-23T14:05_existing.csv", (0, "a", AT, EXISTING)),
    ("26umsb5_2026-11-23T14:05_existing.csv", (None, "26umsb5", AT, EXISTING)),
    # the cohort id
    ("1_007_2026-11-23T14:05_existing.csv", (1, "007", AT, EXISTING)),
    ("007_2026-11-23T14:05_existing.csv", (None, "007", AT, EXISTING)),
    ("1_A-b_2026-11-23T14:05_existing.csv", (1, "A-b", AT, EXISTING)),
    (
        "1_2026-11-23T14-05_2026-11-23T14-05_existing.csv",
        (1, "2026-11-23T14-05", AT, EXISTING, None, SPARK),
    ),
    ("99999999999999999999_a_2026-11-23T14:05_existing.csv", (10**20 - 1, "a", AT, EXISTING)),
    # the time and its styles
    ("1_a_2026-11-23T14-05_entering.csv", (1, "a", AT, ENTERING, None, SPARK)),
    (
        "1_a_2026-11-23T14:05:09_entering.csv",
        (1, "a", AT + timedelta(seconds=9), ENTERING, None, SECONDS),
    ),
    (
        "1_a_2026-11-23T14-05-09Z_entering_k.csv",
        (
            1,
            "a",
            AT + timedelta(seconds=9),
            ENTERING,
            "k",
            NameStyle(separator="-", seconds=True, zulu=True),
        ),
    ),
    ("1_a_2026-11-23T14:05Z_entering.csv", (1, "a", AT, ENTERING, None, NameStyle(zulu=True))),
    (
        "1_a_2026-11-23T14:05_entering.csv",
        (1, "a", AT.replace(minute=0, second=5), ENTERING, None, HOURS_SECONDS),
    ),
    ("1_a_0001-01-01T00:00_entering.csv", (1, "a", datetime(1, 1, 1, tzinfo=UTC), ENTERING)),
    (
        "1_a_2024-02-29T23:59_entering.csv",
        (1, "a", datetime(2024, 2, 29, 23, 59, tzinfo=UTC), ENTERING),
    ),
    # as browsers save a colon
    (
        "1_a_2026-11-23T14_05_entering_14_05.csv",
        (1, "a", AT, ENTERING, "14_05", NameStyle(separator="_")),
    ),
    (
        "1_a_2026-11-23T14_05_09Z_entering.csv",
        (
            1,
            "a",
            AT + timedelta(seconds=9),
            ENTERING,
            None,
            NameStyle(separator="_", seconds=True, zulu=True),
        ),
    ),
    # the routing key
    ("1_a_2026-11-23T14:05_entering_vip_eu.csv", (1, "a", AT, ENTERING, "vip_eu")),
    ("1_a_2026-11-23T14:05_entering__.csv", (1, "a", AT, ENTERING, "_")),
    ("1_a_2026-11-23T14:05_entering_exiting.csv", (1, "a", AT, ENTERING, "exiting")),
    ("1_a_2026-11-23T14:05_entering_ a b .csv", (1, "a", AT, ENTERING, " a b ")),
    ("1_a_2026-11-23T14:05_entering_größe 日本.csv", (1, "a", AT, ENTERING, "größe 日本")),
    ("1_a_2026-11-23T14:05_entering_x.csv.csv", (1, "a", AT, ENTERING, "x.csv")),
    ("1_a_2026-11-23T14:05_entering_.csv.csv", (1, "a", AT, ENTERING, ".csv")),
    ("1_a_2026-11-23T14:05_entering_x.csv.gz.csv", (1, "a", AT, ENTERING, "x.csv.gz")),
    ("1_a_2026-11-23T14:05_entering_x.csv.csv.gz", (1, "a", AT, ENTERING, "x.csv", GZIP)),
    (f"1_a_2026-11-23T14:05_entering_{IMITATION}.csv", (1, "a", AT, ENTERING, IMITATION)),
    ("1_a_2026-11-23T14:05_entering_.csv", (1, "a", AT, ENTERING, None, EMPTY_KEY)),
    # the extension
    ("1_a_2026-11-23T14:05_entering_k.csv.gz", (1, "a", AT, ENTERING, "k", GZIP)),
    ("1_a_2026-11-23T14:05_entering.csv.gz", (1, "a", AT, ENTERING, None, GZIP)),
]


@pytest.mark.parametrize(("text", "parts"), CASES)
def test_a_name_is_formatted_and_parsed(text, parts):
    name = CohortFileName(*parts)
    assert str(name) == text
    assert CohortFileName.parse(text, second_group=name.style.second_group) == name


# Texts that are not names, and a word of the rule that each breaks.
INVALID = [
    ("01_a_2026-11-23T14:05_entering.csv", "leading zero"),
    ("00_a_2026-11-23T14:05_entering.csv", "leading zero"),
    ("+1_a_2026-11-23T14:05_entering.csv", "a project id"),
    ("٣_a_2026-11-23T14:05_entering.csv", "a project id"),
    ("1__2026-11-23T14:05_entering.csv", "YYYY-MM-DDT"),
    ("_2026-11-23T14:05_entering.csv", "a cohort id"),
    ("1_a_b_2026-11-23T14:05_entering.csv", "YYYY-MM-DDT"),
    ("1_ä_2026-11-23T14:05_entering.csv", "YYYY-MM-DDT"),
    ("readme.txt", "a cohort id"),
    ("", "a cohort id"),
    ("1_a_26-11-23T14:05_entering.csv", "YYYY-MM-DDT"),
    ("1_a_2026-11-23t14:05_entering.csv", "YYYY-MM-DDT"),
    ("1_a_2026-11-23 14:05_entering.csv", "YYYY-MM-DDT"),
    ("1_a_2026-11-٢٣T14:05_entering.csv", "YYYY-MM-DDT"),
    ("1_a_2026-11-23T14_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T1405_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14:5_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14:05-09_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14.05_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14_05:09_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14:05_09_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14-05_09Z_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14_05_09_10_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14__05_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14:05:09:01_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14:05z_entering.csv", "groups of two digits"),
    ("1_a_2026-11-23T14:05+00:00_entering.csv", "groups of two digits"),
    ("1_a_2026-02-30T14:05_entering.csv", "there is no such time"),
    ("1_a_2026-13-01T14:05_entering.csv", "there is no such time"),
    ("1_a_0000-01-01T14:05_entering.csv", "there is no such time"),
    ("1_a_2026-11-23T24:00_entering.csv", "there is no such time"),
    ("1_a_2026-11-23T14:60_entering.csv", "there is no such time"),
    ("1_a_2026-11-23T14:05:60_entering.csv", "there is no such time"),
    ("1_a_2026-11-23T14:05_Entering.csv", "difftype"),
    ("1_a_2026-11-23T14:05_entered.csv", "difftype"),
    ("1_a_2026-11-23T14:05_enteringvip.csv", "difftype"),
    ("1_a_2026-11-23T14:05_.csv", "difftype"),
    ("1_a_2026-11-23T14:05_entering", "difftype"),
    ("1_a_2026-11-23T14:05_entering_k", "end in .csv"),
    ("1_a_2026-11-23T14:05_entering_k.CSV", "end in .csv"),
    ("1_a_2026-11-23T14:05_entering_k.tar.gz", "end in .csv"),
    ("1_a_2026-11-23T14:05_entering_k.csv.bz2", "end in .csv"),
    ("1_a_2026-11-23T14:05_entering.x.csv", "the extension, or by _"),
    ("p/1_a_2026-11-23T14:05_entering.csv", "belongs to the path"),
    ("1_a_2026-11-23T14:05_entering_a/b.csv", "belongs to the path"),
    ("1_a_2026-11-23T14:05_entering.csv\n", "control character"),
    ("1_a_2026-11-23T14:05_entering_\t.csv", "control character"),
    ("1_a_2026-11-23T14:05_entering_\x85.csv", "control character"),
    ("1_a_2026-11-23T14:05_entering_\0.csv", "control character"),
    ("1_a_2026-11-23T14:05_entering_\ud800.csv", "UTF-8"),
    (f"1_a_2026-11-23T14:05_entering_{'k' * 1000}.csv", "1024 bytes"),
]


@pytest.mark.parametrize(("text", "rule"), INVALID, ids=lambda value: ascii(value)[:60])
def test_a_text_that_is_not_a_name_is_refused_with_the_broken_rule(text, rule):
    with pytest.raises(InvalidFileNameError) as caught:
        CohortFileName.parse(text)
    assert rule in caught.value.rule
    assert caught.value.name == text


# Parts that can't form a name: changes of CohortFileName(1, "a", AT, ENTERING).
INVALID_PARTS = [
    ({"project_id": -1}, "0 or more"),
    ({"cohort_id": ""}, "letters, digits and -"),
    ({"cohort_id": "a_b"}, "letters, digits and -"),
    ({"cohort_id": "ä"}, "letters, digits and -"),
    ({"cohort_id": "a\n"}, "letters, digits and -"),
    ({"routing_key": ""}, "can't be empty"),
    ({"routing_key": "a/b"}, "belongs to the path"),
    ({"routing_key": "a\nb"}, "control character"),
    ({"routing_key": "\ud800"}, "UTF-8"),
    ({"routing_key": "k" * 1000}, "1024 bytes"),
    (
        {"routing_key": "k", "style": EMPTY_KEY},
        "the style has an empty routing key, but there is one",
    ),
    ({"synced_at": AT.replace(second=1)}, "style.floor(synced_at)"),
    ({"synced_at": AT.replace(microsecond=1), "style": SECONDS}, "style.floor(synced_at)"),
    ({"style": HOURS_SECONDS}, "style.floor(synced_at)"),
]


@pytest.mark.parametrize(("change", "rule"), INVALID_PARTS, ids=lambda value: ascii(value)[:60])
def test_parts_that_can_not_form_a_name_are_refused_with_the_broken_rule(change, rule):
    parts = {"project_id": 1, "cohort_id": "a", "synced_at": AT, "diff_type": ENTERING} | change
    with pytest.raises(InvalidFileNameError) as caught:
        CohortFileName(**parts)
    assert rule in caught.value.rule


@given(strategies.file_names())
def test_law_parsing_undoes_str(name):
    assert CohortFileName.parse(str(name), second_group=name.style.second_group) == name


@given(strategies.file_names(), st.sampled_from(["minutes", "seconds"]))
def test_law_str_undoes_parsing_for_both_meanings_of_the_second_group(name, second_group):
    text = str(name)
    try:
        parsed = CohortFileName.parse(text, second_group=second_group)
    except InvalidFileNameError:
        # Every pair of digits up to 59 is both a minute and a second.
        pytest.fail(f"accepted with one meaning only: {text!r}")
    assert str(parsed) == text


_ACCEPTED_MOSTLY = (
    r"(0|[1-9][0-9]?_)?[0a-]{1,3}_20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?Z?_(entering|exiting|existing)"
    r"(_[^/\x00-\x1f\x7f-\x9f]*)?\.csv(\.gz)?"
)


@given(st.from_regex(_ACCEPTED_MOSTLY, fullmatch=True, alphabet=st.characters(codec="utf-8")))
def test_law_str_undoes_parsing_of_any_text_that_is_accepted(text):
    try:
        name = CohortFileName.parse(text)
    except InvalidFileNameError:
        reject()
    assert str(name) == text


@given(strategies.file_names(), strategies.paths())
def test_law_from_key_undoes_key(name, path):
    key = name.key(path)
    assert CohortFileName.from_key(key, second_group=name.style.second_group) == (path, name)


@pytest.mark.parametrize("key", ["/{}", "a//{}", "{}/", "a/{}/"])
def test_a_key_that_is_not_a_path_and_a_name_is_refused(key):
    with pytest.raises(InvalidFileNameError):
        CohortFileName.from_key(key.format("1_a_2026-11-23T14:05_entering.csv"))


@given(strategies.times(), strategies.name_styles())
def test_law_floor_is_the_newest_time_that_the_style_can_write(when, style):
    floored = style.floor(when)
    assert floored <= when
    assert style.floor(floored) == floored
    CohortFileName(1, "a", floored, ENTERING, style=style)
    if style.second_group == "minutes":
        assert when - floored < style.step


@pytest.mark.parametrize(
    ("style", "when", "floored"),
    [
        (MINUTES, "14:05:59.999999", "14:05:00"),
        (SECONDS, "14:05:59.999999", "14:05:59"),
        (HOURS_SECONDS, "14:00:31.5", "14:00:31"),
        (HOURS_SECONDS, "14:05:31", "14:00:59"),
    ],
)
def test_each_style_floors_a_time_to_what_it_can_write(style, when, floored):
    day = "2026-11-23T"
    assert style.floor(datetime.fromisoformat(f"{day}{when}+00:00")) == datetime.fromisoformat(
        f"{day}{floored}+00:00"
    )


def test_another_time_zone_is_converted_to_utc():
    tokyo = AT.astimezone(timezone(timedelta(hours=9)))
    name = CohortFileName(1, "a", tokyo, ENTERING)
    assert str(name) == "1_a_2026-11-23T14:05_entering.csv"
    assert name.synced_at.tzinfo is UTC


def test_a_naive_time_is_refused():
    naive = AT.replace(tzinfo=None)
    for attempt in (lambda: CohortFileName(1, "a", naive, ENTERING), lambda: MINUTES.floor(naive)):
        with pytest.raises(NaiveDatetimeError):
            attempt()


def test_the_difftype_may_be_given_as_its_word_but_not_as_another():
    assert CohortFileName(1, "a", AT, "exiting").diff_type is EXITING
    with pytest.raises(ValueError, match="entered"):
        CohortFileName(1, "a", AT, "entered")


def test_a_style_reports_all_its_faults_at_once():
    with pytest.raises(ConfigurationError) as caught:
        NameStyle(separator=".", seconds=True, second_group="seconds", extension=".txt")
    assert len(caught.value.faults) == 3


@given(strategies.file_names())
def test_names_are_values(name):
    assert pickle.loads(pickle.dumps(name)) == name
    assert len({name, pickle.loads(pickle.dumps(name))}) == 1
