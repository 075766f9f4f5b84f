"""Entries of the log that change files of earlier syncs."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, Self

from attrs import asdict, evolve, field, frozen

from ..format.filename import CohortFileName
from ._json import (
    SCHEMA_VERSION,
    count,
    digest,
    expect,
    filled_counts,
    instant,
    stream_from_json,
    stream_to_json,
    to_bytes,
)
from .files import RecordedFile
from .keys import MAX_NUMBER, record_key
from .records import RecordRef, SyncRecord
from .stream import CohortStream


@frozen(kw_only=True)
class AmendedCounts:
    """The counts of a sync after an amendment: see ``SyncFacts``."""

    members: int
    members_before: int
    members_sha256: str
    filled: Mapping[str, int]

    @classmethod
    def of(cls, record: SyncRecord) -> Self:
        """Return the counts of a record."""
        return cls(
            members=record.members,
            members_before=record.members_before,
            members_sha256=record.members_sha256,
            filled=record.filled,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the inverse of ``asdict``. The errors are those of ``as_record_error``."""
        return cls(
            members=count(value["members"]),
            members_before=count(value["members_before"]),
            members_sha256=digest(value["members_sha256"]),
            filled=filled_counts(value["filled"], [*value["filled"]]),
        )


@frozen(kw_only=True)
class Amendment:
    """An entry of the log that replaces or removes files of earlier syncs.

    It has a number in the log, as a sync has, so an amendment and a sync can't interfere. Any
    process that finds it without an outcome can finish it from its own contents. Records never
    change: readers apply the amendments that came after a record. An amendment contains no
    user ids. Law: ``read_record`` returns an equal amendment from the bytes of ``to_bytes``.

    Attributes:
        number: The amendment's number in the log.
        previous: The head before the amendment.
        stream: The stream whose log contains it.
        requested_at: The time of the request, in UTC.
        purpose: The function that made it: ``"forget"`` or ``"prune"``.
        replaced: The new contents of the files that are overwritten, by their keys.
        removed: The keys of the files that are deleted; each file is older than the head.
        counts: The new counts of changed syncs, by the numbers of their records.
        earlier: The number of the previous amendment, or None.
        writer: A random token of the process that made it.
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
        """The key of the amendment in the log."""
        return record_key(self.stream, self.number)

    @property
    def synced_at(self) -> datetime:
        """The time of the request; a sync has this attribute too."""
        return self.requested_at

    def applied_to(self, record: SyncRecord, lost: Collection[str] = ()) -> SyncRecord:
        """Return an earlier record as it is after this amendment.

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
            changed=None,  # The forgotten users may have been among them.
            members_sha256=counts.members_sha256,
            filled={**record.filled, **counts.filled},  # in the order of the properties
        )

    def to_bytes(self) -> bytes:
        """Return the stored form: JSON, the same bytes for equal amendments."""
        return to_bytes(
            {
                "schema_version": SCHEMA_VERSION,
                "number": self.number,
                "previous": self.previous.to_json(),
                "stream": stream_to_json(self.stream),
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
        """Return the inverse of :meth:`to_bytes`. The errors are those of ``as_record_error``."""
        files = [RecordedFile.from_json(file) for file in value["replaced"]]
        purpose = value["purpose"]
        if purpose not in ("forget", "prune"):
            msg = f"its purpose is {purpose!r}"
            raise ValueError(msg)
        amendment = cls(
            number=count(value["number"]),
            previous=RecordRef.from_json(value["previous"]),
            stream=stream_from_json(value["stream"]),
            requested_at=instant(value["requested_at"]),
            purpose=purpose,
            replaced={file.key: file for file in files},
            removed=tuple(expect(str, key) for key in value["removed"]),
            counts={int(n): AmendedCounts.from_json(c) for n, c in value["counts"].items()},
            earlier=None if value["earlier"] is None else count(value["earlier"]),
            writer=expect(str, value["writer"]),
        )
        amendment._check()
        return amendment

    def _check(self) -> None:
        """Raise unless its numbers are in order and its files are those of its own stream.

        It overwrites and deletes the files that it names.
        """
        earlier = self.earlier or 0
        if not self.previous.number < self.number <= MAX_NUMBER or not earlier < self.number:
            msg = f"the amendment {self.number} can't follow the records that it names"
            raise ValueError(msg)
        for key in (*self.replaced, *self.removed):
            if not self.stream.owns(*CohortFileName.from_key(key)):
                msg = "it names a file of another stream"
                raise ValueError(msg)
        if any(f.staged is None or f.staged.key != f.key for f in self.replaced.values()):
            msg = "it lacks the handle of a file"
            raise ValueError(msg)


LogRecord = SyncRecord | Amendment
"""The two kinds of records in the log."""
