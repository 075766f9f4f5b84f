"""Each request of each method meets each fault of a network; each result is right or unknown.

A proxy between the client and the server makes the faults. A result is what a method returns or
raises. It is compared with the same bucket, read without the proxy.
``UnknownOutcomeError`` is always allowed, because it claims nothing.
"""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from itertools import count, product
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen
from servers import Server

from amplitude_cohort_s3 import CohortS3Error
from amplitude_cohort_s3.errors import ObjectExistsError, StagedGoneError, UnknownOutcomeError
from amplitude_cohort_s3.storage import StagedObject, StagedState
from amplitude_cohort_s3.storage.s3.storage import S3Storage
from amplitude_cohort_s3.testing.cut_matrix import FIRST, SECOND
from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy, NetworkFault
from amplitude_cohort_s3.testing.invariants import assert_invariants
from amplitude_cohort_s3.testing.small_cohort import STREAM, content, sync_ids

pytestmark = pytest.mark.servers

FAULTS: dict[str, dict[str, Any]] = {
    "answer lost": {"fault": NetworkFault.LOSE_ANSWER},
    "reset before": {"fault": NetworkFault.RESET_BEFORE},
    "reset after": {"fault": NetworkFault.RESET_AFTER},
    "stall": {"fault": NetworkFault.STALL, "seconds": 0.9},
    "body cut short": {"fault": NetworkFault.CUT_BODY},
    "bit flipped": {"fault": NetworkFault.FLIP_BIT},
    "503 before": {"fault": NetworkFault.ERROR_BEFORE},
    "503 after": {"fault": NetworkFault.ERROR_AFTER},
    "500 before": {"fault": NetworkFault.ERROR_BEFORE, "status": 500, "code": "InternalError"},
    "500 after": {"fault": NetworkFault.ERROR_AFTER, "status": 500, "code": "InternalError"},
    "409 before": {
        "fault": NetworkFault.ERROR_BEFORE,
        "status": 409,
        "code": "ConditionalRequestConflict",
    },
    "409 after": {
        "fault": NetworkFault.ERROR_AFTER,
        "status": 409,
        "code": "ConditionalRequestConflict",
    },
    "200 with an error before": {
        "fault": NetworkFault.ERROR_BEFORE,
        "status": 200,
        "code": "InternalError",
    },
    "200 with an error after": {
        "fault": NetworkFault.ERROR_AFTER,
        "status": 200,
        "code": "InternalError",
    },
    "412 of nothing": {
        "fault": NetworkFault.ERROR_BEFORE,
        "status": 412,
        "code": "PreconditionFailed",
    },
    "412 after a success": {
        "fault": NetworkFault.ERROR_AFTER,
        "status": 412,
        "code": "PreconditionFailed",
    },
}

REQUESTS: dict[str, dict[str, str]] = {
    "create": {"method": "PUT", "path": r"/key-\d+$"},
    "begin": {"method": "POST", "path": r"\?uploads"},
    "part": {"method": "PUT", "path": "partNumber="},
    "complete": {"method": "POST", "path": "uploadId="},
    "abort": {"method": "DELETE", "path": "uploadId="},
    "parts": {"method": "GET", "path": "uploadId="},
    "head": {"method": "HEAD", "path": r"/key-\d+$"},
    "get": {"method": "GET", "path": r"/key-\d+$"},
    "list": {"method": "GET", "path": "list-type=2"},
}


@frozen
class World:
    """One key of a bucket, reached through the proxy and without it."""

    storage: S3Storage
    truth: S3Storage
    key: str

    def bytes_there(self) -> bytes | None:
        found = [info for info in self.truth.list_objects(self.key) if info.key == self.key]
        if not found:
            return None
        with self.truth.open(self.key) as stream:
            return stream.read()

    def staged(self) -> StagedObject:
        return self.truth.stage(self.key, [b"mine"])


# --- The allowed results of each method -----------------------------------------------------


def create(world: World) -> None:
    try:
        world.storage.create(world.key, b"mine")
    except UnknownOutcomeError:
        return
    except ObjectExistsError:
        assert world.bytes_there() not in (None, b"mine")
    except CohortS3Error:
        assert world.bytes_there() != b"mine"
    else:
        assert world.bytes_there() == b"mine"


def create_where_another_is(world: World) -> None:
    world.truth.create(world.key, b"another's")
    create(world)
    assert world.bytes_there() == b"another's"


