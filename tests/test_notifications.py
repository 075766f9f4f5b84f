"""Messages of S3 in all envelopes, malformed messages, and the completion of syncs."""

import json
import pickle
import random
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import CohortFileName, CohortStream, DiffType, errors
from amplitude_cohort_s3.notifications import (
    FileCreated,
    FileDeleted,
    PendingSyncs,
    SetupMessage,
    UnrelatedEvent,
    parse,
)

KEY = "x/1_a_2026-11-23T14:05_existing_my key+%3A.csv"


def record(
    key: str = KEY, event: str = "ObjectCreated:Put", *, sent: str | None = None, **about: Any
) -> dict[str, Any]:
    return {
        "eventSource": "aws:s3",
        "eventName": event,
        "s3": {
            "bucket": {"name": "b"},
            "object": {"key": quote_plus(key) if sent is None else sent, **about},
        },
    }


def s3(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": [*(records or (record(),))]}


def bridge(key: str = KEY, event: str = "Object Created", **about: Any) -> dict[str, Any]:
    detail = {"bucket": {"name": "b"}, "object": {"key": key, **about}}
    return {"source": "aws.s3", "detail-type": event, "detail": detail}


def of(source: str, event: str = "s3:ObjectCreated:Put", **about: Any) -> dict[str, Any]:
    return record(event=event, **about) | {"eventSource": source}


def ceph(key: str = KEY, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    """A record as Ceph sends it: the key is not encoded, and absent values are empty."""
    about = {"size": 1024, "eTag": "", "versionId": "", "sequencer": "", "tags": []}
    return of("ceph:s3", event, sent=key, **about) | {"eventId": "", "opaqueData": ""}


def sns(message: object) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "m", "Message": json.dumps(message)}


ENVELOPES = {
    "S3 to Lambda": s3(),
    "JSON text": json.dumps(s3()),
    "JSON bytes": json.dumps(s3()).encode(),
    "one record": record(),
    "SQS to Lambda": {"Records": [{"eventSource": "aws:sqs", "body": json.dumps(s3())}]},
    "SQS receive_message": {"Messages": [{"MessageId": "m", "Body": json.dumps(s3())}]},
    "a list of SQS messages": [{"messageId": "m", "body": json.dumps(s3())}],
    "a list of texts": [json.dumps(s3())],
    "SNS to Lambda": {"Records": [{"EventSource": "aws:sns", "Sns": sns(s3())}]},
    "SNS over HTTP": sns(s3()),
    "SNS in SQS": {"Records": [{"body": json.dumps(sns(s3()))}]},
    "SNS in SQS, received, in a batch": json.dumps([{"Messages": [{"Body": sns(s3())}]}]),
    "EventBridge": bridge(),
    "EventBridge in SQS": {"Records": [{"body": json.dumps(bridge())}]},
    "EventBridge in SNS": sns(bridge()),
    "another store's event name": s3(record(event="s3:ObjectCreated:Put")),
    "MinIO": {"EventName": "s3:ObjectCreated:Put", "Key": f"b/{KEY}", **s3(of("minio:s3"))},
    "Ceph": s3(ceph()),
    "Ceph 14": s3(ceph(event="s3:ObjectCreated:CompleteMultipartUpload")),
    "Ceph in SNS in SQS": {"Records": [{"body": json.dumps(sns(s3(ceph())))}]},
}


@pytest.mark.parametrize("payload", ENVELOPES.values(), ids=ENVELOPES)
def test_a_key_is_decoded_exactly_once_in_every_envelope(payload: object):
    path, name = CohortFileName.from_key(KEY)
    stream = CohortStream(project_id=1, cohort_id="a", path=path, routing_key="my key+%3A")
    assert parse(payload) == (FileCreated(bucket="b", key=KEY, stream=stream, name=name),)


def test_version_etag_and_sequencer_are_kept():
    (created,) = parse(s3(record(versionId="v", eTag="e", sequencer="0A", size=3)))
    assert isinstance(created, FileCreated)
    assert (created.version_id, created.etag, created.sequencer) == ("v", "e", "0A")
    (same,) = parse(bridge(**{"version-id": "v", "etag": "e", "sequencer": "0A"}))
    assert same == created


@pytest.mark.parametrize(
    "payload",
    [
        s3(record(event="ObjectRemoved:Delete", versionId="v")),
        s3(record(event="ObjectRemoved:DeleteMarkerCreated", versionId="v")),
        s3(record(event="LifecycleExpiration:Delete", versionId="v")),
        bridge(event="Object Deleted", **{"version-id": "v"}),
        of("minio:s3", "s3:ObjectRemoved:DeleteAllVersions", versionId="v"),
        *(
            of("ceph:s3", event, sent=KEY, versionId="v")
            for event in (
                "ObjectLifecycle:Expiration:Current",
                "ObjectLifecycle:Expiration:Noncurrent",
                "ObjectLifecycle:Expiration:NonCurrent",
                "ObjectLifecycle:Expiration:DeleteMarker",
                "s3:ObjectLifecycle:Expiration:Current",
                "LifecycleExpiration:Delete",
                "LifecycleExpiration:DeleteMarkerCreated",
                "ObjectSynced:Delete",
                "ObjectSynced:DeletionMarkerCreated",
                "Replication:Delete",
            )
        ),
    ],
)
def test_deletions_are_recognized(payload: object):
    (deleted,) = parse(payload)
    assert isinstance(deleted, FileDeleted)
    assert (deleted.key, deleted.version_id) == (KEY, "v")


@pytest.mark.parametrize("event", ["ObjectSynced:Create", "Replication:Create"])
def test_a_file_that_was_copied_from_another_zone_of_ceph_is_new(event: str):
    (created,) = parse(ceph(event=event))
    assert isinstance(created, FileCreated)
    assert (created.key, created.version_id, created.etag, created.sequencer) == (KEY, *[None] * 3)


@pytest.mark.parametrize(
    "key",
    [
        "c++/1_a_2026-01-01T06:30_existing.csv",
        "100%/1_a_2026-01-01T06:30_existing_a b.csv",
        "x/1_a_2026-01-01T06:30_existing_%2B+%25.csv",
        "ü/1_a_2026-01-01T06:30_existing_ключ.csv",
    ],
)
def test_each_store_is_decoded_as_it_encodes(key: str):
    as_minio = of("minio:s3", sent=quote_plus(key))
    as_lambda = of("aws:s3", sent=quote(key, safe="/"))
    for payload in (ceph(key), bridge(key), as_minio, as_lambda, json.dumps(s3(ceph(key)))):
        (created,) = parse(payload)
        assert isinstance(created, FileCreated)
        assert created.key == key


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"},
            SetupMessage(kind="s3:TestEvent", bucket="b"),
        ),
        (
            {"Records": [{"body": '{"Event": "s3:TestEvent", "Bucket": "b"}'}]},
            SetupMessage(kind="s3:TestEvent", bucket="b"),
        ),
        (
            {"Type": "SubscriptionConfirmation", "Message": "You have chosen"},
            SetupMessage(kind="SubscriptionConfirmation"),
        ),
    ],
)
def test_setup_messages_are_recognized(payload: object, expected: SetupMessage):
    assert parse(payload) == (expected,)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({}, "not a message of S3"),
        ({"Records": None}, "not a message of S3"),
        ({"Records": [1]}, "its type is int"),
        ({"Records": [None]}, "its type is NoneType"),
        ({"Records": [{"body": "not JSON"}]}, "not JSON"),
        ({"Records": [{"body": 7}]}, "its type is int"),
        ({"Records": [{"body": "7"}]}, "its type is int"),
        ({"Records": [{"body": "[" * 100_000}]}, "not JSON"),
        ({"Records": [{"body": "9" * 5_000}]}, "not JSON"),
        ({"Records": [{"Sns": {"Message": "hello"}}]}, "not JSON"),
        ({"Records": [{"Sns": []}]}, "not a message of S3"),
        (s3({"s3": {"bucket": {"name": 5}, "object": {"key": "k"}}}), "no bucket or no key"),
        (s3({"s3": {"bucket": [], "object": {"key": "k"}}}), "no bucket or no key"),
        (s3({"s3": {"bucket": {"name": "b"}, "object": "k"}}), "no bucket or no key"),
        (s3(record("x/readme.txt")), "must begin with a project id"),
        (s3(record("x//1_a_2026-11-23T14:05_existing.csv")), "one slash"),
        (s3(record("x" * 1000 + "/" + KEY)), "more than 1024 bytes"),
        (bridge("\udc80/" + KEY), "not UTF-8"),
        # A valid name, but the name of the other file would be too long.
        (bridge("1_a_2026-11-23T14:05_exiting_" + "k" * 991 + ".csv"), "1024 bytes"),
        *(
            (s3(record(event=event)), "neither a new nor a deleted")
            for event in (
                "ObjectTagging:Put",
                "ObjectRestore:Completed",
                "LifecycleTransition",
                "Replication:OperationFailedReplication",
                "s3:ObjectCreated:PutTagging",
                "s3:ObjectCreated:DeleteTagging",
                "s3:ObjectCreated:PutRetention",
                "s3:ObjectCreated:PutLegalHold",
                "s3:ObjectAccessed:Get",
                "s3:ObjectRemoved:NoOP",
                "s3:LifecycleDelMarkerExpiration:Delete",
                "ObjectLifecycle:Expiration:AbortMultipartUpload",
                "ObjectLifecycle:Expiration:AbortMPU",
                "ObjectLifecycle:Transition:Current",
            )
        ),
        (s3({"s3": {"bucket": {"name": "b"}, "object": {"key": "%FF" + KEY}}}), "not UTF-8"),
        ({"detail-type": "AWS API Call via CloudTrail", "source": "aws.s3"}, "not a message of S3"),
    ],
)
def test_an_unrelated_event_has_a_reason(payload: object, reason: str):
    (unrelated,) = parse(payload)
    assert isinstance(unrelated, UnrelatedEvent)
    assert reason in unrelated.reason


