"""The examples in the docstrings do what they show, in every module that is installed."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import amplitude_cohort_s3

NAMES = [
    amplitude_cohort_s3.__name__,
    *(
        info.name
        for info in pkgutil.walk_packages(
            amplitude_cohort_s3.__path__, f"{amplitude_cohort_s3.__name__}."
        )
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_docstrings_are_true(name):
    # Each docstring that is run, even one without an example, starts a debugger.
    failed, _ = doctest.testmod(import_module(name), exclude_empty=True)
    assert not failed


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in NAMES for test in finder.find(import_module(name)) if test.examples]
    assert len(found) > 20