def create_again(world: World) -> None:
    world.truth.create(world.key, b"mine")
    try:
        world.storage.create(world.key, b"mine")
    except ObjectExistsError:
        pytest.fail("its own bytes are called another's")
    except CohortS3Error:
        pass


def stage(world: World) -> None:
    try:
        staged = world.storage.stage(world.key, [b"mine"])
    except CohortS3Error:
        assert world.bytes_there() is None
        return
    assert world.truth.inspect(staged) is StagedState.STAGED
    world.truth.publish(staged)
    assert world.bytes_there() == b"mine"


def _publish(world: World, staged: StagedObject, before: StagedState) -> None:
    try:
        world.storage.publish(staged)
    except UnknownOutcomeError:
        return
    except ObjectExistsError:
        assert world.bytes_there() == b"another's"
    except StagedGoneError:
        assert world.truth.inspect(staged) is StagedState.GONE
    except CohortS3Error:
        assert world.truth.inspect(staged) is before
    else:
        assert world.truth.inspect(staged) is StagedState.PUBLISHED
        assert world.bytes_there() == b"mine"


def publish(world: World) -> None:
    _publish(world, world.staged(), StagedState.STAGED)


def publish_where_another_is(world: World) -> None:
    staged = world.staged()
    world.truth.create(world.key, b"another's")
    _publish(world, staged, StagedState.STAGED)
    assert world.bytes_there() == b"another's"


def publish_what_is_gone(world: World) -> None:
    staged = world.staged()
    world.truth.discard(staged)
    _publish(world, staged, StagedState.GONE)
    assert world.bytes_there() is None


def publish_again(world: World) -> None:
    staged = world.staged()
    world.truth.publish(staged)
    _publish(world, staged, StagedState.PUBLISHED)
    assert world.bytes_there() == b"mine"


def discard(world: World) -> None:
    staged = world.staged()
    try:
        world.storage.discard(staged)
    except UnknownOutcomeError:
        return
    except CohortS3Error:
        assert world.truth.inspect(staged) is StagedState.STAGED
    else:
        assert world.truth.inspect(staged) is StagedState.GONE


def discard_what_is_published(world: World) -> None:
    staged = world.staged()
    world.truth.publish(staged)
    with suppress(CohortS3Error):
        world.storage.discard(staged)
    assert world.truth.inspect(staged) is StagedState.PUBLISHED


def _inspect(world: World, staged: StagedObject) -> None:
    try:
        state = world.storage.inspect(staged)
    except CohortS3Error:
        return
    assert state is world.truth.inspect(staged)


def inspect_what_is_staged(world: World) -> None:
    _inspect(world, world.staged())


def inspect_what_is_published(world: World) -> None:
    staged = world.staged()
    world.truth.publish(staged)
    _inspect(world, staged)


def inspect_what_is_gone(world: World) -> None:
    staged = world.staged()
    world.truth.discard(staged)
    _inspect(world, staged)


def read(world: World) -> None:
    data = bytes(range(256)) * 16
    world.truth.create(world.key, data)
    try:
        with world.storage.open(world.key) as stream:
            found = stream.read()
    except CohortS3Error:
        return
    assert found == data


def list_keys(world: World) -> None:
    names = [f"{world.key}/{n}" for n in range(3)]
    for name in names:
        world.truth.create(name, b"")
    try:
        found = [info.key for info in world.storage.list_objects(f"{world.key}/")]
    except CohortS3Error:
        return
    assert found == names


VERBS: dict[Callable[[World], None], tuple[str, ...]] = {
    create: ("create", "get"),
    create_where_another_is: ("create", "get"),
    create_again: ("create", "get"),
    stage: ("begin", "part"),
    publish: ("complete", "head", "parts"),
    publish_where_another_is: ("complete", "head", "parts"),
    publish_what_is_gone: ("complete", "head", "parts"),
    publish_again: ("complete", "head"),
    discard: ("abort", "parts"),
    discard_what_is_published: ("abort", "parts"),
    inspect_what_is_staged: ("parts",),
    inspect_what_is_published: ("parts", "head"),
    inspect_what_is_gone: ("parts", "head"),
    read: ("get",),
    list_keys: ("list",),
}
"""Each verb in each situation, and the requests that it may send."""

FLIPPED = {
    *((verb, "bit flipped", times) for verb in (read, list_keys) for times in (1, 99)),
    (create_again, "bit flipped", 99),
}
"""What a storage can't see over plain HTTP, where bytes have no checksum: TLS would. The
readers can, as the log holds a digest of all that is read; and a flipped key of a listing is
no name that the log knows. What a sync makes of it is the last test's subject.
"""

