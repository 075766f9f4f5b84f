"""A clock that advances only by sleeping, and checks that no secret is shown."""

import base64
import contextlib
import random
import re
import traceback
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest

from amplitude_cohort_s3 import AmplitudeCohorts, CohortS3Error, Member, RowSchema
from amplitude_cohort_s3.testing.fake_amplitude import (
    FILE,
    LIST,
    REQUEST,
    STATUS,
    STORE,
    USAGE,
    FakeAmplitude,
)

START = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
ID = "26umsb5"
SCHEMA = RowSchema(properties=("plan",))

_random = random.Random(1)
MANY = [
    Member(str(300_000_000_000 + n), f"{_random.getrandbits(256):x}", {"plan": "pro"})
    for n in range(4_000)
]
"""Members whose file takes several reads of a connection: 150 KiB of gzip."""

STEPS = {
    "list": LIST,
    "usage": USAGE,
    "request": REQUEST,
    "status": STATUS,
    "redirect": FILE,
    "file": FILE,
    "store": STORE,
}


class Time:
    """A clock that advances only by sleeping."""

    def __init__(self):
        self.seconds = 0.0
        self.slept = []

    def clock(self):
        return START + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds
        self.slept.append(seconds)


def connect(fake: FakeAmplitude, passing: Time, **arguments) -> AmplitudeCohorts:
    return AmplitudeCohorts(
        fake.api_key,
        fake.secret_key,
        **{"base_url": fake.base_url, **arguments},
        clock=passing.clock,
        monotonic=passing.monotonic,
        sleep=passing.sleep,
    )


def secrets_of(fake: FakeAmplitude) -> set[str]:
    """Return the texts that no output may contain: the keys, and every signature that was sent."""
    pair = f"{fake.api_key}:{fake.secret_key}"
    signatures = re.findall(r"X-Amz-Signature=(\w+)", " ".join(fake.requests))
    return {
        fake.api_key,
        fake.secret_key,
        base64.b64encode(pair.encode()).decode(),
        *signatures,
    }


def assert_no_secret_in(fake: FakeAmplitude, text: str) -> None:
    assert not [secret for secret in secrets_of(fake) if secret in text]


@contextlib.contextmanager
def failing(
    fake: FakeAmplitude, cls: type[CohortS3Error], *, match: str | None = None
) -> Generator[pytest.ExceptionInfo[CohortS3Error]]:
    """Act as ``pytest.raises``, and check that no secret is in the error, in the errors that
    it is chained to, or in the variables of the frames of its traceback.
    """
    with pytest.raises(cls, match=match) as caught:
        yield caught
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The frame of the test itself may contain the secrets.
    shown.stack[:] = [frame for frame in shown.stack if "amplitude_cohort_s3" in frame.filename]
    assert_no_secret_in(fake, "".join(shown.format()))
    error: BaseException | None = caught.value
    while error is not None:
        assert type(error).__module__.startswith(("amplitude_cohort_s3", "builtins"))
        assert_no_secret_in(fake, f"{error} {error!r} {error.args} {vars(error)}")
        error = error.__cause__ or error.__context__


def download(amplitude, schema=SCHEMA, **arguments):
    source = amplitude.members(ID, **arguments).csv_source(schema)
    return list(schema.decode(source.chunks()))


def rows(members):
    return [SCHEMA.row(member, fill=True) for member in members]


def count(fake, path):
    return sum(1 for request in fake.requests if re.search(path, request.removeprefix("GET ")))
