"""The log of a stream, whose entries are read when they are needed.

Below ``CohortStream.log_prefix`` each sync or amendment has two objects, each created once:

- ``<99999999-n>-<n>.json``, record n. Creating it is the decision to sync or amend.
- ``<99999999-n>-<n>.end.json``, its outcome: published, void or amended.

The first number counts down, so the first key of a listing is the newest record or its
outcome. Finding the head takes one listing and one read, however long the history is.
"""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO, Self

from attrs import field, frozen

from ..errors import ObjectNotFoundError, RecordFormatError
from ..storage.protocol import ObjectInfo
from ._json import as_record_error, check_form, parse
from .amendments import Amendment, LogRecord
from .keys import LogEntry, outcome_key, parse_log_key, record_key
from .outcomes import Outcome
from .records import SyncRecord
from .stream import CohortStream

OpenObject = Callable[[str], BinaryIO]
"""A function that opens an object by its key: ``Storage.open``."""


MAX_ENTRY_BYTES = 16 << 20
"""The size limit of an entry, so that reading one takes bounded memory."""


def read_record(open_object: OpenObject, stream: CohortStream, number: int) -> LogRecord:
    """Return a record, whatever its outcome.

    Args:
        open_object: ``open`` of the log's storage.
        stream: The stream.
        number: The number of the record.

    Raises:
        RecordFormatError: The record is damaged.
        ObjectNotFoundError: There is no such record.
    """
    key = record_key(stream, number)
    data = _read(open_object, key)
    with as_record_error(key):
        value = parse(data)
        kind = Amendment if "purpose" in value else SyncRecord
        record = kind.from_json(value)
        check_form(record.to_bytes(), data)
    if record.key != key:
        raise RecordFormatError(key, f"it belongs to {record.key!r}")
    return record


def read_outcome(open_object: OpenObject, stream: CohortStream, number: int) -> Outcome:
    """Return the outcome of a record.

    Args:
        open_object: ``open`` of the log's storage.
        stream: The stream.
        number: The number of the record.

    Raises:
        RecordFormatError: The outcome is damaged.
        ObjectNotFoundError: The record has no outcome yet.
    """
    key = outcome_key(stream, number)
    outcome = Outcome.from_bytes(_read(open_object, key), key=key)
    if outcome.number != number or (outcome.head and outcome.head.stream != stream):
        raise RecordFormatError(key, "it belongs to another record or stream")
    return outcome


