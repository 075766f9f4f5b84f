"""Every exception of the library, on one screen.

Each class stands for one cause. It carries the facts as fields, also inherits
from the builtin that fits (so ``except FileNotFoundError`` works), pickles, and
its text says what is wrong, by which rule, and ends with the cure. People are
counted and never named: no field and no text holds a user id or a secret.
"""

from datetime import datetime

from attrs import define


class CohortS3Error(Exception):
    """The root: ``except CohortS3Error`` catches everything the library raises."""


# --- Names, configurations, keys ---------------------------------------------------


@define(slots=False)
class InvalidFileNameError(CohortS3Error, ValueError):
    """A text is not the name of a cohort file, or parts can't form one."""

    name: str
    rule: str

    def __str__(self) -> str:
        return (
            f"not a cohort file name: {self.rule}: {self.name!r}. "
            "Names look like 123_26umsb5_2026-11-23T14:05_entering_key.csv"
        )


@define(slots=False)
class NaiveDatetimeError(CohortS3Error, ValueError):
    """A ``datetime`` without a time zone was given where an instant is needed."""

    argument: str

    def __str__(self) -> str:
        return (
            f"{self.argument} has no time zone, so it is not an instant: "
            "give an aware datetime, for example datetime.now(timezone.utc)"
        )


@define(slots=False)
class ConfigurationError(CohortS3Error, ValueError):
    """A value of the configuration breaks its rules; all faults are reported at once."""

    subject: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        listed = "; ".join(self.faults)
        return f"{self.subject}: {listed}. Correct each of these {len(self.faults)} and try again"


class MissingRoutingKeyError(ConfigurationError):
    """The destination requires a routing key ("require suffix") and the sync has none."""


@define(slots=False)
class InvalidKeyError(CohortS3Error, ValueError):
    """A storage key breaks the rules that hold for every storage, or this one's."""

    key: str
    rule: str

    def __str__(self) -> str:
        return (
            f"not a usable storage key: {self.rule}: {self.key!r}. "
            "Keys are relative paths such as cohorts/name.csv, at most 1024 bytes of UTF-8"
        )


# --- Rows ----------------------------------------------------------------------------


@define(slots=False)
class MalformedCsvError(CohortS3Error, ValueError):
    """The bytes are not a cohort's CSV."""

    line: int
    """The line of the file, counted from 1, at which the faulty row begins."""
    rule: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.rule}. Repair the file, or leave it out"


@define(slots=False)
class MalformedGzipError(CohortS3Error, ValueError):
    """The bytes of a compressed file are not gzip, are damaged or cut off."""

    rule: str

    def __str__(self) -> str:
        return f"the bytes are not one whole gzip file: {self.rule}. Fetch or restore it anew"


@define(slots=False)
class MissingColumnsError(CohortS3Error, ValueError):
    """Members lack columns that the sync's schema declares."""

    columns: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the members lack the columns {', '.join(map(repr, self.columns))}: "
            "add them to the members, or take the properties out of the sync"
        )


@define(slots=False)
class UnsupportedValueError(CohortS3Error, TypeError):
    """A cell or a row is of a type that has no faithful text."""

    column: str
    type_name: str
    cure: str

    def __str__(self) -> str:
        return f"{self.column} holds a {self.type_name}, which has no one text form: {self.cure}"


@define(slots=False)
class InvalidTextError(CohortS3Error, ValueError):
    """A cell's text can't stand in a CSV file of UTF-8."""

    column: str
    rule: str

    def __str__(self) -> str:
        return f"a cell of {self.column} {self.rule}: clean it before the sync"


@define(slots=False)
class EmptyKeyError(CohortS3Error, ValueError):
    """Rows have no Amplitude id although members are matched by it."""

    column: str
    count: int
    lines: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.count} rows have an empty {self.column}, which members are matched by "
            f"(first at {_positions(self.lines)}): fill it in, or match by another column"
        )


