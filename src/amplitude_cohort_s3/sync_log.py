"""The log of a stream: one record per sync, one outcome per record, and their keys.

The log makes three files one decision. Under ``CohortStream.log_prefix`` each sync has

- ``<99999999-n>-<n>.json``, record n: what was decided. It is created once, and that
  one write is the decision.
- ``<99999999-n>-<n>.end.json``, its outcome: published or void. It is created once too.

The first number counts down, so the first key of a listing is the newest record, or its
outcome: finding the head costs one listing and one read, however long the history is.
"""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal, Self

from attrs import asdict, evolve, field, frozen

from ._record_json import (
    SCHEMA_VERSION,
    a,
    check_form,
    count,
    digest,
    digest_or_none,
    instant,
    parse,
    reading,
    staged_object,
    text_or_none,
    to_bytes,
)
from .content import ContentPart, FileContent
from .destination import CohortStream, ExistingMeaning
from .errors import RecordFormatError
from .filename import CohortFileName, DiffType
from .rows import RowSchema
from .storage._protocol import ObjectInfo, StagedObject

OpenObject = Callable[[str], BinaryIO]
"""Opens an object by its key: ``Storage.open``."""

MAX_NUMBER = 99_999_999

MAX_ENTRY_BYTES = 16 << 20
"""What is larger is no entry; so the memory for reading one is bounded."""

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

    def to_json(self) -> dict[str, Any]:
        """The file as JSON values."""
        return {
            "key": self.key,
            "rows": self.rows,
            "size": self.size,
            "sha256": self.sha256,
            "parts": [[part.size, part.sha256] for part in self.parts],
            "staged": None if self.staged is None else self.staged.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; what is wrong comes out as any builtin error."""
        return cls(
            key=a(str, value["key"]),
            rows=count(value["rows"]),
            size=count(value["size"]),
            sha256=digest_or_none(value["sha256"]),
            parts=tuple(ContentPart(count(n), digest(sha256)) for n, sha256 in value["parts"]),
            staged=None if value["staged"] is None else staged_object(value["staged"]),
        )


@frozen(kw_only=True)
class RecordRef:
    """A record by its number and the digest of its bytes, which nobody can change unseen."""

    number: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The reference as JSON values."""
        return {"number": self.number, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; what is wrong comes out as any builtin error."""
        return cls(number=count(value["number"]), sha256=digest(value["sha256"]))


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
        amendment: The number of the newest amendment that it takes account of, or None.
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
    amendment: int | None = None

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
        return to_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str) -> Self:
        """The inverse of :meth:`to_bytes`.

        Args:
            data: The stored bytes.
            key: Where they were read, for the error.

        Raises:
            RecordFormatError: They are not what this library writes.
        """
        with reading(key):
            record = cls.from_json(parse(data))
            check_form(record.to_bytes(), data)
        return record

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        amended = {} if self.amendment is None else {"amendment": self.amendment}
        return amended | {
            "schema_version": SCHEMA_VERSION,
            "number": self.number,
            "previous": None if self.previous is None else self.previous.to_json(),
            "stream": _stream_to_json(self.stream),
            "bucket": self.bucket,
            "synced_at": self.synced_at.isoformat(),
            "requested_at": self.requested_at.isoformat(),
            "existing": self.existing.value,
            "match_by": self.schema.key,
            "properties": list(self.schema.properties),
            "header_style": self.schema.header_style,
            "files": {diff_type.value: file.to_json() for diff_type, file in self.files.items()},
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
        previous, files = value["previous"], value["files"]
        record = cls(
            number=count(value["number"]),
            previous=None if previous is None else RecordRef.from_json(previous),
            stream=_stream_from_json(value["stream"]),
            bucket=text_or_none(value["bucket"]),
            synced_at=instant(value["synced_at"]),
            requested_at=instant(value["requested_at"]),
            existing=ExistingMeaning(value["existing"]),
            schema=RowSchema(
                properties=[a(str, name) for name in value["properties"]],
                key=a(str, value["match_by"]),
                header_style=value["header_style"],
            ),
            files={DiffType(t): RecordedFile.from_json(file) for t, file in files.items()},
            members=count(value["members"]),
            members_before=count(value["members_before"]),
            members_sha256=digest(value["members_sha256"]),
            skipped=count(value["skipped"]),
            collapsed=count(value["collapsed"]),
            adopted=a(bool, value["adopted"]),
            source={a(str, name): a(str, text) for name, text in value["source"].items()},
            writer=a(str, value["writer"]),
            amendment=count(value["amendment"]) if "amendment" in value else None,
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
                or (file.staged is None) > self.adopted
                or (self.adopted and self.amendment is None and file.staged is not None)
                or (file.staged is not None and file.staged.key != file.key)
                or (file.sha256 is None) != bool(file.parts)
            ):
                msg = f"its file {diff_type.value} is not one of this sync"
                raise ValueError(msg)


@frozen(kw_only=True)
class Outcome:
    """How a record ended: its sync is visible whole, or never happened; or it amended others.

    Its bytes follow from the log alone, so whoever finishes a sync writes the same.
    Law: ``Outcome.from_bytes(outcome.to_bytes()) == outcome``.

    Attributes:
        number: The record's.
        published: Whether all three files are visible; otherwise the sync is void.
        head: The newest published record after this: the record itself, or for a void
            one its predecessor, or None. After an amendment, the head as amended.
        amended: Whether the record is an amendment, which is carried out.
        lost: The keys that the amendment could not replace: what was staged is gone.
    """

    number: int
    published: bool
    head: SyncRecord | None
    amended: bool = False
    lost: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The outcome as it is stored."""
        value: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "number": self.number,
            "outcome": "published" if self.published else "void",
            "head": None if self.head is None else self.head.to_json(),
        }
        if self.amended:
            value |= {"outcome": "amended", "lost": list(self.lost)}
        return to_bytes(value)

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str) -> Self:
        """The inverse of :meth:`to_bytes`.

        Raises:
            RecordFormatError: They are not what this library writes.
        """
        with reading(key):
            value = parse(data)
            head = value["head"]
            outcome = cls(
                number=count(value["number"]),
                published=value["outcome"] == "published",
                head=None if head is None else SyncRecord.from_json(head),
                amended=value["outcome"] == "amended",
                lost=tuple(a(str, key) for key in value.get("lost", ())),
            )
            outcome._check_head()
            check_form(outcome.to_bytes(), data)
        return outcome

    def _check_head(self) -> None:
        """That its head can be the newest published record after this one."""
        number = 0 if self.head is None else self.head.number
        amends_nothing = self.amended and self.head is None
        if amends_nothing or (number != self.number if self.published else number >= self.number):
            msg = "its head is not the newest published record after it"
            raise ValueError(msg)