NUMBERS = count()


class Network:
    """A bucket behind a proxy."""

    def __init__(self, server: Server, proxy: FaultyProxy, attempts: int) -> None:
        self.proxy = proxy
        client = server.client(
            proxy.url,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            read_timeout=0.6,
        )
        self.storage = S3Storage(server.new_bucket(), client=client, settling_time=0.06)
        self.truth = S3Storage(self.storage.bucket, client=server.client(), settling_time=0.06)
        self.truth.create("past the probe", b"")
        # A machine under load may time out even here.
        for last in (False, False, True):
            with nullcontext() if last else suppress(CohortS3Error):
                self.storage.create("past the probe", b"")
                break

    def meets(self, verb: Callable[[World], None], request: str, fault: str, times: int) -> bool:
        """Call the method with a fault, and return whether it sent the request."""
        world = World(self.storage, self.truth, f"key-{next(NUMBERS)}")
        self.proxy.clear_faults()
        self.proxy.cause(**FAULTS[fault], **REQUESTS[request], times=times)
        try:
            verb(world)
        except BaseException as error:
            error.add_note(f"the request {request!r} met {fault!r}, {times} times")
            raise
        return self.proxy.faults > 0


@pytest.fixture
def without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore sleeps up to a second before each retry."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("amplitude_cohort_s3.storage.s3._reader._PAUSES", (0, 0, 0, 0))


@pytest.mark.usefixtures("without_backoff")
@pytest.mark.parametrize(
    ("attempts", "times"),
    [(1, 1), (1, 99), (3, 1)],
    ids=["one attempt, once", "one attempt, always", "botocore retries, once"],
)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_no_network_fault_makes_a_result_wrong(
    moto: Server,
    proxy: FaultyProxy,
    verb: Callable[[World], None],
    attempts: int,
    times: int,
    record_property: Callable[[str, object], None],
) -> None:
    network = Network(moto, proxy, attempts)
    record_property(
        "cases",
        sum(
            network.meets(verb, request, fault, times)
            for request, fault in product(VERBS[verb], FAULTS)
            if (fault, times) != ("stall", 99)  # Once is enough, because it takes long.
            and (verb, fault, times) not in FLIPPED
        ),
    )


@pytest.mark.usefixtures("without_backoff")
@pytest.mark.parametrize(
    "verb",
    [create, create_where_another_is, publish, publish_where_another_is, discard, read],
    ids=lambda verb: verb.__name__,
)
def test_no_network_fault_makes_a_result_of_radosgw_wrong(
    radosgw: Server,
    verb: Callable[[World], None],
    record_property: Callable[[str, object], None],
) -> None:
    with FaultyProxy(radosgw.url) as proxy:
        network = Network(radosgw, proxy, attempts=1)
        record_property(
            "cases",
            sum(
                network.meets(verb, request, fault, 1)
                for request, fault in product(VERBS[verb], FAULTS)
                if (verb, fault, 1) not in FLIPPED
            ),
        )


# --- A whole sync --------------------------------------------------------------------------


@pytest.mark.usefixtures("without_backoff")
@pytest.mark.parametrize("fault", ["answer lost", "bit flipped"])
def test_a_sync_with_a_network_fault_at_any_request_loses_nothing(
    moto: Server,
    proxy: FaultyProxy,
    fault: str,
    record_property: Callable[[str, object], None],
) -> None:
    """The result that the sync reports must be true too."""
    network = Network(moto, proxy, attempts=1)
    prepare(network)
    sync_ids(network.storage, SECOND, 1)
    expected = content(network.truth)
    requests = len(proxy.seen)
    cases = 0
    for first in range(1, requests + 1):
        network = Network(moto, proxy, attempts=1)
        prepare(network)
        proxy.cause(**FAULTS[fault], first=first)
        try:
            sync_ids(network.storage, SECOND, 1)
        except CohortS3Error:
            told = False
        else:
            told = True
        cases += proxy.faults
        found = assert_invariants(network.truth, STREAM)
        assert len(found.published) == 2 or not told
        sync_ids(network.truth, SECOND, 1)
        assert content(network.truth) == expected
        assert_invariants(network.truth, STREAM, earlier=found)
    assert cases > requests / 2
    record_property("cases", cases)


def prepare(network: Network) -> None:
    sync_ids(network.truth, FIRST, 0)
    network.proxy.clear_faults()
