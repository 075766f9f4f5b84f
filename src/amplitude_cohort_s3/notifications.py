"""Which cohort files S3 tells of, whichever way its message came; and when a sync is whole.

Messages reach a consumer straight from S3, in bodies of SQS, in envelopes of SNS, in
both, or from EventBridge. They are delivered at least once and in any order.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast
from urllib.parse import unquote_plus

from attrs import define, evolve, field, frozen

from .errors import ConfigurationError, InvalidFileNameError, InvalidNotificationError
from .format.filename import CohortFileName, DiffType, SecondGroup
from .log.stream import CohortStream
from .storage.keys import MAX_KEY_BYTES

MAX_ENVELOPES = 8
"""How deep messages may be wrapped. S3 in SNS in SQS in a batch is five."""

MAX_PENDING = 10_000
"""How many syncs ``PendingSyncs`` remembers at most, by default."""


@frozen(kw_only=True)
class FileCreated:
    """A cohort file has become visible.

    Attributes:
        bucket: Where.
        key: Its whole key, decoded.
        stream: Whose file it is, as ``read_history`` takes it; its path is the key's folder.
        name: The parts of its name.
        version_id: The object's version, in a bucket that keeps versions.
        etag: The store's digest of the object.
        sequencer: Orders the events of one key: the greater hexadecimal number is later.
    """

    bucket: str
    key: str
    stream: CohortStream
    name: CohortFileName
    version_id: str | None = None
    etag: str | None = None
    sequencer: str | None = None


@frozen(kw_only=True)
class FileDeleted:
    """A cohort file is gone, or a delete marker hides it.

    Attributes:
        bucket: Where.
        key: Its whole key, decoded.
        stream: Whose file it is, as ``read_history`` takes it; its path is the key's folder.
        name: The parts of its name.
        version_id: The version that was deleted, or that of the marker.
        sequencer: As in :class:`FileCreated`.
    """

    bucket: str
    key: str
    stream: CohortStream
    name: CohortFileName
    version_id: str | None = None
    sequencer: str | None = None


@frozen(kw_only=True)
class SetupMessage:
    """What AWS sends when notifications are set up; there is no file.

    Attributes:
        kind: ``s3:TestEvent``, or SNS's ``SubscriptionConfirmation`` and
            ``UnsubscribeConfirmation``.
        bucket: Of a test event.
    """

    kind: str
    bucket: str | None = None


@frozen(kw_only=True)
class Stranger:
    """A message, or a part of one, that tells of no cohort file.

    Attributes:
        reason: Why not.
        bucket: Where it tells of an object.
        key: The object's key; as it came, if it can't be decoded.
    """

    reason: str
    bucket: str | None = None
    key: str | None = None


Notification = FileCreated | FileDeleted | SetupMessage | Stranger
"""What a message may tell."""


def parse(payload: object, *, second_group: SecondGroup = "minutes") -> tuple[Notification, ...]:
    """What a message tells of cohort files.

    Keys are URL-encoded in S3's own messages, with ``+`` for a blank, wherever these are
    wrapped; in EventBridge's they are not. Each is decoded exactly once.

    Args:
        payload: What Lambda, SQS, SNS or EventBridge handed over: JSON as ``str`` or
            ``bytes``, a mapping, or a list of messages.
        second_group: What the second of two groups in a name's time means: see
            ``NameStyle``.

    Returns:
        One value for each thing told, in the order of the message. A damaged message
        among others is a ``Stranger``: it does not hold up the rest.

    Raises:
        InvalidNotificationError: The payload itself is no JSON object or list.

    Sources: "Event message structure" and "EventBridge event message structure" in
    the S3 user guide.

    >>> told = parse({"Records": [{"eventName": "ObjectCreated:Put", "s3": {
    ...     "bucket": {"name": "b"},
    ...     "object": {"key": "x/1_a_2026-11-23T14%3A05_existing_my+key.csv"}}}]})
    >>> told[0].key, told[0].name.routing_key
    ('x/1_a_2026-11-23T14:05_existing_my key.csv', 'my key')
    """
    return tuple(_read(_decoded(payload), 0, second_group))


def _decoded(payload: object) -> object:
    """The payload, where it is text the value of its JSON.

    Raises:
        InvalidNotificationError: It is neither JSON nor an object or a list.
    """
    if isinstance(payload, str | bytes | bytearray):
        try:
            payload = json.loads(payload)
        # ValueError is bad JSON, bad UTF-8 and a number of too many digits.
        except (ValueError, RecursionError):
            raise InvalidNotificationError("it is not JSON") from None
    if not isinstance(payload, Mapping | list | tuple):
        raise InvalidNotificationError(f"it is a {type(payload).__name__}, not an object or a list")
    return cast("object", payload)


def _read(payload: Any, depth: int, second_group: SecondGroup) -> Iterator[Notification]:
    if depth > MAX_ENVELOPES:
        yield Stranger(reason=f"it is wrapped more than {MAX_ENVELOPES} times")
        return

    def inner(content: object) -> Iterator[Notification]:
        try:
            content = _decoded(content)
        except InvalidNotificationError as error:
            yield Stranger(reason=error.rule)
        else:
            yield from _read(content, depth + 1, second_group)

    match payload:
        case [*messages] | {"Records": [*messages]} | {"Messages": [*messages]}:
            for message in messages:
                yield from inner(message)
        case {"Event": "s3:TestEvent"}:
            yield SetupMessage(kind="s3:TestEvent", bucket=_text(payload, "Bucket"))
        case {"Type": "SubscriptionConfirmation" | "UnsubscribeConfirmation" as kind}:
            yield SetupMessage(kind=kind)
        case {"s3": {"bucket": bucket, "object": about}}:
            event = (_text(payload, "eventName") or "").removeprefix("s3:")
            yield _told(event, bucket, about, second_group, encoded=True)
        case {"source": "aws.s3", "detail": {"bucket": bucket, "object": about}}:
            event = _text(payload, "detail-type") or ""
            yield _told(event, bucket, about, second_group, encoded=False)
        case {"Sns": {"Message": content}} | {"Type": "Notification", "Message": content}:
            yield from inner(content)
        case {"body": content} | {"Body": content}:
            yield from inner(content)
        case _:
            yield Stranger(reason="it is no message of S3, SQS, SNS or EventBridge")


_CREATED = ("ObjectCreated:", "Object Created")
_DELETED = ("ObjectRemoved:", "LifecycleExpiration:", "Object Deleted")


def _told(
    event: str, bucket: object, about: object, second_group: SecondGroup, *, encoded: bool
) -> Notification:
    """What one message tells of one object."""
    place, key = _text(bucket, "name"), _text(about, "key")
    if place is None or key is None:
        return Stranger(reason="it names no bucket or no key", bucket=place)
    try:
        key = _decoded_key(key) if encoded else key
        if len(key.encode()) > MAX_KEY_BYTES:
            return Stranger(reason=f"its key has over {MAX_KEY_BYTES} bytes", bucket=place)
        path, name = CohortFileName.from_key(key, second_group=second_group)
        stream = CohortStream(
            project_id=name.project_id,
            cohort_id=name.cohort_id,
            path=path,
            routing_key=name.routing_key,
        )
    except UnicodeError:
        return Stranger(reason="its key is not UTF-8", bucket=place, key=key)
    except InvalidFileNameError as error:
        return Stranger(reason=error.rule, bucket=place, key=key)
    version_id = _text(about, "versionId") or _text(about, "version-id")
    sequencer = _text(about, "sequencer")
    if event.startswith(_CREATED):
        return FileCreated(
            bucket=place,
            key=key,
            stream=stream,
            name=name,
            version_id=version_id,
            etag=_text(about, "eTag") or _text(about, "etag"),
            sequencer=sequencer,
        )
    if event.startswith(_DELETED):
        return FileDeleted(
            bucket=place,
            key=key,
            stream=stream,
            name=name,
            version_id=version_id,
            sequencer=sequencer,
        )
    return Stranger(reason="it tells of no new and of no deleted object", bucket=place, key=key)


def _decoded_key(key: str) -> str:
    # Strict, since a replacement character would name another object.
    return unquote_plus(key, errors="strict")


def _text(of: object, name: str) -> str | None:
    """A member of a JSON object, where it is text."""
    value = cast("Mapping[str, Any]", of).get(name) if isinstance(of, Mapping) else None
    return value if isinstance(value, str) else None


@frozen(kw_only=True)
class ArrivedSync:
    """A sync whose three files are there.

    Attributes:
        bucket: Where.
        stream: Whose, as ``read_history`` takes it.
        synced_at: The time in its names, in UTC.
        files: The keys of the three.
    """

    bucket: str
    stream: CohortStream
    synced_at: datetime
    files: Mapping[DiffType, str]


_Identity = tuple[str, CohortStream, datetime]


@define(kw_only=True)
class PendingSyncs:
    """Waits for the files of syncs, which arrive in any order and more than once.

    Feed it what :func:`parse` gives; it answers with a sync once, when that is whole.
    It remembers a bounded number of syncs: of those that wait, and of those that it
    answered with, the ones longest untouched are forgotten first. A sync forgotten
    while it waited is never answered with (list the bucket to find it); one that is
    forgotten afterwards could come again, so let a consumer be idempotent.

    Not for several threads at once. It pickles.

    Attributes:
        existing_is_last: That this library wrote the bucket: then ``existing`` appears
            when its companions are there, and it alone makes a sync whole.
            Amplitude promises no order.
        limit: How many syncs it remembers, waiting and answered each.
        forgotten: How many it forgot while they waited.

    Raises:
        ConfigurationError: ``limit`` is not positive.

    >>> pending = PendingSyncs(existing_is_last=True)
    >>> message = {"source": "aws.s3", "detail-type": "Object Created", "detail": {
    ...     "bucket": {"name": "b"}, "object": {"key": "x/1_a_2026-11-23T14:05_existing.csv"}}}
    >>> for told in parse([message, message]):
    ...     if (sync := pending.add(told)) is not None:
    ...         print(sync.files[DiffType.ENTERING])
    x/1_a_2026-11-23T14:05_entering.csv
    """

    existing_is_last: bool = False
    limit: int = MAX_PENDING
    forgotten: int = field(default=0, init=False)
    # Insertion order is the order of the last touch: the first is forgotten first.
    _waiting: dict[_Identity, dict[DiffType, str]] = field(
        factory=dict[_Identity, dict[DiffType, str]], init=False, repr=False
    )
    _answered: dict[_Identity, None] = field(factory=dict[_Identity, None], init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.limit < 1:
            fault = f"limit must be 1 or more, and is {self.limit!r}"
            raise ConfigurationError("PendingSyncs", (fault,))

    def add(self, notification: Notification) -> ArrivedSync | None:
        """Takes note of what was told; gives the sync that became whole by it, or None.

        Everything but a created file changes nothing.
        """
        if not isinstance(notification, FileCreated):
            return None
        file = notification
        identity = (file.bucket, file.stream, file.name.synced_at)
        if identity in self._answered:
            _put_last(self._answered, identity, None, self.limit)
            return None
        if self.existing_is_last:
            if file.name.diff_type is not DiffType.EXISTING:
                return None
            files = {t: evolve(file.name, diff_type=t).key(file.stream.path) for t in DiffType}
        else:
            found = self._waiting.pop(identity, {})
            found.setdefault(file.name.diff_type, file.key)
            if len(found) < len(DiffType):
                self.forgotten += _put_last(self._waiting, identity, found, self.limit)
                return None
            files = {t: found[t] for t in DiffType}
        _put_last(self._answered, identity, None, self.limit)
        return ArrivedSync(
            bucket=file.bucket, stream=file.stream, synced_at=file.name.synced_at, files=files
        )


_T = TypeVar("_T")


def _put_last(kept: dict[_Identity, _T], identity: _Identity, value: _T, limit: int) -> bool:
    """Puts an entry at the end; returns whether that pushed the first one out."""
    kept.pop(identity, None)
    kept[identity] = value
    if len(kept) <= limit:
        return False
    del kept[next(iter(kept))]
    return True
