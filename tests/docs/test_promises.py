"""The page of promises names tests that exist. Each run checks their counts itself."""

import re
from pathlib import Path

import pytest
from left_out import OTHERS, SERVERS
from mutants import MUTANTS, Mutant, changed_module

from amplitude_cohort_s3.testing import cut_matrix

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "promises.md"


def test_each_promised_test_exists():
    named = re.findall(r"`([\w/]+\.py)::([\w:]+)`", PAGE.read_text())
    assert len(named) > 10
    for file, name in named:
        source = (TESTS / file).read_text() + Path(cut_matrix.__file__).read_text()
        for part in name.split("::"):
            assert re.search(rf"^ *(def|class) {part}\(", source, re.MULTILINE), (file, part)


@pytest.mark.parametrize("place", [*SERVERS, *OTHERS])
def test_what_the_quick_run_leaves_out_exists(place: str):
    # A test whose name changes would run in it.
    file, *names = place.split("::")
    source = (TESTS / file).read_text() if names else ""
    assert (TESTS / file).exists()
    assert all(re.search(rf"^(def|class) {name}\(", source, re.MULTILINE) for name in names)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_each_mutant_changes_what_is_there(mutant: Mutant):
    # `nox -s mutants` checks that a test notices the change.
    compile(changed_module(mutant), mutant.file, "exec")
    assert (TESTS / re.split("::| ", mutant.tests)[0]).exists()
