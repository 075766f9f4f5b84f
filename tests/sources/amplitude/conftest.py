"""A fake of Amplitude's API in a time that passes when somebody sleeps."""

import logging

import pytest
from amplitude_fakes import ID, MANY, Time, assert_untold, connect

from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude


@pytest.fixture
def passing():
    return Time()


@pytest.fixture
def fake(passing, caplog):
    """With a small cohort; and whatever happens, the log of a test tells no secret."""
    caplog.set_level(logging.DEBUG)
    with FakeAmplitude(clock=passing.clock) as fake:
        fake.set_cohort(ID, MANY[:100])
        yield fake
        logged = caplog.get_records("call")
        assert_untold(fake, " ".join(f"{r.getMessage()} {r.__dict__}" for r in logged))


@pytest.fixture
def amplitude(fake, passing):
    return connect(fake, passing)
