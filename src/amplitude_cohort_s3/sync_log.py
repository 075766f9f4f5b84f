"""The log of a stream: one record per sync, one outcome per record, and their keys.

The log makes three files one decision. Under ``CohortStream.log_prefix`` each sync has

- ``<99999999-n>-<n>.json``, record n: what was decided. It is created once, and that
  one write is the decision.
- ``<99999999-n>-<n>.end.json``, its outcome: published or void. It is created once too.

The first number counts down, so the first key of a listing is the newest record, or its
outcome: finding the head costs one listing and one read, however long the history is.
"""

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, Self, TypeVar

from attrs import field, frozen

from .content import ContentPart, FileContent
from .destination import CohortStream, ExistingMeaning
from .errors import CohortS3Error, RecordFormatError
from .filename import CohortFileName, DiffType, to_utc
from .rows import RowSchema
from .storage._protocol import ObjectInfo, StagedObject

SCHEMA_VERSION = 1
"""The version of the records' form; a reader refuses those of a later one."""

OpenObject = Callable[[str], BinaryIO]
"""Opens an object by its key: ``Storage.open``."""

MAX_NUMBER = 99_999_999

T = TypeVar("T")

_LOG_KEY = re.compile(r"(?P<down>[0-9]{8})-(?P<up>[0-9]{8})(?P<end>\.end)?\.json")


@frozen(kw_only=True)
class RecordedFile(FileContent):
    """One of the three files of a recorded sync.

    Attributes:
        key: Where it is, or will be once published.
        staged: The handle to publish it; None in a baseline, whose files were there.
    """

    key: str
    staged: StagedObject | None

    @property
    def is_compressed(self) -> bool:
        """Whether the stored bytes are gzip."""
        return self.key.endswith(".gz")


@frozen(kw_only=True)
class RecordRef:
    """A record by its number and the digest of its bytes, which nobody can change unseen."""

    number: int
    sha256: str


@frozen(kw_only=True)
class SyncStatement:
    """What a sync says: two that say the same are one, so that schedulers may retry.

    Attributes:
        synced_at: The time in the names, in UTC.
        members_sha256: The digest of a file of all members.
        schema: The columns, and the key that members are matched by.
        existing: What the file ``existing`` holds.
        keys: The keys of the three files.
    """

    synced_at: datetime
    members_sha256: str
    schema: RowSchema
    existing: ExistingMeaning
    keys: frozenset[str]


