"""The records of the log: one per sync, as JSON."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from attrs import field, frozen

from ..format.existing_meaning import ExistingMeaning
from ..format.filename import CohortFileName, DiffType
from ..format.notes import changed_text, count_notes
from ..format.schema import RowSchema
from ._json import (
    SCHEMA_VERSION,
    as_record_error,
    check_form,
    count,
    digest,
    expect,
    filled_counts,
    instant,
    parse,
    stream_from_json,
    stream_to_json,
    text_or_none,
    to_bytes,
)
from .files import RecordedFile
from .keys import MAX_NUMBER, record_key
from .stream import CohortStream
from .sync_identity import SyncIdentity


@frozen(kw_only=True)
class RecordRef:
    """A reference to a record: its number, and the digest of its bytes."""

    number: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the reference as a JSON object."""
        return {"number": self.number, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the inverse of :meth:`to_json`. The errors are those of ``as_record_error``."""
        return cls(number=count(value["number"]), sha256=digest(value["sha256"]))


@frozen(kw_only=True, repr=False)
class SyncFacts:
    """The facts that a planned sync and its record share.

    Attributes:
        number: The record's number in the log, from 1.
        previous: The published record that this sync is the difference to, or None.
        synced_at: The time in the file names, in UTC.
        requested_at: The exact time of the request, in UTC.
        members: The number of members at this sync.
        members_before: The number of members at the previous sync.
        changed: The number of members who stayed with other properties: see ``DiffSummary``. None
            if it was not counted, or is not known any more because ``forget`` removed members.
        members_sha256: The digest of the members at this sync: see ``DiffSummary``.
        skipped: The number of source rows without a key.
        collapsed: The number of source rows that repeated another.
        filled: The number of members that have a value, for each property.
        source: The ``origin`` of the members: see ``CsvSource``.
        amendment: The number of the newest amendment before this sync, or None.
        recovered: The number of unfinished entries of other writers that the writer of this
            sync finished before it began.
    """

    number: int
    previous: RecordRef | None
    synced_at: datetime
    requested_at: datetime
    members: int
    members_before: int
    changed: int | None = None
    members_sha256: str
    skipped: int = 0
    collapsed: int = 0
    filled: Mapping[str, int]
    source: Mapping[str, str] = field(factory=dict[str, str])
    amendment: int | None = None
    recovered: int = 0

    def __repr__(self) -> str:
        # The digests and handles are left out because they are long.
        return f"{type(self).__name__}(<{self.summary}>)"

    @property
    def begun(self) -> datetime:
        """The time that determines the hour and day of the sync: see ``Cadence``.

        A sync whose minute is occupied has a later time in its names, which can be in the next
        hour or day.
        """
        return min(self.synced_at, self.requested_at)

    @property
    def summary(self) -> str:
        """The time of the sync, and the numbers of members before it, at it and changed by it."""
        members = f"{self.members_before:,} -> {self.members:,} members"
        return f"sync of {self.synced_at.isoformat()}: {members}{changed_text(self.changed)}"

    def count_notes(self, key: str, ignored_columns: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return sentences about rows that were left out and values that are missing.

        Args:
            key: The column by which members are matched.
            ignored_columns: The columns of the source that the sync does not have.
        """
        return count_notes(
            key=key,
            members=self.members,
            skipped=self.skipped,
            collapsed=self.collapsed,
            filled=self.filled,
            ignored_columns=ignored_columns,
        )


@frozen(kw_only=True, repr=False)
class SyncRecord(SyncFacts):
    """A sync as it was decided, with everything that is needed to finish, read and verify it.

    Law: ``SyncRecord.from_bytes(record.to_bytes()) == record``.

    Attributes:
        stream: The stream whose log contains the record.
        bucket: The bucket of the data, if the destination named one.
        existing: The users that the file ``existing`` contains.
        schema: The columns of the files, and the key that members are matched by.
        files: The three files.
        adopted: True if the files existed before the log: see ``adopt``.
        writer: A random token of the commit that made the record.
    """

    stream: CohortStream
    bucket: str | None
    existing: ExistingMeaning
    schema: RowSchema
    files: Mapping[DiffType, RecordedFile]
    adopted: bool = False
    writer: str

    @property
    def ref(self) -> RecordRef:
        """The reference by which the next record names this one."""
        return RecordRef(number=self.number, sha256=hashlib.sha256(self.to_bytes()).hexdigest())

    @property
    def key(self) -> str:
        """The key of the record in the log."""
        return record_key(self.stream, self.number)

    @property
    def keys(self) -> set[str]:
        """The keys of the three files."""
        return {file.key for file in self.files.values()}

    @property
    def identity(self) -> SyncIdentity:
        """The values by which a repeated run is recognised."""
        return SyncIdentity(
            synced_at=self.synced_at,
            members_sha256=self.members_sha256,
            schema=self.schema,
            existing=self.existing,
            keys=frozenset(self.keys),
        )

    def to_bytes(self) -> bytes:
        """Return the stored form: JSON, the same bytes for equal records."""
        return to_bytes(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str) -> Self:
        """Return the inverse of :meth:`to_bytes`.

        Args:
            data: The stored bytes.
            key: The key of the object, for the error.

        Raises:
            RecordFormatError: This library does not write these bytes.
        """
        with as_record_error(key):
            record = cls.from_json(parse(data))
            check_form(record.to_bytes(), data)
        return record

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        optional = {
            "amendment": self.amendment,
            "changed": self.changed,
            "recovered": self.recovered or None,
        }
        known = {name: number for name, number in optional.items() if number is not None}
        return known | {
            "schema_version": SCHEMA_VERSION,
            "number": self.number,
            "previous": None if self.previous is None else self.previous.to_json(),
            "stream": stream_to_json(self.stream),
            "bucket": self.bucket,
            "synced_at": self.synced_at.isoformat(),
            "requested_at": self.requested_at.isoformat(),
            "existing": self.existing.value,
            "match_by": self.schema.key,
            "properties": list(self.schema.properties),
            "property_names": list(self.schema.names),
            "header_style": self.schema.header_style,
            "files": {diff_type.value: file.to_json() for diff_type, file in self.files.items()},
            "members": self.members,
            "members_before": self.members_before,
            "members_sha256": self.members_sha256,
            "skipped": self.skipped,
            "collapsed": self.collapsed,
            "filled": dict(self.filled),
            "adopted": self.adopted,
            "source": dict(self.source),
            "writer": self.writer,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the inverse of :meth:`to_json`. The errors are those of ``as_record_error``."""
        previous, files = value["previous"], value["files"]
        record = cls(
            number=count(value["number"]),
            previous=None if previous is None else RecordRef.from_json(previous),
            stream=stream_from_json(value["stream"]),
            bucket=text_or_none(value["bucket"]),
            synced_at=instant(value["synced_at"]),
            requested_at=instant(value["requested_at"]),
            existing=ExistingMeaning(value["existing"]),
            schema=RowSchema(
                properties=[expect(str, name) for name in value["properties"]],
                names=[expect(str, name) for name in value["property_names"]],
                key=expect(str, value["match_by"]),
                header_style=value["header_style"],
            ),
            files={t: RecordedFile.from_json(files[t.value]) for t in DiffType},
            members=count(value["members"]),
            members_before=count(value["members_before"]),
            changed=count(value["changed"]) if "changed" in value else None,
            members_sha256=digest(value["members_sha256"]),
            skipped=count(value["skipped"]),
            collapsed=count(value["collapsed"]),
            filled=filled_counts(value["filled"], value["properties"]),
            adopted=expect(bool, value["adopted"]),
            source={expect(str, name): expect(str, text) for name, text in value["source"].items()},
            writer=expect(str, value["writer"]),
            amendment=count(value["amendment"]) if "amendment" in value else None,
            recovered=count(value.get("recovered", 0)),
        )
        record._check_number()
        record._check_files()
        return record

    def _check_number(self) -> None:
        before = 0 if self.previous is None else self.previous.number
        if not before < self.number <= MAX_NUMBER:
            msg = f"the record {self.number} can't follow the record {before}"
            raise ValueError(msg)
        if self.recovered >= self.number:
            msg = f"it recovered {self.recovered} entries, but there are fewer before it"
            raise ValueError(msg)
        if self.adopted and self.number != 1:
            msg = "only the first record of a log can be that of an adopted sync"
            raise ValueError(msg)

    def _check_files(self) -> None:
        """Raise unless it names only files of its own sync, because recovery publishes them."""
        for diff_type, file in self.files.items():
            path, name = CohortFileName.from_key(file.key)
            if (
                not self.stream.owns(path, name)
                or (name.diff_type, name.synced_at) != (diff_type, self.synced_at)
                or (file.staged is None) > self.adopted
                or (self.adopted and self.amendment is None and file.staged is not None)
                or (file.staged is not None and file.staged.key != file.key)
            ):
                msg = f"its file {diff_type.value} is not one of this sync"
                raise ValueError(msg)
