"""Storages in several processes: after a fork, and pickled for a new interpreter."""

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from servers import Server

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    MemoryStorage,
    S3Storage,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.errors import ArgumentTypeError, ConfigurationError

SYNC = CohortSync(destination=Destination(name="d", path="c"), project_id=1, cohort_id="abc")
CHILDREN = 4

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def in_children(work: Callable[[int], Any], *, timeout: float = 60) -> list[Any]:
    """Run a function in forked processes at the same time, and return what they return."""
    context: Any = multiprocessing.get_context("fork")
    results = context.Queue()

    def child(number: int) -> None:
        try:
            results.put((number, work(number)))
        except BaseException as error:  # noqa: BLE001
            results.put((number, repr(error)))

    processes = [context.Process(target=child, args=(n,)) for n in range(CHILDREN)]
    for process in processes:
        process.start()
    try:
        return [result for _, result in sorted(results.get(timeout=timeout) for _ in processes)]
    finally:
        for process in processes:
            process.kill()
            process.join()


def opened(server: Server, own: str) -> S3Storage:
    """A storage with a client of the caller's, a session of the caller's, or neither."""
    bucket = server.new_bucket()
    if own == "client":
        return S3Storage(bucket, client=server.client())
    session = server.session() if own == "session" else None
    return S3Storage(bucket, session=session, endpoint_url=server.url)