@frozen(kw_only=True)
class SyncRecord:
    """One sync as it was decided: everything needed to finish, read and verify it.

    Law: ``SyncRecord.from_bytes(record.to_bytes()) == record``.

    Attributes:
        number: Its place in the log, from 1.
        previous: The published record that this sync is the difference to, or None.
        stream: Whose log it is.
        bucket: Where the data is, if the destination named a bucket.
        synced_at: The time in the names, in UTC.
        requested_at: The exact time of the request, in UTC.
        existing: What the file ``existing`` holds.
        schema: The columns of the files, and the key that members are matched by.
        files: The three files.
        members: How many there are at this sync.
        members_before: How many there were at the previous one.
        members_sha256: The digest of a file of all members at this sync; that of
            ``composition.members_digest`` where the files were composed of parts.
        skipped: Rows of the source without a key.
        collapsed: Rows of the source that repeated another.
        adopted: Whether it is a baseline: files that were there before the log.
        source: What the source of the members says of itself.
        writer: A token of the commit that made it.
    """

    number: int
    previous: RecordRef | None
    stream: CohortStream
    bucket: str | None
    synced_at: datetime
    requested_at: datetime
    existing: ExistingMeaning
    schema: RowSchema
    files: Mapping[DiffType, RecordedFile]
    members: int
    members_before: int
    members_sha256: str
    skipped: int = 0
    collapsed: int = 0
    adopted: bool = False
    source: Mapping[str, str] = field(factory=dict[str, str])
    writer: str

    @property
    def ref(self) -> RecordRef:
        """How a successor names this record."""
        return RecordRef(number=self.number, sha256=hashlib.sha256(self.to_bytes()).hexdigest())

    @property
    def key(self) -> str:
        """Where the record is in the log."""
        return record_key(self.stream, self.number)

    @property
    def keys(self) -> set[str]:
        """The keys of its three files."""
        return {file.key for file in self.files.values()}

    @property
    def statement(self) -> "SyncStatement":
        """What the sync says, whoever wrote it."""
        return SyncStatement(
            synced_at=self.synced_at,
            members_sha256=self.members_sha256,
            schema=self.schema,
            existing=self.existing,
            keys=frozenset(self.keys),
        )

    def to_bytes(self) -> bytes:
        """The record as it is stored: JSON, one form for equal records."""
        return _to_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str) -> Self:
        """The inverse of :meth:`to_bytes`.

        Args:
            data: The stored bytes.
            key: Where they were read, for the error.

        Raises:
            RecordFormatError: They are not what this library writes.
        """
        with _reading(key):
            record = cls.from_json(_parse(data))
            _check_form(record.to_bytes(), data)
        return record

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "number": self.number,
            "previous": None
            if self.previous is None
            else {"number": self.previous.number, "sha256": self.previous.sha256},
            "stream": {
                "project_id": self.stream.project_id,
                "cohort_id": self.stream.cohort_id,
                "path": self.stream.path,
                "routing_key": self.stream.routing_key,
            },
            "bucket": self.bucket,
            "synced_at": self.synced_at.isoformat(),
            "requested_at": self.requested_at.isoformat(),
            "existing": self.existing.value,
            "match_by": self.schema.key,
            "properties": list(self.schema.properties),
            "header_style": self.schema.header_style,
            "files": {
                diff_type.value: {
                    "key": file.key,
                    "rows": file.rows,
                    "size": file.size,
                    "sha256": file.sha256,
                    "parts": [[part.size, part.sha256] for part in file.parts],
                    "staged": None if file.staged is None else file.staged.to_json(),
                }
                for diff_type, file in self.files.items()
            },
            "members": self.members,
            "members_before": self.members_before,
            "members_sha256": self.members_sha256,
            "skipped": self.skipped,
            "collapsed": self.collapsed,
            "adopted": self.adopted,
            "source": dict(self.source),
            "writer": self.writer,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; what is wrong comes out as any builtin error."""
        previous, stream, files = value["previous"], value["stream"], value["files"]
        record = cls(
            number=_count(value["number"]),
            previous=None
            if previous is None
            else RecordRef(number=_count(previous["number"]), sha256=_digest(previous["sha256"])),
            stream=CohortStream(
                project_id=None if stream["project_id"] is None else _count(stream["project_id"]),
                cohort_id=_a(str, stream["cohort_id"]),
                path=_a(str, stream["path"]),
                routing_key=_text(stream["routing_key"]),
            ),
            bucket=_text(value["bucket"]),
            synced_at=_time(value["synced_at"]),
            requested_at=_time(value["requested_at"]),
            existing=ExistingMeaning(value["existing"]),
            schema=RowSchema(
                properties=[_a(str, name) for name in value["properties"]],
                key=_a(str, value["match_by"]),
                header_style=value["header_style"],
            ),
            files={
                DiffType(diff_type): RecordedFile(
                    key=_a(str, file["key"]),
                    rows=_count(file["rows"]),
                    size=_count(file["size"]),
                    sha256=_optional(_digest, file["sha256"]),
                    parts=tuple(
                        ContentPart(_count(size), _digest(sha256)) for size, sha256 in file["parts"]
                    ),
                    staged=None if file["staged"] is None else _staged(file["staged"]),
                )
                for diff_type, file in files.items()
            },
            members=_count(value["members"]),
            members_before=_count(value["members_before"]),
            members_sha256=_digest(value["members_sha256"]),
            skipped=_count(value["skipped"]),
            collapsed=_count(value["collapsed"]),
            adopted=_a(bool, value["adopted"]),
            source={_a(str, name): _a(str, text) for name, text in value["source"].items()},
            writer=_a(str, value["writer"]),
        )
        record._check_number()
        record._check_files()
        return record

    def _check_number(self) -> None:
        before = 0 if self.previous is None else self.previous.number
        if not before < self.number <= MAX_NUMBER:
            msg = f"the record {self.number} can't follow the record {before}"
            raise ValueError(msg)

    def _check_files(self) -> None:
        """That the record names its own stream's files only: it decides what is published."""
        if set(self.files) != set(DiffType):
            msg = "it does not have the three files"
            raise ValueError(msg)
        for diff_type, file in self.files.items():
            path, name = CohortFileName.from_key(file.key)
            if (
                not self.stream.owns(path, name)
                or (name.diff_type, name.synced_at) != (diff_type, self.synced_at)
                or (file.staged is None) != self.adopted
                or (file.staged is not None and file.staged.key != file.key)
                or (file.sha256 is None) != bool(file.parts)
            ):
                msg = f"its file {diff_type.value} is not one of this sync"
                raise ValueError(msg)


