"""A fake of Amplitude's API with a clock that advances only by sleeping."""

import logging

import pytest
from amplitude_fakes import ID, MANY, Time, assert_no_secret_in, connect

from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude


@pytest.fixture
def passing():
    return Time()


@pytest.fixture
def fake(passing, caplog):
    """Yield a fake with one small cohort, and check that the log of the test holds no secret."""
    caplog.set_level(logging.DEBUG)
    with FakeAmplitude(clock=passing.clock) as fake:
        fake.set_cohort(ID, MANY[:100])
        yield fake
        logged = caplog.get_records("call")
        assert_no_secret_in(fake, " ".join(f"{r.getMessage()} {r.__dict__}" for r in logged))


@pytest.fixture
def amplitude(fake, passing):
    return connect(fake, passing)