def credentials(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@fork
@pytest.mark.servers
@pytest.mark.parametrize("own", ["client", "session", "nothing"])
def test_forked_processes_get_the_responses_to_their_own_requests(
    radosgw: Server, monkeypatch: pytest.MonkeyPatch, own: str
):
    credentials(radosgw, monkeypatch)
    storage = opened(radosgw, own)
    for number in range(CHILDREN):
        storage.create(f"{number}/x", str(number).encode())

    def work(number: int) -> set[tuple[str, bytes]]:
        return {
            (key, storage.open(f"{number}/x").read())
            for _ in range(20)
            for key in [info.key for info in storage.list_objects(f"{number}/")]
        }

    for _ in range(3):
        list(storage.list_objects("0/"))  # leaves an open connection
        assert in_children(work) == [{(f"{n}/x", str(n).encode())} for n in range(CHILDREN)]


@fork
@pytest.mark.servers
def test_a_stream_that_was_opened_before_a_fork_continues_in_each_process(radosgw: Server):
    storage = opened(radosgw, "client")
    data = os.urandom(12 << 20)
    storage.publish(storage.stage("x", [data]))
    with storage.open("x") as stream:
        begin = stream.read(100_000)
        ends = in_children(lambda _: stream.read() == data[len(begin) :])
        assert ends == [True] * CHILDREN
        assert begin + stream.read() == data


@fork
@pytest.mark.servers
def test_a_lock_that_a_thread_held_at_the_fork_does_not_stop_the_child(moto: Server):
    storage = opened(moto, "client")
    entered, leave = threading.Event(), threading.Event()

    def wait(**_: object) -> None:
        if threading.current_thread() is thread:
            entered.set()
            leave.wait(60)

    storage.client.meta.events.register("before-send.s3.PutObject", wait)
    thread = threading.Thread(target=storage.create, args=("first", b"1"))
    thread.start()
    assert entered.wait(30)
    try:
        keys = in_children(lambda number: storage.create(f"c/{number}", b"1").key)
        assert keys == [f"c/{number}" for number in range(CHILDREN)]
    finally:
        leave.set()
        thread.join()


@fork
@pytest.mark.servers
def test_a_child_keeps_the_hooks_and_the_settings_of_the_client(moto: Server):
    storage = opened(moto, "client")

    def work(_: int) -> tuple[list[str], int]:
        sent: list[str] = []
        storage.client.meta.events.register(
            "before-send.s3.PutObject", lambda request, **_: sent.append(request.url)
        )
        storage.create(f"c/{os.getpid()}", b"1")
        config = storage.client.meta.config
        return sent[-1:], config.max_pool_connections

    size = storage.client.meta.config.max_pool_connections
    storage.create("first", b"1")
    for sent, found in in_children(work):
        assert sent[0].startswith(moto.url)
        assert found == size


@fork
@pytest.mark.servers
def test_forked_processes_sync_streams_of_their_own(moto: Server):
    storage = opened(moto, "client")
    sync_cohort(SYNC, [("1", "a")], storage)

    def work(number: int) -> list[tuple[str, ...]]:
        sync = CohortSync(destination=SYNC.destination, project_id=1, cohort_id=f"c{number}")
        sync_cohort(sync, [(str(number), "x")], storage)
        head = read_head(storage, sync.stream)
        return [] if head is None else head.members().to_list()

    assert in_children(work) == [[(str(number), "x")] for number in range(CHILDREN)]
    assert not read_history(storage, SYNC.stream).verify()


def rows_of(value: Any) -> list[tuple[str, ...]]:
    """Read what another process received; run in a new interpreter."""
    if isinstance(value, S3Storage):
        return [(info.key,) for info in value.list_objects()]
    members = value.members() if hasattr(value, "members") else value
    return list(members.to_list() if hasattr(members, "to_list") else members[-1].files)


@pytest.mark.servers
def test_what_is_read_from_a_bucket_can_be_sent_to_a_new_interpreter(
    moto: Server, monkeypatch: pytest.MonkeyPatch
):
    credentials(moto, monkeypatch)
    storage = S3Storage(moto.new_bucket(), endpoint_url=moto.url, settling_time=0.5)
    result = sync_cohort(SYNC, [("1", "a"), ("2", "b")], storage)
    head, history = read_head(storage, SYNC.stream), read_history(storage, SYNC.stream)
    assert head is not None
    values = [head, head.members(), history.members_at(result.record.synced_at)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for value in values:
            assert pool.apply(rows_of, (value,)) == [("1", "a"), ("2", "b")]
        assert pool.apply(rows_of, (storage,)) == [(info.key,) for info in storage.list_objects()]
    again = pickle.loads(pickle.dumps(history))
    assert again.verify() == ()
    assert again.events().to_list() == history.events().to_list()
    assert pickle.loads(pickle.dumps(history.intervals())).to_list() == [*history.intervals()]


def test_a_pickled_storage_has_the_same_options_and_no_credentials(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    options: dict[str, Any] = {
        "endpoint_url": "http://127.0.0.1:9",
        "region": "eu-west-1",
        "kms_key_id": "k",
        "expected_bucket_owner": "111122223333",
        "acl": "bucket-owner-full-control",
        "checksums": False,
        "part_size": 6 << 20,
        "concurrency": 2,
        "settling_time": 0.5,
        "accept_unconditional_writes": True,
        "request_options": {"RequestPayer": "requester"},
    }
    storage = S3Storage("my-bucket", **options)
    pickled = pickle.dumps(storage)
    assert b"the-secret" not in pickled
    assert b"the-key-id" not in pickled
    again = pickle.loads(pickled)
    assert again.__reduce__()[0].keywords == {"bucket": "my-bucket"} | options
    assert again.client.meta.endpoint_url == options["endpoint_url"]


def test_a_storage_that_contains_secrets_is_not_pickled():
    client = boto3.client("s3", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"0123456789abcdef" * 2}
    for storage in (
        S3Storage("my-bucket", client=client),
        S3Storage("my-bucket", session=boto3.Session(region_name="us-east-1")),
        S3Storage("my-bucket", region="us-east-1", request_options=key),
    ):
        with pytest.raises(ConfigurationError, match="can't be pickled or copied"):
            pickle.dumps(storage)
        assert b"0123456789abcdef" not in repr(vars(storage)).encode()
    with pytest.raises(ArgumentTypeError, match="use LocalStorage"):
        pickle.dumps(MemoryStorage())