@frozen(kw_only=True)
class Outcome:
    """How a recorded sync ended: all three files are visible, or it never happened.

    Its bytes follow from the log alone, so whoever finishes a sync writes the same.
    Law: ``Outcome.from_bytes(outcome.to_bytes()) == outcome``.

    Attributes:
        number: The record's.
        published: Whether all three files are visible; otherwise the sync is void.
        head: The newest published record after this: the record itself, or for a void
            one its predecessor, or None.
    """

    number: int
    published: bool
    head: SyncRecord | None

    def to_bytes(self) -> bytes:
        """The outcome as it is stored."""
        return _to_bytes(
            {
                "schema_version": SCHEMA_VERSION,
                "number": self.number,
                "outcome": "published" if self.published else "void",
                "head": None if self.head is None else self.head.to_json(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str) -> Self:
        """The inverse of :meth:`to_bytes`.

        Raises:
            RecordFormatError: They are not what this library writes.
        """
        with _reading(key):
            value = _parse(data)
            head = value["head"]
            outcome = cls(
                number=_count(value["number"]),
                published=value["outcome"] == "published",
                head=None if head is None else SyncRecord.from_json(head),
            )
            outcome._check_head()
            _check_form(outcome.to_bytes(), data)
        return outcome

    def _check_head(self) -> None:
        """That its head can be the newest published record after this one."""
        number = 0 if self.head is None else self.head.number
        if number != self.number if self.published else number >= self.number:
            msg = "its head is not the newest published record after it"
            raise ValueError(msg)


@frozen
class LogEntry:
    """A key of the log, read: which record it belongs to, and whether it is the outcome."""

    number: int
    is_outcome: bool


def record_key(stream: CohortStream, number: int) -> str:
    """Where record ``number`` of a stream is.

    >>> record_key(CohortStream(project_id=1, cohort_id="a"), 1)
    '_syncs/1_a/99999998-00000001.json'
    """
    return f"{stream.log_prefix}{MAX_NUMBER - number:08}-{number:08}.json"


def outcome_key(stream: CohortStream, number: int) -> str:
    """Where the outcome of record ``number`` is; it sorts right before the record."""
    return record_key(stream, number).removesuffix(".json") + ".end.json"


def parse_log_key(stream: CohortStream, key: str) -> LogEntry | None:
    """The inverse of :func:`record_key` and :func:`outcome_key`; None for a stranger.

    >>> stream = CohortStream(project_id=1, cohort_id="a")
    >>> parse_log_key(stream, outcome_key(stream, 7))
    LogEntry(number=7, is_outcome=True)
    """
    match = _LOG_KEY.fullmatch(key.removeprefix(stream.log_prefix))
    if match is None or int(match["down"]) + int(match["up"]) != MAX_NUMBER:
        return None
    return LogEntry(int(match["up"]), match["end"] is not None)


def read_record(open_object: OpenObject, stream: CohortStream, number: int) -> SyncRecord:
    """A record, whatever became of it.

    Args:
        open_object: ``open`` of the log's storage.
        stream: Whose log.
        number: The record's.

    Raises:
        RecordFormatError: It is damaged.
        ObjectNotFoundError: There is none.
    """
    key = record_key(stream, number)
    with open_object(key) as file:
        record = SyncRecord.from_bytes(file.read(), key=key)
    if record.key != key:
        raise RecordFormatError(key, f"it belongs to {record.key!r}")
    return record


def read_outcome(open_object: OpenObject, stream: CohortStream, number: int) -> Outcome:
    """The outcome of a record.

    Args:
        open_object: ``open`` of the log's storage.
        stream: Whose log.
        number: The record's.

    Raises:
        RecordFormatError: It is damaged.
        ObjectNotFoundError: There is none.
    """
    key = outcome_key(stream, number)
    with open_object(key) as file:
        outcome = Outcome.from_bytes(file.read(), key=key)
    if outcome.number != number or (outcome.head and outcome.head.stream != stream):
        raise RecordFormatError(key, "it belongs to another record or stream")
    return outcome


@frozen
class SyncLog:
    """A stream's log, read as it is needed, each outcome once.

    Numbers have no gaps, so the newest entry of a listing tells all that there are.

    Attributes:
        stream: Whose log.
        newest: Its newest entry, or None where there is no log.
    """

    stream: CohortStream
    newest: LogEntry | None
    _open: OpenObject = field(repr=False, alias="open")
    _outcomes: dict[int, Outcome] = field(
        factory=dict[int, Outcome], init=False, repr=False, eq=False
    )

    @classmethod
    def from_listing(
        cls, stream: CohortStream, listing: Iterable[ObjectInfo], open_object: OpenObject
    ) -> Self:
        """The log that a listing of ``stream.log_prefix`` shows; it takes the first entry only."""
        entries = (parse_log_key(stream, info.key) for info in listing)
        return cls(stream, next((e for e in entries if e is not None), None), open_object)

    def record(self, number: int) -> SyncRecord:
        """A record, whatever became of it: see :func:`read_record`."""
        return read_record(self._open, self.stream, number)

    def outcome(self, number: int) -> Outcome:
        """The outcome of a record: see :func:`read_outcome`."""
        if number not in self._outcomes:
            self._outcomes[number] = read_outcome(self._open, self.stream, number)
        return self._outcomes[number]

    @property
    def last_ended(self) -> int:
        """The number of the newest record that has an outcome, or 0: at most one has none."""
        if self.newest is None:
            return 0
        return self.newest.number if self.newest.is_outcome else self.newest.number - 1

    @property
    def is_unfinished(self) -> bool:
        """Whether the newest record has no outcome: its writer is at work, or died."""
        return self.newest is not None and not self.newest.is_outcome

    @property
    def head(self) -> SyncRecord | None:
        """The newest published record."""
        return self.outcome(self.last_ended).head if self.last_ended else None

    def published_at(self, when: datetime) -> SyncRecord | None:
        """The published record of a time, by binary search.

        Each outcome holds the head after it, void or not, and that never grows older.
        """

        def time_after(number: int) -> datetime:
            head = self.outcome(number).head
            return datetime.min.replace(tzinfo=UTC) if head is None else head.synced_at

        numbers = range(1, self.last_ended + 1)
        index = bisect_left(numbers, when, key=time_after)
        head = self.outcome(numbers[index]).head if index < len(numbers) else None
        return head if head is not None and head.synced_at == when else None

    def published(self) -> Iterator[SyncRecord]:
        """Every published record, oldest first."""
        for number in range(1, self.last_ended + 1):
            outcome = self.outcome(number)
            if outcome.published and outcome.head is not None:
                yield outcome.head

    def unpublished(self) -> Iterator[tuple[SyncRecord, bool]]:
        """Every other record, and whether it is void; else it has no outcome yet."""
        for number in range(1, self.last_ended + 1):
            if not self.outcome(number).published:
                yield self.record(number), True
        if self.is_unfinished:
            yield self.record(self.last_ended + 1), False


def _to_bytes(value: dict[str, Any]) -> bytes:
    """JSON that holds its own digest: not every store checks what it reads, and a bit may flip."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**value, "sha256": digest}, indent=1, sort_keys=True) + "\n").encode()


@contextmanager
def _reading(key: str) -> Generator[None]:
    """Turns whatever is wrong with foreign JSON into our one error for it."""
    try:
        yield
    except (
        CohortS3Error,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
        RecursionError,
    ) as error:
        rule = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RecordFormatError(key, rule) from error


def _parse(data: bytes) -> Mapping[str, Any]:
    value: dict[str, Any] = json.loads(data)
    if value["schema_version"] != SCHEMA_VERSION:
        msg = f"its schema_version is {value['schema_version']!r}, not {SCHEMA_VERSION}"
        raise ValueError(msg)
    return value


def _check_form(encoded: bytes, data: bytes) -> None:
    """Refuses a change of a single bit, unknown fields and other spellings."""
    if encoded != data:
        msg = "it is not, byte for byte, what this library wrote"
        raise ValueError(msg)


def _a(kind: type[T], value: object) -> T:
    """The value, if it is of the type; a bool is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        msg = f"{kind.__name__} expected, {type(value).__name__} found"
        raise TypeError(msg)
    return value


def _staged(value: Mapping[str, Any]) -> StagedObject:
    staged = StagedObject.from_json(value)
    _count(staged.size)
    _optional(_digest, staged.sha256)
    for text in (staged.key, *staged.handle, *staged.handle.values()):
        _a(str, text)
    return staged


def _optional(read: Callable[[object], T], value: object) -> T | None:
    return None if value is None else read(value)


def _text(value: object) -> str | None:
    return None if value is None else _a(str, value)


def _count(value: object) -> int:
    number = _a(int, value)
    if number < 0:
        msg = f"a number is negative: {number}"
        raise ValueError(msg)
    return number


def _digest(value: object) -> str:
    text = _a(str, value)
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        msg = "a sha256 is not 64 hexadecimal digits"
        raise ValueError(msg)
    return text


def _time(value: object) -> datetime:
    return to_utc(datetime.fromisoformat(_a(str, value)), "a time of the record")