@pytest.mark.parametrize("payload", ["", "nope", b"\xff\xfe\xfd", "[" * 100_000, "1", 3, None])
def test_a_payload_that_is_not_a_message_raises(payload: object):
    with pytest.raises(errors.InvalidNotificationError) as caught:
        parse(payload)
    assert pickle.loads(pickle.dumps(caught.value)).rule == caught.value.rule


def test_a_damaged_message_does_not_affect_the_others():
    events = parse([{"body": "{"}, {"body": json.dumps(s3(record(), record("y")))}])
    assert [type(event) for event in events] == [UnrelatedEvent, FileCreated, UnrelatedEvent]


def test_endless_envelopes_are_not_followed():
    payload: object = s3()
    for _ in range(9):
        payload = {"body": payload}
    (unrelated,) = parse(payload)
    assert isinstance(unrelated, UnrelatedEvent)
    circle: dict[str, Any] = {}
    circle["body"] = circle
    assert isinstance(parse(circle)[0], UnrelatedEvent)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Records",
                    "Messages",
                    "body",
                    "Body",
                    "Sns",
                    "Message",
                    "Type",
                    "s3",
                    "bucket",
                    "object",
                    "key",
                    "name",
                    "detail",
                    "source",
                    "eventName",
                    "eventSource",
                    "detail-type",
                    "Event",
                ]
            )
            | st.text(),
            inner | st.sampled_from(["Notification", "aws.s3", "s3:TestEvent", KEY]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES | st.binary() | st.text())