@define(slots=False)
class DuplicateKeyError(CohortS3Error, ValueError):
    """Different rows share one key, so which of them is the member is undecided."""

    column: str
    count: int
    lines: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.count} values of {self.column} stand on rows that differ "
            f"(first at {_positions(self.lines)}): remove the surplus rows, "
            'or pass duplicates="keep_smallest" to keep the row with the smaller bytes'
        )


# --- Storage -------------------------------------------------------------------------


@define(slots=False)
class ObjectNotFoundError(CohortS3Error, FileNotFoundError):
    """No object is visible under this key."""

    key: str

    def __str__(self) -> str:
        return f"no object under {self.key!r}: list the storage to see what is there"


@define(slots=False)
class ObjectExistsError(CohortS3Error, FileExistsError):
    """Another object is already visible under this key; nothing is ever overwritten."""

    key: str

    def __str__(self) -> str:
        return f"another object is already under {self.key!r}: choose a key that is free"


@define(slots=False)
class StagedGoneError(CohortS3Error, FileNotFoundError):
    """A staged object was discarded, by us, by a recovery or by a rule of the store."""

    key: str

    def __str__(self) -> str:
        return f"what was staged for {self.key!r} is gone: run recover(), then sync again"


@define(slots=False)
class UnknownOutcomeError(CohortS3Error, OSError):
    """A write may or may not have happened; the storage could not be asked."""

    key: str
    reason: str

    def __str__(self) -> str:
        return (
            f"it is unknown whether {self.key!r} was written ({self.reason}): "
            "run the same sync again, it finds out and finishes"
        )


@define(slots=False)
class StorageUnsuitableError(CohortS3Error, OSError):
    """The store lacks a power that the promises of a Storage need."""

    store: str
    lacks: str
    cure: str

    def __str__(self) -> str:
        return f"{self.store} can't be used: it lacks {self.lacks}. {self.cure}"


# --- Syncs ---------------------------------------------------------------------------


@define(slots=False)
class MassExitError(CohortS3Error, ValueError):
    """The exit guard: so many members would leave that the source is likely broken."""

    members_before: int
    exits: int
    limit: int

    def __str__(self) -> str:
        return (
            f"{self.exits} of {self.members_before} members would exit, the guard allows "
            f"{self.limit}; nothing was stored. Check the source; if they really left, "
            f"pass max_exits={self.exits}"
        )


@define(slots=False)
class SyncTimeTakenError(CohortS3Error, FileExistsError):
    """A sync of this time exists and says something else."""

    synced_at: datetime
    next_free: datetime

    def __str__(self) -> str:
        return (
            f"the stream already has a different sync at {self.synced_at.isoformat()}: "
            f"the next free moment is {self.next_free.isoformat()}"
        )


@define(slots=False)
class SyncOrderError(CohortS3Error, ValueError):
    """The time is older than the newest sync; a history is only ever added to."""

    synced_at: datetime
    head: datetime

    def __str__(self) -> str:
        return (
            f"{self.synced_at.isoformat()} is older than the newest sync, "
            f"{self.head.isoformat()}: give a later time, or none at all"
        )


@define(slots=False)
class ClockSkewError(CohortS3Error, ValueError):
    """The clock is far behind the newest sync."""

    now: datetime
    head: datetime

    def __str__(self) -> str:
        return (
            f"the clock says {self.now.isoformat()}, but the newest sync is of "
            f"{self.head.isoformat()}: set the clock right, or pass synced_at"
        )


@define(slots=False)
class FutureTimeError(CohortS3Error, ValueError):
    """The time lies ahead of the clock and would block the syncs until then."""

    synced_at: datetime
    now: datetime

    def __str__(self) -> str:
        return (
            f"{self.synced_at.isoformat()} is more than 15 minutes ahead of the clock, "
            f"{self.now.isoformat()}, and would block every earlier sync: give a time that has come"
        )