@frozen(kw_only=True)
class AmendedCounts:
    """The numbers of a sync after an amendment: see ``SyncRecord``."""

    members: int
    members_before: int
    members_sha256: str

    @classmethod
    def of(cls, record: SyncRecord) -> Self:
        """The numbers that a record has."""
        return cls(
            members=record.members,
            members_before=record.members_before,
            members_sha256=record.members_sha256,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of ``asdict``; what is wrong comes out as any builtin error."""
        return cls(
            members=count(value["members"]),
            members_before=count(value["members_before"]),
            members_sha256=digest(value["members_sha256"]),
        )


@frozen(kw_only=True)
class Amendment:
    """A numbered entry of the log that is no sync: it changes or removes files of earlier ones.

    It takes a number like a sync, so the two can't cross, and whoever finds it without an
    outcome finishes it, from what it says alone. Records are never changed: a reader
    applies the amendments that came after them. It holds no user ids.
    Law: ``read_record`` gives back what ``to_bytes`` wrote.

    Attributes:
        number: Its place in the log.
        previous: The head before it.
        stream: Whose log it is.
        requested_at: When, in UTC.
        purpose: What for.
        replaced: The files that get other bytes, by their keys.
        removed: The keys of the files that are deleted, of syncs older than the head.
        counts: The numbers of the syncs that change, by the numbers of their records.
        earlier: The number of the amendment before it, or None.
        writer: A token of the caller that made it.
    """

    number: int
    previous: RecordRef
    stream: CohortStream
    requested_at: datetime
    purpose: Literal["forget", "prune"]
    replaced: Mapping[str, RecordedFile] = field(factory=dict[str, RecordedFile])
    removed: tuple[str, ...] = ()
    counts: Mapping[int, AmendedCounts] = field(factory=dict[int, AmendedCounts])
    earlier: int | None = None
    writer: str

    @property
    def key(self) -> str:
        """Where it is in the log."""
        return record_key(self.stream, self.number)

    @property
    def synced_at(self) -> datetime:
        """Its time, as other records of the log have one."""
        return self.requested_at

    def applied_to(self, record: SyncRecord, lost: Collection[str] = ()) -> SyncRecord:
        """An earlier record as it is after this amendment.

        Args:
            record: The record, with the amendments before this one applied.
            lost: The keys that could not be replaced: see ``Outcome``.
        """
        files = {
            t: file if file.key in lost else self.replaced.get(file.key, file)
            for t, file in record.files.items()
        }
        amended = evolve(record, files=files, amendment=self.number)
        counts = self.counts.get(record.number)
        if counts is None or record.keys & set(lost):
            return amended
        return evolve(
            amended,
            members=counts.members,
            members_before=counts.members_before,
            members_sha256=counts.members_sha256,
        )

    def to_bytes(self) -> bytes:
        """The amendment as it is stored: JSON, one form for equal ones."""
        return to_bytes(
            {
                "schema_version": SCHEMA_VERSION,
                "number": self.number,
                "previous": self.previous.to_json(),
                "stream": _stream_to_json(self.stream),
                "requested_at": self.requested_at.isoformat(),
                "purpose": self.purpose,
                "replaced": [file.to_json() for file in self.replaced.values()],
                "removed": list(self.removed),
                "counts": {str(number): asdict(c) for number, c in self.counts.items()},
                "earlier": self.earlier,
                "writer": self.writer,
            }
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_bytes`` wrote; what is wrong comes out as any builtin error."""
        files = [RecordedFile.from_json(file) for file in value["replaced"]]
        purpose = value["purpose"]
        if purpose not in ("forget", "prune"):
            msg = f"its purpose is {purpose!r}"
            raise ValueError(msg)
        amendment = cls(
            number=count(value["number"]),
            previous=RecordRef.from_json(value["previous"]),
            stream=_stream_from_json(value["stream"]),
            requested_at=instant(value["requested_at"]),
            purpose=purpose,
            replaced={file.key: file for file in files},
            removed=tuple(a(str, key) for key in value["removed"]),
            counts={int(n): AmendedCounts.from_json(c) for n, c in value["counts"].items()},
            earlier=None if value["earlier"] is None else count(value["earlier"]),
            writer=a(str, value["writer"]),
        )
        amendment._check()
        return amendment

    def _check(self) -> None:
        """That it names its own stream's files only: it decides what is overwritten."""
        earlier = self.earlier or 0
        if not self.previous.number < self.number <= MAX_NUMBER or not earlier < self.number:
            msg = f"the amendment {self.number} can't follow what it names"
            raise ValueError(msg)
        for key in (*self.replaced, *self.removed):
            if not self.stream.owns(*CohortFileName.from_key(key)):
                msg = "it names a file of another stream"
                raise ValueError(msg)
        if any(f.staged is None or f.staged.key != f.key for f in self.replaced.values()):
            msg = "it lacks the handle of a file"
            raise ValueError(msg)


LogRecord = SyncRecord | Amendment
"""What a number of the log can stand for."""


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


def _stream_to_json(stream: CohortStream) -> dict[str, Any]:
    return {
        "project_id": stream.project_id,
        "cohort_id": stream.cohort_id,
        "path": stream.path,
        "routing_key": stream.routing_key,
    }


def _stream_from_json(value: Mapping[str, Any]) -> CohortStream:
    return CohortStream(
        project_id=None if value["project_id"] is None else count(value["project_id"]),
        cohort_id=a(str, value["cohort_id"]),
        path=a(str, value["path"]),
        routing_key=text_or_none(value["routing_key"]),
    )


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


def read_record(open_object: OpenObject, stream: CohortStream, number: int) -> LogRecord:
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
    data = _read(open_object, key)
    with reading(key):
        value = parse(data)
        kind = Amendment if "purpose" in value else SyncRecord
        record = kind.from_json(value)
        check_form(record.to_bytes(), data)
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
    outcome = Outcome.from_bytes(_read(open_object, key), key=key)
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
    _amendments: dict[int, Amendment] = field(
        factory=dict[int, Amendment], init=False, repr=False, eq=False
    )
    _unfinished: dict[int, LogRecord] = field(
        factory=dict[int, LogRecord], init=False, repr=False, eq=False
    )

    @classmethod
    def from_listing(
        cls, stream: CohortStream, listing: Iterable[ObjectInfo], open_object: OpenObject
    ) -> Self:
        """The log that a listing of ``stream.log_prefix`` shows; it takes the first entry only."""
        entries = (parse_log_key(stream, info.key) for info in listing)
        return cls(stream, next((e for e in entries if e is not None), None), open_object)

    def record(self, number: int) -> LogRecord:
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

    @property
    def amendments(self) -> tuple[Amendment, ...]:
        """Those that are carried out, oldest first; none costs no reading."""
        found = list[Amendment]()
        head = self.head
        number = None if head is None else head.amendment
        while number is not None:
            found.insert(0, self._amendment(number))
            number = found[0].earlier
        return tuple(found)

    @property
    def pending(self) -> Amendment | None:
        """An amendment without an outcome: its files may be as before or as after it."""
        return self.unfinished if isinstance(self.unfinished, Amendment) else None

    @property
    def unfinished(self) -> LogRecord | None:
        """The newest record, if it has no outcome; it is read once."""
        number = self.last_ended + 1
        if self.is_unfinished and number not in self._unfinished:
            self._unfinished[number] = self.record(number)
        return self._unfinished.get(number)

    @property
    def removed(self) -> frozenset[str]:
        """The keys of the files that amendments removed."""
        return frozenset(key for amendment in self.amendments for key in amendment.removed)

    @property
    def lost(self) -> frozenset[str]:
        """The keys that an amendment could not replace, and no later one did."""
        lost = set[str]()
        for amendment in self.amendments:
            lost -= set(amendment.replaced)
            lost |= set(self.outcome(amendment.number).lost)
        return frozenset(lost)

    def _amendment(self, number: int) -> Amendment:
        if number not in self._amendments:
            record = self.record(number)
            if not isinstance(record, Amendment):
                raise RecordFormatError(record.key, "another record calls it an amendment")
            self._amendments[number] = record
        return self._amendments[number]

    def _amended(self, record: SyncRecord) -> SyncRecord:
        """A record with all that came after it."""
        for amendment in self.amendments:
            if amendment.number > record.number:
                record = amendment.applied_to(record, self.outcome(amendment.number).lost)
        return record

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
        return self._amended(head) if head is not None and head.synced_at == when else None

    def published(self) -> Iterator[SyncRecord]:
        """Every published record, oldest first."""
        for number in range(1, self.last_ended + 1):
            outcome = self.outcome(number)
            if outcome.published and outcome.head is not None:
                yield self._amended(outcome.head)

    def unpublished(self) -> Iterator[tuple[SyncRecord, bool]]:
        """Every other sync that is recorded, and whether it is void; else it has no outcome yet."""
        for number in range(1, self.last_ended + 1):
            outcome = self.outcome(number)
            if not outcome.published and not outcome.amended:
                yield self._sync(number), True
        if isinstance(self.unfinished, SyncRecord):
            yield self.unfinished, False

    def _sync(self, number: int) -> SyncRecord:
        record = self.record(number)
        if not isinstance(record, SyncRecord):
            raise RecordFormatError(record.key, "it is an amendment, and its outcome a sync's")
        return record

    def broken_links(self) -> Iterator[LogRecord]:
        """The records that do not follow the head before them, or whose outcome is another's."""
        head: SyncRecord | None = None
        for number in range(1, self.last_ended + 1):
            record, outcome = self.record(number), self.outcome(number)
            follows = record.previous == (None if head is None else head.ref)
            if outcome.published:
                after: SyncRecord | None = record if isinstance(record, SyncRecord) else None
                follows &= head is None or record.synced_at > head.synced_at
            elif isinstance(record, Amendment) and head is not None:
                after = record.applied_to(head, outcome.lost) if outcome.amended else None
            else:
                after = head
            if not follows or outcome.head != after:
                yield record
            head = outcome.head


def _read(open_object: OpenObject, key: str) -> bytes:
    with open_object(key) as file:
        data = file.read(MAX_ENTRY_BYTES + 1)
    if len(data) > MAX_ENTRY_BYTES:
        raise RecordFormatError(key, f"it has over {MAX_ENTRY_BYTES >> 20} MiB")
    return data
