"""What the log of a stream holds: records, their outcomes, and amendments; as JSON, and by key.

Record n is under ``<99999999-n>-<n>.json``, its outcome under ``<99999999-n>-<n>.end.json``.
"""

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, Self

from attrs import asdict, evolve, field, frozen

from ..format.content import ContentPart, FileContent
from ..format.filename import CohortFileName, DiffType
from ..format.schema import RowSchema
from ..settings.destination import CohortStream, ExistingMeaning
from ..storage.protocol import StagedObject
from ._json import (
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

MAX_NUMBER = 99_999_999


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


def record_key(stream: CohortStream, number: int) -> str:
    """Where record ``number`` of a stream is.

    >>> record_key(CohortStream(project_id=1, cohort_id="a"), 1)
    '_syncs/1_a/99999998-00000001.json'
    """
    return f"{stream.log_prefix}{MAX_NUMBER - number:08}-{number:08}.json"


def outcome_key(stream: CohortStream, number: int) -> str:
    """Where the outcome of record ``number`` is; it sorts right before the record."""
    return record_key(stream, number).removesuffix(".json") + ".end.json"


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
