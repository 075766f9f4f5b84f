"""The table of the three meanings of ``existing``."""

import pytest

from amplitude_cohort_s3 import DiffType, ExistingMeaning

BEFORE, NOW = {"stayed", "left"}, {"stayed", "came"}
ENTERING, EXITING = NOW - BEFORE, BEFORE - NOW

EXISTING = {
    ExistingMeaning.MEMBERS: NOW,
    ExistingMeaning.STAYED: NOW & BEFORE,
    ExistingMeaning.PREVIOUS: BEFORE,
}


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_existing_contains_the_users_of_the_table(meaning):
    assert meaning.contains_entering is (EXISTING[meaning] >= ENTERING)
    assert meaning.contains_exiting is (EXISTING[meaning] >= EXITING)


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_members_follow_from_the_member_files_alone(meaning):
    files = {
        DiffType.ENTERING: ENTERING,
        DiffType.EXITING: EXITING,
        DiffType.EXISTING: EXISTING[meaning],
    }
    read = {t: files[t] if t in meaning.member_files else set() for t in DiffType}
    members = (read[DiffType.ENTERING] | read[DiffType.EXISTING]) - read[DiffType.EXITING]
    assert members == NOW


@pytest.mark.parametrize("meaning", ExistingMeaning)
def test_totals_of_the_members_follow_from_the_totals_of_the_files(meaning):
    counts = {
        "entering": len(ENTERING),
        "exiting": len(EXITING),
        "existing": len(EXISTING[meaning]),
    }
    assert meaning.member_total(**counts) == len(NOW)