@define(slots=False)
class MatchByChangedError(CohortS3Error, ValueError):
    """The stream's members are matched by another column; a change would swap everyone."""

    recorded: str
    requested: str

    def __str__(self) -> str:
        return (
            f"the stream matches members by {self.recorded!r}, not by {self.requested!r}: "
            "keep it, or sync to another path or routing key, which is a stream of its own"
        )


@define(slots=False)
class UnloggedSyncsError(CohortS3Error, ValueError):
    """Files of this stream exist that its log does not know, so the state is undecided."""

    log_prefix: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.names)} files of the stream, first {self.names[0]!r}, are in no record "
            f"under {self.log_prefix!r}. If Amplitude wrote them, call adopt(storage, stream) "
            "once; else remove what does not belong"
        )


@define(slots=False)
class NothingToAdoptError(CohortS3Error, ValueError):
    """The stream has no complete sync that could become the baseline, or has a log already."""

    log_prefix: str
    reason: str
    cure: str

    def __str__(self) -> str:
        return f"can't adopt into {self.log_prefix!r}: {self.reason}; {self.cure}"


@define(slots=False)
class NoSyncYetError(CohortS3Error, LookupError):
    """The members were asked for at a time before the first sync."""

    when: datetime
    first: datetime | None

    def __str__(self) -> str:
        if self.first is None:
            return "the stream has no whole sync: check project, cohort, path and routing key"
        return (
            f"the first sync is of {self.first.isoformat()}, after {self.when.isoformat()}: "
            "who was a member before is not recorded; ask for a later time"
        )


@define(slots=False)
class UnfinishedSyncError(CohortS3Error, OSError):
    """The newest record has no outcome yet: its writer is at work, or died."""

    record_key: str

    def __str__(self) -> str:
        return f"the sync recorded in {self.record_key!r} is not finished: call recover() first"


@define(slots=False)
class HeadFilesMissingError(CohortS3Error, FileNotFoundError):
    """Files of the newest published sync are gone, so there is no state to continue from."""

    keys: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the newest sync lacks {', '.join(map(repr, self.keys))}: restore these files "
            "(bucket versioning may still hold them); an older sync is never taken instead"
        )


@define(slots=False)
class ConcurrentSyncError(CohortS3Error, FileExistsError):
    """Another writer's sync won; this one left nothing visible."""

    record_key: str
    winner: datetime

    def __str__(self) -> str:
        return (
            f"another writer recorded the sync of {self.winner.isoformat()} in "
            f"{self.record_key!r} first; nothing of this one is visible. Sync again"
        )


@define(slots=False)
class SyncVoidError(CohortS3Error, OSError):
    """The recorded sync could not be published whole and was declared void."""

    record_key: str
    synced_at: datetime

    def __str__(self) -> str:
        return (
            f"the sync of {self.synced_at.isoformat()} recorded in {self.record_key!r} is void: "
            "its staged files were gone or its names taken. Sync again at a later moment"
        )


@define(slots=False)
class PlanMismatchError(CohortS3Error, ValueError):
    """The diff is not the one that the plan was made from."""

    difference: str

    def __str__(self) -> str:
        return f"the diff is not the plan's: {self.difference}. Plan again from this diff"


@define(slots=False)
class RecordFormatError(CohortS3Error, ValueError):
    """A record of the log is not what this library wrote: damaged, edited or newer."""

    key: str
    rule: str

    def __str__(self) -> str:
        return (
            f"{self.key!r} is not a readable record: {self.rule}. Restore it from a backup or an "
            "older version, or update the library if a newer one wrote it"
        )


@define(slots=False)
class DigestMismatchError(CohortS3Error, ValueError):
    """The bytes of a file are not those that its record vouches for."""

    key: str

    def __str__(self) -> str:
        return f"{self.key!r} was changed or damaged since it was written: restore the original"


def _positions(lines: tuple[int, ...]) -> str:
    return "line " + ", ".join(map(str, lines))
