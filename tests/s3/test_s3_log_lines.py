"""The lines of the log about requests: never a user, a secret or the signature of a URL."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from servers import Server

from amplitude_cohort_s3 import (
    AmplitudeCohorts,
    CohortSync,
    Destination,
    Guard,
    Member,
    MemberFile,
    S3Storage,
    UserProperty,
    errors,
    forget,
    prune,
    read_history,
    recover,
    sync_cohort,
)
from amplitude_cohort_s3.sources import MemberFiles, select
from amplitude_cohort_s3.testing.fake_amplitude import FakeAmplitude
from amplitude_cohort_s3.testing.small_cohort import clock_at, moment

pytestmark = pytest.mark.servers

SYNC = CohortSync(
    destination=Destination(name="s3", path="cohorts"),
    project_id=123,
    cohort_id="26umsb5",
    user_properties=[UserProperty("email")],
)
PEOPLE = [
    Member(str(8_811_220_000 + n), f"zoe-{n}", {"email": f"zoe{n}@example.org"}) for n in range(40)
]
MARKS = ("88112200", "zoe", "example.org")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)

    def found(kind: str = "") -> list[str]:
        ours = [r for r in caplog.records if r.name.startswith("amplitude_cohort_s3")]
        return [f"{r.levelname} {r.getMessage()}" for r in ours if kind in r.name]

    return found


def assert_private(lines: list[str], *secrets: str) -> None:
    text = "\n".join(lines)
    for secret in (*MARKS, *secrets):
        assert secret not in text


def synced(storage: S3Storage, members: Any, day: int, **options: Any) -> None:
    when = moment(0) + timedelta(days=day)
    sync_cohort(SYNC, members, storage, synced_at=when, clock=clock_at(when), **options)


def test_requests_to_s3_are_logged_without_secrets(moto: Server, lines: Any):
    storage = S3Storage(moto.new_bucket(), client=moto.client())
    for day in range(3):
        synced(storage, PEOPLE[day:], day)
    with pytest.raises(errors.GuardError):
        synced(storage, PEOPLE[:1], 3, guard=Guard(max_exits=1))
    forget(storage, SYNC, ["8811220039"])
    forget(storage, SYNC, ["zoe-38"], by="user_id")
    prune(storage, SYNC, before=moment(0) + timedelta(days=2))
    recover(storage, SYNC)
    assert read_history(storage, SYNC).verify() == ()
    missing = S3Storage("nobodys-bucket", client=moto.client())
    with pytest.raises(errors.StorageError):
        recover(missing, SYNC)
    operations = {line.split()[1] for line in lines("storage.s3")}
    assert operations >= {"put_object", "list_objects_v2", "get_object", "delete_object"}
    assert any("NoSuchBucket" in line for line in lines("storage.s3"))
    assert all(line.startswith("DEBUG") for line in lines("storage.s3"))
    assert_private(lines(), moto.secret_key, "Signature")


def test_requests_for_members_in_s3_are_logged_without_secrets(
    moto: Server, lines: Any, monkeypatch: pytest.MonkeyPatch
):
    bucket, client = moto.new_bucket(), moto.client()
    body = "".join(f"{m.amplitude_id},{m.user_id},{m.properties['email']}\n" for m in PEOPLE)
    for part in range(2):
        data = f"amplitude_id,user_id,email\n{body}".encode()
        client.put_object(Bucket=bucket, Key=f"unload/{part}.csv", Body=data)
    files = MemberFiles(f"s3://{bucket}/unload/", transport_params={"client": client})
    secret = "a secret of the hash"
    storage = S3Storage(bucket, client=client)
    synced(storage, select(files, hash=["email"], secret=secret), 0)
    params = {"Bucket": bucket, "Key": "unload/0.csv"}
    signed = client.generate_presigned_url("get_object", Params=params)
    synced(storage, MemberFile(signed), 1, guard=False)
    with pytest.raises(errors.MemberFileError):
        synced(storage, MemberFile(signed.replace("0.csv", "9.csv")), 2)
    assert any("unload/" in line for line in lines("storage.s3"))
    signature = signed.rpartition("Signature=")[2][:20]
    assert_private(lines(), moto.secret_key, secret, signature, "Signature")


def test_a_handler_that_raises_at_level_debug_stops_nothing(moto: Server, lines: Any):
    seen = set[str]()

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.add(record.name)
            raise ValueError(record)

    logger, handler = logging.getLogger("amplitude_cohort_s3"), Broken()
    storage = S3Storage(moto.new_bucket(), client=moto.client())
    logger.addHandler(handler)
    try:
        with FakeAmplitude() as fake:
            fake.polls = 0
            fake.set_cohort("26umsb5", PEOPLE)
            amplitude = AmplitudeCohorts(fake.api_key, fake.secret_key, base_url=fake.base_url)
            synced(storage, amplitude.members("26umsb5"), 0)
    finally:
        logger.removeHandler(handler)
    assert {name.rpartition(".")[2] for name in seen} >= {"responses", "_http"}
    assert read_history(storage, SYNC).verify() == ()


def test_requests_to_amplitude_are_logged_without_secrets(moto: Server, lines: Any):
    with FakeAmplitude() as fake:
        fake.polls = 0
        fake.inline_bytes = 0  # The download is redirected to a pre-signed URL.
        fake.set_cohort("26umsb5", PEOPLE)
        amplitude = AmplitudeCohorts(
            fake.api_key, fake.secret_key, base_url=fake.base_url, sleep=lambda _: None
        )
        storage = S3Storage(moto.new_bucket(), client=moto.client())
        synced(storage, amplitude.members("26umsb5"), 0)
        wrong = AmplitudeCohorts(fake.api_key, "wrong-key", base_url=fake.base_url)
        with pytest.raises(errors.AmplitudeError):
            synced(storage, wrong.members("26umsb5"), 1)
        found = lines("sources.amplitude")
        assert {line.split(":")[0] for line in found} == {"DEBUG GET from 127.0.0.1"}
        assert {line.split(": ")[1][:8] for line in found} >= {"HTTP 302", "HTTP 403"}
        assert_private(lines(), fake.api_key, fake.secret_key, "wrong-key", "Signature", "X-Amz")
