"""All cohorts of a project whose names match a pattern, as values and as jobs of a run."""

from datetime import timedelta

import attrs
import pytest
from amplitude_fakes import ID, START, count, failing

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    MemoryStorage,
    errors,
    run_due,
)
from amplitude_cohort_s3.sources.amplitude import AmplitudeCohort, CohortList
from amplitude_cohort_s3.sync import vanished_cohorts
from amplitude_cohort_s3.testing.fake_amplitude import LIST, REQUEST

TEMPLATE = CohortSync(
    destination=Destination("warehouse"), project_id=123, cohort_id="any", cadence="daily"
)


def named(*names):
    return CohortList([AmplitudeCohort(id=f"c{n}", name=name) for n, name in enumerate(names)])


def outcomes(report):
    return {one.sync.cohort_id: one.outcome.value for one in report}


@pytest.fixture
def marketing(fake):
    """Return a fake whose cohorts a, b and c have names that begin with "Marketing "."""
    fake.polls = 0
    for cohort_id in "abc":
        fake.set_cohort(cohort_id, [("1", cohort_id)], name=f"Marketing {cohort_id}")
    return fake


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("Marketing *", ["Marketing EU", "Marketing "]),
        ("*", ["Marketing EU", "Marketing ", "marketing EU", "[EU] x", "two\nlines"]),
        ("[EU] ?", ["[EU] x"]),
        ("two*lines", ["two\nlines"]),
        ("Marketing", []),
        ("", []),
        ("E", []),
    ],
)
def test_a_pattern_matches_whole_names_and_only_two_characters_are_special(pattern, matching):
    cohorts = named("Marketing EU", "Marketing ", "marketing EU", "[EU] x", "two\nlines")
    assert [one.name for one in cohorts.matching(pattern)] == matching


def test_a_cohort_is_a_readable_value_with_what_the_api_reports(amplitude, fake):
    cohort = fake.set_cohort("payers", [("1", "ann"), ("2", "bob")], name="Payers")
    cohort.description = "Paid <once>"
    cohort.archived = True
    found = amplitude.list_cohorts("*")
    assert [one.id for one in found] == [ID]
    (_, payers) = amplitude.list_cohorts()
    assert payers == AmplitudeCohort(
        id="payers",
        name="Payers",
        project_id=123,
        size=2,
        last_computed=START,
        last_modified=START,
        description="Paid <once>",
        type="redshift",
        archived=True,
    )
    assert repr(payers) == (
        "AmplitudeCohort(id='payers', name='Payers', project_id=123, size=2, "
        "last_computed=<2026-11-24T06:30:00+00:00>, last_modified=<2026-11-24T06:30:00+00:00>, "
        "description='Paid <once>', type='redshift', archived=True)"
    )
    cohort.published = False
    assert [one.id for one in amplitude.list_cohorts()] == [ID]


def test_a_list_of_cohorts_is_a_table_for_people(amplitude, fake):
    fake.set_cohort("payers", [("1", "ann")], name="<Payers>").last_computed = None
    cohorts = amplitude.list_cohorts()
    assert repr(cohorts) == "CohortList(<2 cohorts>)"
    assert str(cohorts).splitlines() == [
        "id       size  last computed     name            type",
        "26umsb5   100  2026-11-24 06:30  Cohort 26umsb5  redshift",
        "payers      1  -                 <Payers>        redshift",
    ]
    html = cohorts._repr_html_()
    assert "&lt;Payers&gt;" in html
    assert "2026-11-24 06:30" in html
    assert "owner" not in html
    assert cohorts[:1] == (cohorts[0],)


def test_a_pattern_is_one_job_for_each_cohort(amplitude, marketing):
    storage = MemoryStorage()
    report = run_due(amplitude.jobs(TEMPLATE, "Marketing *"), storage, START)
    assert outcomes(report) == dict.fromkeys("abc", "done")
    assert [one.result.record.source["cohort"] for one in report] == list("abc")
    # One list for the jobs, and none for each cohort.
    assert count(marketing, LIST) == 1
    assert count(marketing, REQUEST) == marketing.downloads == 3

    marketing.set_cohort("b", [("2", "b")])
    marketing.remove_cohort("c")
    marketing.set_cohort("d", [("1", "d")], name="Marketing d")
    report = run_due(amplitude.jobs(TEMPLATE, "Marketing *"), storage, START + timedelta(days=1))
    assert outcomes(report) == {"a": "unchanged", "b": "done", "d": "done"}
    assert marketing.downloads == 5


def test_jobs_list_the_cohorts_again_after_a_minute(amplitude, marketing, passing):
    ((_, members),) = amplitude.jobs(TEMPLATE, "Marketing a")
    origin = members.csv_source(TEMPLATE.schema).origin
    marketing.set_cohort("a", [("3", "a")])
    passing.sleep(60)
    assert members.is_unchanged(origin)
    passing.sleep(1)
    assert not members.is_unchanged(origin)
    assert count(marketing, LIST) == 2


def test_a_cohort_that_was_computed_during_a_run_is_not_taken_for_a_short_export(
    amplitude, marketing
):
    marketing.set_cohort("a", [("1", "a"), ("2", "b")])
    jobs = amplitude.jobs(TEMPLATE, "Marketing a")
    marketing.set_cohort("a", [("1", "a")])  # It has fewer users than in the list of the jobs.
    (done,) = run_due(jobs, MemoryStorage(), START)
    assert done.result.record.members == 1
    marketing.set_cohort("a", [("1", "a")], size=2)
    (failed,) = run_due(amplitude.jobs(TEMPLATE, "Marketing a"), MemoryStorage(), START)
    assert isinstance(failed.error, errors.ExportFailedError)