def test_law_only_our_own_error_is_raised(payload: object):
    try:
        events = parse(payload)
    except errors.CohortS3Error:
        return
    assert pickle.loads(pickle.dumps(events)) == events
    pending = PendingSyncs()
    for event in events:
        pending.add(event)


@given(JSON_VALUES)
def test_law_text_and_parsed_json_give_the_same(payload: object):
    if isinstance(payload, dict | list):
        try:
            text = json.dumps(payload, allow_nan=False)
        except ValueError:
            return
        assert parse(text) == parse(payload)


# --- Waiting for syncs ---------------------------------------------------------------


def files_of(*hours: int, bucket: str = "b", routing_key: str = "") -> list[FileCreated]:
    messages = [
        bridge(f"x/1_a_2026-11-23T{hour:02}:00_{diff_type}{routing_key}.csv")
        for hour in hours
        for diff_type in DiffType
    ]
    for message in messages:
        message["detail"]["bucket"]["name"] = bucket
    return [event for event in parse(messages) if isinstance(event, FileCreated)]


@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_law_each_sync_is_reported_once_for_any_order_and_repetition(
    order: random.Random, times: int
):
    files = [
        *files_of(1, 2, 3),
        *files_of(1, bucket="c"),
        *files_of(1, routing_key="_k"),
    ] * times
    order.shuffle(files)
    pending = PendingSyncs()
    seen = set[str]()
    arrived = list[tuple[object, ...]]()
    for file in files:
        seen.add(file.bucket + file.key)
        sync = pending.add(file)
        if sync is not None:
            arrived.append((sync.bucket, sync.stream, sync.synced_at))
            assert {sync.bucket + key for key in sync.files.values()} <= seen
            assert list(sync.files) == list(DiffType)
    assert len(arrived) == len(set(arrived)) == 5


