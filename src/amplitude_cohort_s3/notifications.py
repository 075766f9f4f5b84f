"""Notifications of S3 about cohort files, and the syncs whose files have arrived.

Messages reach a consumer directly from S3, in bodies of SQS, in envelopes of SNS, in both, or
from EventBridge. They are delivered at least once and in any order.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast
from urllib.parse import unquote_plus

from attrs import define, evolve, field, frozen

from .errors import ConfigurationError, InvalidFileNameError, InvalidNotificationError
from .format.filename import CohortFileName, DiffType, SecondGroup
from .log.stream import CohortStream, stream_of
from .storage.keys import MAX_KEY_BYTES

MAX_ENVELOPES = 8
"""The number of envelopes around a message that are opened. S3 in SNS in SQS in a batch has
five."""

MAX_PENDING = 10_000
"""The default number of syncs that ``PendingSyncs`` remembers."""


@frozen(kw_only=True)
class FileEvent:
    """A change of a cohort file.

    Attributes:
        bucket: The bucket.
        key: The file's whole key, decoded.
        stream: The file's stream, for ``read_history``. Its path is the folder of the key.
        name: The parts of the file's name.
        version_id: The version of the object, in a bucket that keeps versions. After a
            deletion it is the deleted version or the delete marker.
        sequencer: A hexadecimal number that grows with the events of one key.
    """

    bucket: str
    key: str
    stream: CohortStream
    name: CohortFileName
    version_id: str | None = None
    sequencer: str | None = None


@frozen(kw_only=True)
class FileCreated(FileEvent):
    """A cohort file has become visible.

    Attributes:
        etag: The store's digest of the object.
    """

    etag: str | None = None


@frozen(kw_only=True)
class FileDeleted(FileEvent):
    """A cohort file was deleted, or a delete marker hides it."""


@frozen(kw_only=True)
class SetupMessage:
    """A message that AWS sends when notifications are set up. It is not about a file.

    Attributes:
        kind: ``s3:TestEvent``, or SNS's ``SubscriptionConfirmation`` or
            ``UnsubscribeConfirmation``.
        bucket: The bucket of a test event.
    """

    kind: str
    bucket: str | None = None


@frozen(kw_only=True)
class UnrelatedEvent:
    """A message, or a part of one, that is not about a cohort file.

    Attributes:
        reason: The reason why the message is unrelated.
        bucket: The bucket, if the message is about an object.
        key: The object's key; if it can't be decoded, as it was sent.
    """

    reason: str
    bucket: str | None = None
    key: str | None = None


Notification = FileCreated | FileDeleted | SetupMessage | UnrelatedEvent
"""The content of a message."""


def parse(payload: object, *, second_group: SecondGroup = "minutes") -> tuple[Notification, ...]:
    """Return the events about cohort files in a message.

    Keys in messages of S3 and MinIO are URL-encoded, with ``+`` for a space, in any envelope.
    Keys in messages of Ceph and EventBridge are not encoded. No key is decoded twice.

    Args:
        payload: The message from Lambda, SQS, SNS, EventBridge or a store such as MinIO or
            Ceph: JSON as ``str`` or ``bytes``, a mapping, or a list of messages.
        second_group: The meaning of the second of two groups in a name's time: see
            ``NameStyle``.

    Returns:
        One value for each event, in the order of the message. A damaged message among others
        is an ``UnrelatedEvent``, so the others are still returned.

    Raises:
        InvalidNotificationError: The payload is neither a JSON object nor a list.

    Sources: "Event message structure" and "EventBridge event message structure" in the S3
    user guide, and "Bucket Notifications" in the documentation of Ceph.

    >>> event, = parse({"Records": [{"eventName": "ObjectCreated:Put", "s3": {
    ...     "bucket": {"name": "b"},
    ...     "object": {"key": "x/1_a_2026-11-23T14%3A05_existing_my+key.csv"}}}]})
    >>> event.key, event.name.routing_key
    ('x/1_a_2026-11-23T14:05_existing_my key.csv', 'my key')
    """
    return tuple(_events(_parse_json(payload), second_group))


def _parse_json(payload: object) -> object:
    """Return the payload, parsed if it is text."""
    if isinstance(payload, str | bytes | bytearray):
        try:
            payload = json.loads(payload)
        # ValueError means malformed JSON, malformed UTF-8 or a number with too many digits.
        except (ValueError, RecursionError):
            raise InvalidNotificationError("it is not JSON") from None
    if not isinstance(payload, Mapping | list | tuple):
        found = type(payload).__name__
        raise InvalidNotificationError(f"its type is {found}, not an object or a list")
    return cast("object", payload)


def _events(payload: object, second_group: SecondGroup, depth: int = 0) -> Iterator[Notification]:
    """Yield the events in a message, opening its envelopes by recursion."""
    if depth > MAX_ENVELOPES:
        yield UnrelatedEvent(reason=f"it is in more than {MAX_ENVELOPES} envelopes")
        return
    try:
        content: Any = _parse_json(payload)
    except InvalidNotificationError as error:
        yield UnrelatedEvent(reason=error.rule)
        return
    match content:
        case [*messages] | {"Records": [*messages]} | {"Messages": [*messages]}:
            for message in messages:
                yield from _events(message, second_group, depth + 1)
        case {"Event": "s3:TestEvent"}:
            yield SetupMessage(kind="s3:TestEvent", bucket=_text(content, "Bucket"))
        case {"Type": "SubscriptionConfirmation" | "UnsubscribeConfirmation" as kind}:
            yield SetupMessage(kind=kind)
        case {"s3": {"bucket": bucket, "object": about}}:
            event = (_text(content, "eventName") or "").removeprefix("s3:")
            is_of_ceph = (_text(content, "eventSource") or "").startswith("ceph:")
            yield _parse_event(event, bucket, about, second_group, encoded=not is_of_ceph)
        case {"source": "aws.s3", "detail": {"bucket": bucket, "object": about}}:
            event = _text(content, "detail-type") or ""
            yield _parse_event(event, bucket, about, second_group, encoded=False)
        case (
            {"Sns": {"Message": inner}}
            | {"Type": "Notification", "Message": inner}
            | {"body": inner}
            | {"Body": inner}
        ):
            yield from _events(inner, second_group, depth + 1)
        case _:
            yield UnrelatedEvent(reason="it is not a message of S3, SQS, SNS or EventBridge")


# The beginnings of the events' names: S3's, EventBridge's, and those that only Ceph sends.
# https://docs.ceph.com/en/latest/radosgw/s3-notification-compatibility/#event-types
_CREATED = ("ObjectCreated:", "Object Created", "ObjectSynced:Create", "Replication:Create")
_DELETED = (
    *("ObjectRemoved:", "LifecycleExpiration:", "Object Deleted", "ObjectLifecycle:Expiration:"),
    *("ObjectSynced:Delet", "Replication:Delet"),
)
# Events with names like those above that report something else. Ceph reports an upload that a
# rule aborts as an expiration. MinIO reports a change of tags or retention as a creation, and the
# deletion of a missing object as a deletion.
_NEITHER = (
    "ObjectLifecycle:Expiration:Abort",
    *(f"ObjectCreated:{name}" for name in ("PutTagging", "DeleteTagging", "PutRetention")),
    *("ObjectCreated:PutLegalHold", "ObjectRemoved:NoOP"),
)


def _parse_event(
    event: str, about_bucket: object, about: object, second_group: SecondGroup, *, encoded: bool
) -> Notification:
    """Return the event that one message reports about one object."""
    bucket, key = _text(about_bucket, "name"), _text(about, "key")
    if bucket is None or key is None:
        return UnrelatedEvent(reason="it has no bucket or no key", bucket=bucket)
    try:
        # Decoding is strict: with a replacement character, it would be another object's key.
        key = unquote_plus(key, errors="strict") if encoded else key
        if len(key.encode()) > MAX_KEY_BYTES:
            reason = f"its key has more than {MAX_KEY_BYTES} bytes"
            return UnrelatedEvent(reason=reason, bucket=bucket)
        path, name = CohortFileName.from_key(key, second_group=second_group)
        facts: dict[str, Any] = {
            "bucket": bucket,
            "key": key,
            "stream": stream_of(path, name),
            "name": name,
            "version_id": _text(about, "versionId") or _text(about, "version-id"),
            "sequencer": _text(about, "sequencer"),
        }
        if not event.startswith(_NEITHER):
            if event.startswith(_CREATED):
                return FileCreated(**facts, etag=_text(about, "eTag") or _text(about, "etag"))
            if event.startswith(_DELETED):
                return FileDeleted(**facts)
        reason = "it reports neither a new nor a deleted object"
    except UnicodeError:
        reason = "its key is not UTF-8"
    except InvalidFileNameError as error:
        reason = error.rule
    return UnrelatedEvent(reason=reason, bucket=bucket, key=key)


def _text(json_object: object, name: str) -> str | None:
    """Return a member of a JSON object if it is text; Ceph sends empty text for no value."""
    if not isinstance(json_object, Mapping):
        return None
    value = cast("Mapping[str, Any]", json_object).get(name)
    return value if value and isinstance(value, str) else None


@frozen(kw_only=True)
class ArrivedSync:
    """A sync whose three files have arrived.

    Attributes:
        bucket: The bucket.
        stream: The sync's stream, for ``read_history``.
        synced_at: The time in the file names, in UTC.
        files: The keys of the three files.
    """

    bucket: str
    stream: CohortStream
    synced_at: datetime
    files: Mapping[DiffType, str]


_Identity = tuple[str, CohortStream, datetime]


@define(kw_only=True)
class PendingSyncs:
    """A collector that reports each sync once, when its files have arrived.

    Files may arrive in any order and repeatedly. The collector remembers at most ``limit``
    incomplete syncs and ``limit`` reported ones, and forgets the least recently mentioned
    first. A sync that was forgotten while incomplete is never reported: list the bucket to
    find it. One that was forgotten after it was reported may be reported again, so a consumer
    must be idempotent.

    It can be pickled. It is not thread-safe.

    Attributes:
        existing_is_last: True if this library wrote the bucket. Then ``existing`` appears
            after the other two files, so it alone makes a sync complete. Amplitude does not
            guarantee an order.
        limit: The number of incomplete syncs, and of reported ones, that are remembered.
        forgotten: The number of syncs that were forgotten while incomplete.

    Raises:
        ConfigurationError: ``limit`` is not positive.

    >>> pending = PendingSyncs(existing_is_last=True)
    >>> message = {"source": "aws.s3", "detail-type": "Object Created", "detail": {
    ...     "bucket": {"name": "b"}, "object": {"key": "x/1_a_2026-11-23T14:05_existing.csv"}}}
    >>> for event in parse([message, message]):
    ...     if (sync := pending.add(event)) is not None:
    ...         print(sync.files[DiffType.ENTERING])
    x/1_a_2026-11-23T14:05_entering.csv
    """

    existing_is_last: bool = False
    limit: int = MAX_PENDING
    forgotten: int = field(default=0, init=False)
    # Both are in the order in which the syncs were last mentioned, the oldest first.
    _incomplete: dict[_Identity, dict[DiffType, str]] = field(
        factory=dict[_Identity, dict[DiffType, str]], init=False, repr=False
    )
    _reported: dict[_Identity, None] = field(factory=dict[_Identity, None], init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.limit < 1:
            fault = f"limit must be at least 1, not {self.limit!r}"
            raise ConfigurationError("PendingSyncs", (fault,))

    def add(self, notification: Notification) -> ArrivedSync | None:
        """Record an event, and return the sync that it completes, or None.

        Only a :class:`FileCreated` changes anything.
        """
        if not isinstance(notification, FileCreated):
            return None
        file = notification
        identity = (file.bucket, file.stream, file.name.synced_at)
        if identity in self._reported:
            _put_last(self._reported, identity, None, self.limit)
            return None
        if self.existing_is_last:
            if file.name.diff_type is not DiffType.EXISTING:
                return None
            files = {t: evolve(file.name, diff_type=t).key(file.stream.path) for t in DiffType}
        else:
            found = self._incomplete.pop(identity, {})
            found.setdefault(file.name.diff_type, file.key)
            if len(found) < len(DiffType):
                self.forgotten += _put_last(self._incomplete, identity, found, self.limit)
                return None
            files = {t: found[t] for t in DiffType}
        _put_last(self._reported, identity, None, self.limit)
        return ArrivedSync(
            bucket=file.bucket, stream=file.stream, synced_at=file.name.synced_at, files=files
        )


_T = TypeVar("_T")


def _put_last(kept: dict[_Identity, _T], identity: _Identity, value: _T, limit: int) -> bool:
    """Put an entry at the end, and return True if the first one had to be removed."""
    kept.pop(identity, None)
    kept[identity] = value
    if len(kept) <= limit:
        return False
    del kept[next(iter(kept))]
    return True