def test_the_quota_stops_the_syncs_that_are_left_and_they_continue_next_time(amplitude, marketing):
    storage = MemoryStorage()
    marketing.monthly_limit = 2
    report = run_due(amplitude.jobs(TEMPLATE, "Marketing *"), storage, START)
    assert outcomes(report) == {"a": "done", "b": "done", "c": "failed"}
    (failed,) = report.failed
    assert isinstance(failed.error, errors.AmplitudeLimitError)
    assert "2 of 2 downloads of this month are used" in str(failed.error)
    # Nothing was requested beyond the limit.
    assert marketing.limited == []
    assert count(marketing, REQUEST) == 2

    marketing.monthly_limit = 3
    report = run_due(amplitude.jobs(TEMPLATE, "Marketing *"), storage, START)
    assert outcomes(report) == {"a": "not due", "b": "not due", "c": "done"}


def test_the_quota_is_counted_once_for_all_jobs_if_amplitude_does_not_report_it(
    amplitude, marketing
):
    marketing.usage_form = None
    run_due(amplitude.jobs(TEMPLATE, "Marketing *"), MemoryStorage(), START)
    assert amplitude.usage().used == 3


def test_the_limit_of_ten_minutes_is_kept_across_all_jobs(amplitude, fake, passing):
    fake.polls = 0
    for number in range(62):
        fake.set_cohort(f"c{number}", [("1", "ann")], name=f"Marketing {number}")
    report = run_due(amplitude.jobs(TEMPLATE, "Marketing *"), MemoryStorage(), START)
    assert set(outcomes(report).values()) == {"done"}
    assert fake.limited == []
    assert passing.seconds >= 590


def test_a_pattern_without_a_cohort_is_an_error_with_the_number_of_cohorts(amplitude, fake):
    with failing(fake, errors.NoCohortMatchesError) as caught:
        amplitude.jobs(TEMPLATE, "Sales *")
    assert (caught.value.pattern, caught.value.listed) == ("Sales *", 1)
    fake.set_cohort("s", [], name="Sales x").archived = True
    with failing(fake, errors.NoCohortMatchesError):
        amplitude.jobs(TEMPLATE, "Sales *")


@pytest.mark.parametrize("odd", ["o_d", "o/d", "", "o" * 1000])
def test_a_cohort_with_an_unusable_id_fails_alone(amplitude, marketing, odd):
    marketing.set_cohort(odd, [("1", "ann")], name="Marketing b2")
    jobs = amplitude.jobs(TEMPLATE, "Marketing *")
    for dry_run, others in [(True, "due"), (False, "done")]:
        report = run_due(jobs, MemoryStorage(), START, dry_run=dry_run)
        assert outcomes(report) == {**dict.fromkeys("abc", others), "any": "failed"}
    (failed,) = report.failed
    assert isinstance(failed.error, errors.UnusableCohortIdError)
    assert (failed.error.cohort_id, failed.error.name) == (odd, "Marketing b2")
    with pytest.raises(ExceptionGroup, match="1 of 4 syncs failed"):
        report.raise_failures()
    if odd:  # Do what the message of the error advises.
        sync = attrs.evolve(TEMPLATE, cohort_id="b2")
        report = run_due([(sync, amplitude.members(odd))], MemoryStorage(), START)
        assert outcomes(report) == {"b2": "done"}


@pytest.mark.parametrize("has_log", [False, True])
def test_cohorts_that_have_vanished_from_a_pattern_are_named(amplitude, marketing, has_log):
    storage, log = MemoryStorage(), MemoryStorage() if has_log else None
    jobs = amplitude.jobs(TEMPLATE, "Marketing *")
    assert vanished_cohorts(TEMPLATE, jobs, storage, log=log) == ()
    run_due(jobs, storage, START, log=log)
    assert vanished_cohorts(TEMPLATE, jobs, storage, log=log) == ()
    marketing.remove_cohort("a")
    marketing.set_cohort("c", [("1", "c")], name="Sales c")
    marketing.set_cohort("o_d", [("1", "ann")], name="Marketing d")
    jobs = amplitude.jobs(TEMPLATE, "Marketing *")
    assert vanished_cohorts(TEMPLATE, jobs, storage, log=log) == ("a", "c")
    assert vanished_cohorts(TEMPLATE, (), storage, log=log) == ("a", "b", "c")
    # The pair of an unusable id has the sync of all cohorts, which is not synced.
    of_a = attrs.evolve(TEMPLATE, cohort_id="a")
    jobs = amplitude.jobs(of_a, "Marketing *")
    assert vanished_cohorts(of_a, jobs, storage, log=log) == ("a", "c")
    other = attrs.evolve(TEMPLATE, routing_key="k")
    assert vanished_cohorts(other, jobs, storage, log=log) == ()


def test_wrong_arguments_of_jobs_are_named(amplitude):
    with pytest.raises(errors.ArgumentTypeError, match="sync has the wrong type str"):
        amplitude.jobs("Marketing *", TEMPLATE)
    with pytest.raises(errors.ArgumentTypeError, match="pattern has the wrong type NoneType"):
        amplitude.jobs(TEMPLATE, None)