@given(st.permutations(files_of(1, 2)), st.integers(1, 3))
def test_law_in_our_buckets_existing_alone_completes_a_sync(files: list[FileCreated], times: int):
    pending = PendingSyncs(existing_is_last=True)
    for file in [f for f in files for _ in range(times)]:
        before = pickle.dumps(pending)
        sync = pending.add(file)
        # The same event gives the same answer, so the state alone decides.
        again = pickle.loads(before)
        assert again.add(file) == sync
        if sync is not None:
            assert file.name.diff_type is DiffType.EXISTING
            assert set(sync.files.values()) == {
                f.key for f in files if f.name.synced_at == sync.synced_at
            }
    assert pending.forgotten == 0


def test_only_new_files_change_anything():
    pending = PendingSyncs(existing_is_last=True)
    (deleted,) = parse(bridge(event="Object Deleted"))
    assert pending.add(deleted) is None
    assert pending.add(UnrelatedEvent(reason="")) is None
    assert pending == PendingSyncs(existing_is_last=True)


def test_the_number_of_remembered_syncs_is_bounded_and_forgotten_ones_are_counted():
    pending = PendingSyncs(limit=2)
    first, second, third = (files_of(hour) for hour in (1, 2, 3))
    for files in (first, second, third):
        assert pending.add(files[0]) is None
    assert pending.forgotten == 1
    assert [pending.add(file) for file in second[1:]][-1] is not None
    # The first was forgotten while incomplete: only all three files complete it again.
    assert [pending.add(file) for file in first[1:]] == [None, None]
    assert pending.add(first[0]) is not None
    assert [pending.add(file) for file in third[1:]][-1] is not None
    # Reported syncs are forgotten too, the least recently mentioned first.
    assert pending.add(first[0]) is None
    assert len(pickle.dumps(pending)) < 5_000


def test_a_limit_of_zero_is_refused():
    with pytest.raises(errors.ConfigurationError, match="limit"):
        PendingSyncs(limit=0)


def test_a_repeated_event_keeps_a_reported_sync_from_being_forgotten():
    pending = PendingSyncs(existing_is_last=True, limit=2)
    first, second, third = (files_of(hour)[-1] for hour in (1, 2, 3))
    assert pending.add(first)
    assert pending.add(second)
    assert pending.add(first) is None
    assert pending.add(third)
    assert pending.add(first) is None
    assert pending.add(second)