@frozen
class SyncLog:
    """The log of a stream. Entries are read when they are needed, each outcome once.

    Numbers have no gaps, so the newest entry of a listing determines all others.

    Attributes:
        stream: The stream.
        newest: The newest entry, or None if there is no log.
    """

    stream: CohortStream
    newest: LogEntry | None
    _open: OpenObject = field(repr=False, alias="open")
    _outcomes: dict[int, Outcome] = field(
        factory=dict[int, Outcome], alias="outcomes", repr=False, eq=False
    )
    _amendments: dict[int, Amendment] = field(
        factory=dict[int, Amendment], init=False, repr=False, eq=False
    )
    _amended_records: dict[int, SyncRecord] = field(
        factory=dict[int, SyncRecord], init=False, repr=False, eq=False
    )
    _unfinished: dict[int, LogRecord] = field(
        factory=dict[int, LogRecord], init=False, repr=False, eq=False
    )

    @classmethod
    def from_listing(
        cls, stream: CohortStream, listing: Iterable[ObjectInfo], open_object: OpenObject
    ) -> Self:
        """Return the log that a listing of ``stream.log_prefix`` shows, from its first entry."""
        entries = (parse_log_key(stream, info.key) for info in listing)
        return cls(stream, next((e for e in entries if e is not None), None), open_object)

    def with_outcome(self, outcome: Outcome) -> Self:
        """Return the log as it will be once its unfinished record has this outcome."""
        newest = LogEntry(outcome.number, is_outcome=True)
        outcomes = {**self._outcomes, outcome.number: outcome}
        return type(self)(self.stream, newest, self._open, outcomes)

    def record(self, number: int) -> LogRecord:
        """Return a record, whatever its outcome: see :func:`read_record`.

        Raises:
            RecordFormatError: It is damaged or missing, although the log has newer entries.
        """
        with _as_gap():
            return read_record(self._open, self.stream, number)

    def outcome(self, number: int) -> Outcome:
        """Return the outcome of a record: see :func:`read_outcome`.

        Raises:
            RecordFormatError: It is damaged or missing, although the log has newer entries.
        """
        if number not in self._outcomes:
            with _as_gap():
                self._outcomes[number] = read_outcome(self._open, self.stream, number)
        return self._outcomes[number]

    @property
    def last_ended(self) -> int:
        """The number of the newest record with an outcome, or 0. At most one record has none."""
        if self.newest is None:
            return 0
        return self.newest.number if self.newest.is_outcome else self.newest.number - 1

    @property
    def is_unfinished(self) -> bool:
        """True if the newest record has no outcome: its writer is still at work, or died."""
        return self.newest is not None and not self.newest.is_outcome

    @property
    def head(self) -> SyncRecord | None:
        """The newest published record."""
        return self.outcome(self.last_ended).head if self.last_ended else None

    @property
    def amendments(self) -> tuple[Amendment, ...]:
        """The amendments that were carried out, oldest first."""
        found = list[Amendment]()
        head = self.head
        number = None if head is None else head.amendment
        while number is not None:
            found.append(self._amendment(number))
            number = found[-1].earlier
        return tuple(reversed(found))

    @property
    def pending(self) -> Amendment | None:
        """The newest entry if it is an amendment without an outcome.

        Each of its files may still be the old one, or already the new one.
        """
        return self.unfinished if isinstance(self.unfinished, Amendment) else None

    @property
    def unfinished(self) -> LogRecord | None:
        """The newest record, if it has no outcome."""
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
        """The keys that an amendment failed to replace, and that no later one replaced."""
        lost = set[str]()
        for amendment in self.amendments:
            lost -= set(amendment.replaced)
            lost |= set(self.outcome(amendment.number).lost)
        return frozenset(lost)

    def _amendment(self, number: int) -> Amendment:
        if number not in self._amendments:
            record = self.record(number)
            if not isinstance(record, Amendment):
                raise RecordFormatError(record.key, "another record refers to it as an amendment")
            self._amendments[number] = record
        return self._amendments[number]

    def amended_record(self, number: int) -> SyncRecord:
        """Return a published record with all later amendments applied.

        Raises:
            RecordFormatError: The record is not that of a published sync.
        """
        outcome = self.outcome(number)
        if not outcome.published or outcome.head is None:
            raise RecordFormatError(record_key(self.stream, number), "it is not published")
        return self._amended(outcome.head)

    def _amended(self, record: SyncRecord) -> SyncRecord:
        """Return a record with all later amendments applied."""
        if record.number not in self._amended_records:
            amended = record
            for amendment in self.amendments:
                if amendment.number > record.number:
                    lost = self.outcome(amendment.number).lost
                    amended = amendment.applied_to(amended, lost)
            self._amended_records[record.number] = amended
        return self._amended_records[record.number]

    def published_at(self, when: datetime) -> SyncRecord | None:
        """Return the published record of the sync with this time, or None.

        This is a binary search: every outcome contains the head after it, and the times of
        these heads never decrease.
        """

        def time_after(number: int) -> datetime:
            head = self.outcome(number).head
            return datetime.min.replace(tzinfo=UTC) if head is None else head.synced_at

        numbers = range(1, self.last_ended + 1)
        index = bisect_left(numbers, when, key=time_after)
        head = self.outcome(numbers[index]).head if index < len(numbers) else None
        return self._amended(head) if head is not None and head.synced_at == when else None

    def published(self, after: int = 0) -> Iterator[SyncRecord]:
        """Yield every published record, oldest first.

        Args:
            after: Only records with a larger number are read.
        """
        for number in range(after + 1, self.last_ended + 1):
            outcome = self.outcome(number)
            if outcome.published and outcome.head is not None:
                yield self._amended(outcome.head)

    def unpublished(self, after: int = 0) -> Iterator[tuple[SyncRecord, bool]]:
        """Yield (record, is_void) for every sync that is not published.

        Args:
            after: Only records with a larger number are read.
        """
        for number in range(after + 1, self.last_ended + 1):
            outcome = self.outcome(number)
            if not outcome.published and not outcome.amended:
                yield self._sync(number), True
        if isinstance(self.unfinished, SyncRecord):
            yield self.unfinished, False

    def _sync(self, number: int) -> SyncRecord:
        record = self.record(number)
        if not isinstance(record, SyncRecord):
            raise RecordFormatError(record.key, "it is an amendment, but has the outcome of a sync")
        return record


@contextmanager
def _as_gap() -> Generator[None]:
    """Turn the error of a missing entry into one of the log, which has no gaps."""
    try:
        yield
    except ObjectNotFoundError as error:
        raise RecordFormatError(error.key, "it is missing") from error


def _read(open_object: OpenObject, key: str) -> bytes:
    with open_object(key) as file:
        data = file.read(MAX_ENTRY_BYTES + 1)
    if len(data) > MAX_ENTRY_BYTES:
        raise RecordFormatError(key, f"it has over {MAX_ENTRY_BYTES >> 20} MiB")
    return data
