"""Every exception of the library, on one page.

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
class WrongArgumentError(CohortS3Error, TypeError):
    """A function was given something of another kind than it takes."""

    argument: str
    type_name: str
    cure: str

    def __str__(self) -> str:
        return f"{self.argument} can't be of type {self.type_name}: {self.cure}"


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
        these = "this" if len(self.faults) == 1 else f"these {len(self.faults)}"
        return f"{self.subject}: {listed}. Correct {these} and try again"


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
    cure: str = "Repair the file, or leave it out"
    file: str | None = None
    """Which file, where it is known: its location without credentials, or its key."""

    def __str__(self) -> str:
        of = "" if self.file is None else f" of {self.file!r}"
        return f"line {self.line}{of}: {self.rule}. {self.cure}"


@define(slots=False)
class MalformedGzipError(CohortS3Error, ValueError):
    """The bytes of a compressed file are not gzip, are damaged or cut off."""

    rule: str

    def __str__(self) -> str:
        return f"the bytes are not one whole gzip file: {self.rule}. Fetch or restore it anew"


@define(slots=False)
class MalformedZstdError(CohortS3Error, ValueError):
    """The bytes of a file compressed with Zstandard are damaged or cut off."""

    rule: str

    def __str__(self) -> str:
        return f"the bytes are not one whole Zstandard file: {self.rule}. Fetch or restore it anew"


@define(slots=False)
class MemberFileError(CohortS3Error, OSError):
    """A file of members can't be read."""

    location: str
    """Where it is, without credentials and signatures."""
    reason: str

    def __str__(self) -> str:
        return (
            f"the members in {self.location!r} can't be read ({self.reason}): "
            "check the location, its credentials and that the file is whole"
        )


@define(slots=False)
class MemberFileNotFoundError(MemberFileError, FileNotFoundError):
    """There is no file of members at this location."""

    def __str__(self) -> str:
        return f"there is no file {self.location!r} ({self.reason}): check the location"


@define(slots=False)
class MissingColumnsError(CohortS3Error, ValueError):
    """Members lack columns that the sync's schema declares."""

    columns: tuple[str, ...]
    number: int | None = None
    """Of the row that lacks them, from 1, where each row of an iterable has its own."""

    def __str__(self) -> str:
        who = "the members lack" if self.number is None else f"row {self.number} lacks"
        return (
            f"{who} the columns {', '.join(map(repr, self.columns))}: add them, or "
            "rename what holds them (MemberFile has columns= for that); the sync can do without "
            "a property, and match by another column (match_by of its destination)"
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
    unit: str = "line"
    """What ``lines`` counts: lines of a file, or rows of an iterable, from 1."""

    def __str__(self) -> str:
        return (
            f"{self.count} rows have an empty {self.column}, which members are matched by "
            f"(first at {_positions(self.lines, self.unit)}): fill it in, "
            "or match by another column"
        )


@define(slots=False)
class DuplicateKeyError(CohortS3Error, ValueError):
    """Different rows share one key, so which of them is the member is undecided."""

    column: str
    count: int
    lines: tuple[int, ...]
    """Where the first rows stand that differ from an earlier one of their key."""
    unit: str = "line"

    def __str__(self) -> str:
        return (
            f"{self.count} values of {self.column} stand on rows that differ "
            f"(first at {_positions(self.lines, self.unit)}): remove the surplus rows, "
            'or pass duplicates="keep_smallest" to keep the row with the smaller bytes'
        )


# --- The diff ------------------------------------------------------------------------


@define(slots=False)
class DiskFullError(CohortS3Error, OSError):
    """The temporary files of a diff don't fit on the disk; they are removed."""

    folder: str

    def __str__(self) -> str:
        return (
            f"no room for the temporary files in {self.folder!r}: free some, or pass "
            "work_dir, a folder on a disk with twice the bytes of the members before and now"
        )


@define(slots=False)
class DiffClosedError(CohortS3Error, ValueError):
    """A file of a diff is wanted after the diff was closed, which removes its files."""

    name: str
    """Which of the three."""

    def __str__(self) -> str:
        return (
            f"the file {self.name!r} of the diff is gone, for the diff is closed: read it, and "
            "call commit, inside of the with"
        )


@define(slots=False)
class PartOrderError(CohortS3Error, ValueError):
    """Parts of a file are not in the order of the members' key."""

    key: str
    """Of the part whose first or a later key is not above the one before it."""

    def __str__(self) -> str:
        return (
            f"the rows of the part {self.key!r} are not in ascending order of their key, each "
            "once, behind those of the part before it: give rows sorted by the bytes of the key"
        )


@define(slots=False)
class WorkerDiedError(CohortS3Error, OSError):
    """A worker process of a diff ended before its work did."""

    exit_code: int

    def __str__(self) -> str:
        return (
            f"a worker process ended with code {self.exit_code} (a negative one is a signal; "
            "-9 is often a lack of memory): try again with fewer workers"
        )


@define(slots=False)
class MissingExtraError(CohortS3Error, ImportError):
    """Something was asked for that needs a package which is not installed."""

    package: str
    extra: str | None = None
    """The extra of ours that brings it, if one does."""

    def __str__(self) -> str:
        wanted = self.package if self.extra is None else f"amplitude_cohort_s3[{self.extra}]"
        return f'{self.package} is not installed: pip install "{wanted}" brings it'


@define(slots=False)
class InvalidArchiveError(CohortS3Error, ValueError):
    """The bytes are not a whole ``.tar.gz``; nothing of it was stored."""

    rule: str

    def __str__(self) -> str:
        return f"not a whole .tar.gz: {self.rule}. Fetch it again, or unpack it by hand"


@define(slots=False)
class ArchiveLimitError(CohortS3Error, ValueError):
    """An archive is larger than one of cohort files ever is; nothing of it was stored."""

    limit: str

    def __str__(self) -> str:
        return (
            f"the archive holds more than {self.limit}: it may be made to fill the disk. "
            "If you trust it, pass a larger max_bytes or unpack it by hand"
        )


@define(slots=False)
class InvalidNotificationError(CohortS3Error, ValueError):
    """A payload is not a message that S3 or a service behind it sends."""

    rule: str

    def __str__(self) -> str:
        return f"not a notification: {self.rule}. Pass the message whole, as it was received"


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
class ForeignHandleError(CohortS3Error, ValueError):
    """What a record names as staged was not staged by this kind of storage."""

    key: str
    lacks: str

    def __str__(self) -> str:
        return (
            f"the handle of what was staged for {self.key!r} has no {self.lacks!r}: "
            "use the kind of storage that the sync was begun with, and finish it there"
        )


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


@define(slots=False)
class MissingPowerError(CohortS3Error, TypeError):
    """A storage lacks an optional verb that forgetting or pruning needs."""

    storage: str
    verb: str
    purpose: str

    def __str__(self) -> str:
        return (
            f"a {self.storage} has no {self.verb}(), which {self.purpose} needs: syncs do without, "
            f"so it is optional. Use a storage that has it, or give yours the verb {self.verb}"
        )


@define(slots=False)
class BucketNotFoundError(CohortS3Error, FileNotFoundError):
    """The bucket does not exist, or not for these credentials' endpoint."""

    bucket: str

    def __str__(self) -> str:
        return f"there is no bucket {self.bucket!r} here: check its name, region and endpoint"


@define(slots=False)
class WrongRegionError(CohortS3Error, ValueError):
    """The bucket lives in another region than the one that was asked."""

    bucket: str
    region: str | None
    """Where the bucket is, if the store says so."""

    def __str__(self) -> str:
        where = f"in {self.region}" if self.region else "in another region"
        cure = f"region={self.region!r}" if self.region else "the bucket's region"
        return f"the bucket {self.bucket!r} is {where}: pass {cure}"


@define(slots=False)
class AccessDeniedError(CohortS3Error, PermissionError):
    """The credentials lack a permission, or a policy denies it."""

    bucket: str
    key: str | None
    action: str
    """The IAM action that was refused, such as ``s3:PutObject``."""

    def __str__(self) -> str:
        what = "" if self.key is None else f" of {self.key!r}"
        also = (
            " (a key that is not there also reads as denied where s3:ListBucket is missing)"
            if self.action == "s3:GetObject"
            else ""
        )
        return (
            f"{self.action}{what} in the bucket {self.bucket!r} is denied{also}: "
            "allow it in the bucket's policy, which bucket_policy() writes, and in the role's"
        )


class KmsAccessDeniedError(AccessDeniedError):
    """S3 would allow it, but the key that encrypts the object may not be used."""

    def __str__(self) -> str:
        return (
            f"{self.action} is denied on the KMS key that encrypts the bucket {self.bucket!r}: "
            "allow kms:GenerateDataKey and kms:Decrypt to writers and kms:Decrypt to readers, "
            "in the key's policy and in the role's"
        )


@define(slots=False)
class CredentialsError(CohortS3Error, PermissionError):
    """There are no credentials, or they are expired or unknown to the store."""

    reason: str

    def __str__(self) -> str:
        if self.reason == "NoCredentialsError":  # botocore's name for it
            return (
                "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or AWS_PROFILE for one of ~/.aws/config, or give the machine a role; these are "
                "the places where boto3 looks"
            )
        return (
            f"the credentials can't be used ({self.reason}): "
            "renew them, for example with aws sso login, or set AWS_PROFILE"
        )


@define(slots=False)
class StoreClockSkewError(CohortS3Error, OSError):
    """The store refuses the request because this machine's clock is wrong."""

    bucket: str

    def __str__(self) -> str:
        return (
            f"the store of {self.bucket!r} says that this machine's clock is more than "
            "15 minutes off: set the clock right"
        )


@define(slots=False)
class StoreUnavailableError(CohortS3Error, ConnectionError):
    """The store could not be reached, or failed, however often it was asked."""

    bucket: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the store of {self.bucket!r} does not answer as it should ({self.reason}): "
            "check its endpoint, or try again later; the same call goes on where this one stopped"
        )


@define(slots=False)
class StoreRefusedError(CohortS3Error, OSError):
    """The store refuses a request for a reason of its own."""

    bucket: str
    key: str | None
    operation: str
    code: str
    """The store's own word, such as ``InvalidRequest``."""

    def __str__(self) -> str:
        what = "" if self.key is None else f" of {self.key!r}"
        return (
            f"the store refuses {self.operation}{what} in {self.bucket!r} with {self.code}: check "
            "the bucket's name (it has no scheme and no path), else look the code up in the "
            "store's documentation"
        )


@define(slots=False)
class ObjectTooLargeError(CohortS3Error, ValueError):
    """The object is larger than the store takes."""

    key: str
    limit: int
    """In bytes."""

    def __str__(self) -> str:
        return (
            f"{self.key!r} is larger than the {self.limit} bytes the store takes: "
            "split the cohort, or sync fewer columns"
        )


@define(slots=False)
class TooManyPartsError(CohortS3Error, ValueError):
    """An object would be put together from more parts than the store takes."""

    key: str
    parts: int
    limit: int

    def __str__(self) -> str:
        return (
            f"{self.key!r} would consist of {self.parts} parts, the store takes {self.limit}: "
            "give fewer and larger ones"
        )


@define(slots=False)
class ObjectChangedError(CohortS3Error, OSError):
    """An object was replaced while it was read or copied, so its pieces would not fit."""

    key: str

    def __str__(self) -> str:
        return (
            f"{self.key!r} was replaced while it was read: find out who overwrites objects "
            "in this bucket, and read it again"
        )


# --- Amplitude's API -----------------------------------------------------------------


@define(slots=False)
class AmplitudeAccessDeniedError(CohortS3Error, PermissionError):
    """Amplitude refuses the key pair: a key is wrong, or the project is in another region."""

    host: str

    def __str__(self) -> str:
        return (
            f"{self.host} refuses the API key and secret key: check both in the project's "
            'settings, and pass region="eu" if it is in the EU data center, region="us" if not'
        )


@define(slots=False)
class UnknownCohortError(CohortS3Error, LookupError):
    """The project has no such cohort, or it can't be discovered."""

    cohort_id: str

    def __str__(self) -> str:
        return (
            f"the project has no discoverable cohort {self.cohort_id!r}: check the id, which "
            "stands in the cohort's URL, and publish the cohort; list_cohorts() shows all"
        )


@define(slots=False)
class CohortTooLargeError(CohortS3Error, ValueError):
    """The cohort has more users than Amplitude lets anyone download."""

    cohort_id: str
    size: int
    limit: int

    def __str__(self) -> str:
        return (
            f"the cohort {self.cohort_id!r} has {self.size} users, Amplitude's API gives "
            f"{self.limit} at most; nothing was asked for. Divide it into smaller cohorts, "
            "or sync it inside Amplitude and read that bucket"
        )


@define(slots=False)
class DownloadQuotaError(CohortS3Error, OSError):
    """The downloads of this month are used up; this one was not asked for."""

    used: int
    limit: int
    resets_at: datetime | None
    """When the count begins anew, where Amplitude says so."""

    def __str__(self) -> str:
        when = self.resets_at.isoformat() if self.resets_at else "the first of next month, UTC"
        return (
            f"{self.used} of {self.limit} downloads of this month are used: wait until {when}, "
            "sync less often, or leave out cohorts that have not changed"
        )


@define(slots=False)
class AmplitudeBusyError(CohortS3Error, OSError):
    """A limit of Amplitude's API would hold the request back for longer than the deadline."""

    step: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"Amplitude's limits hold back {self.step} for another {self.seconds:.0f} seconds, "
            "longer than the deadline: try again later, or make fewer downloads at a time"
        )


@define(slots=False)
class AmplitudeUnavailableError(CohortS3Error, ConnectionError):
    """Amplitude, or the store that its exports are in, failed however often it was asked."""

    step: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.step} failed again and again ({self.reason}); nothing was synced. "
            "Try again later"
        )


@define(slots=False)
class AmplitudeRefusedError(CohortS3Error, OSError):
    """Amplitude answers with a status that its documentation does not explain."""

    step: str
    status: int

    def __str__(self) -> str:
        return (
            f"Amplitude answers {self.step} with HTTP {self.status}: check what was asked for, "
            "and ask Amplitude's support with the time of this message"
        )


@define(slots=False)
class ExportTimeoutError(CohortS3Error, TimeoutError):
    """The deadline passed before everything had arrived."""

    step: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.step} was not done within {self.seconds:.0f} seconds; nothing was synced. "
            "Try again, pass a longer deadline, or ask for fewer properties"
        )


@define(slots=False)
class ExportFailedError(CohortS3Error, OSError):
    """Amplitude could not make the export, which is never taken for an empty cohort."""

    cohort_id: str
    status: str
    """Amplitude's own word for the job's state."""

    def __str__(self) -> str:
        return (
            f"Amplitude's export of {self.cohort_id!r} failed with {self.status!r}; nothing was "
            "synced. Try again, or ask for fewer properties"
        )


@define(slots=False)
class ExportExpiredError(CohortS3Error, LookupError):
    """Amplitude no longer has the export; it keeps one for seven days."""

    cohort_id: str

    def __str__(self) -> str:
        return f"the export of {self.cohort_id!r} has expired: sync again, which makes a new one"


@define(slots=False)
class ExportIncompleteError(CohortS3Error, OSError):
    """The export has fewer rows than Amplitude says the cohort has users."""

    cohort_id: str
    rows: int
    size: int

    def __str__(self) -> str:
        return (
            f"the export of {self.cohort_id!r} has {self.rows} rows, the cohort {self.size} users; "
            "nothing was synced. Try again; if they really differ, pass "
            f"max_missing={self.size - self.rows}"
        )


@define(slots=False)
class ExportChangedError(CohortS3Error, OSError):
    """A download had to begin again and was another one, so the rest would not fit."""

    cohort_id: str

    def __str__(self) -> str:
        return (
            f"the export of {self.cohort_id!r} broke off and was another one the next time: "
            "sync again"
        )


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
        return f"what is recorded in {self.record_key!r} is not finished: call recover() first"


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
    """Another writer came first (a sync, ``forget`` or ``prune``); this one changed nothing."""

    record_key: str
    winner: datetime

    def __str__(self) -> str:
        return (
            f"another writer recorded the sync of {self.winner.isoformat()} in "
            f"{self.record_key!r} first; nothing of this run is visible. Run it again"
        )


@define(slots=False)
class TooManyFilesError(CohortS3Error, ValueError):
    """What is to be forgotten or pruned at once concerns more files than one decision can name."""

    files: int
    purpose: str

    def __str__(self) -> str:
        return (
            f"{self.files:,} files are more than one entry of the log can hold, so nothing was "
            "changed: prune old syncs first, step by step by the time, and then run "
            f"{self.purpose} again"
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
class LogFullError(CohortS3Error, ValueError):
    """The log has had its last number, so the stream can't be continued."""

    prefix: str

    def __str__(self) -> str:
        return (
            f"the log below {self.prefix!r} has had its last number: give the destination another "
            "path or the sync another routing key, which begins another stream"
        )


@define(slots=False)
class DigestMismatchError(CohortS3Error, ValueError):
    """The bytes of a file are not those that its record vouches for."""

    key: str

    def __str__(self) -> str:
        return (
            f"{self.key!r} was changed or damaged since it was written: restore the original, or "
            "read the history again, if people were forgotten meanwhile"
        )


# --- Tables of a database -------------------------------------------------------------


@define(slots=False)
class SyncGapError(CohortS3Error, LookupError):
    """A sync does not follow on the one that was applied to the tables last."""

    stream: str
    synced_at: datetime
    reason: str

    def __str__(self) -> str:
        return (
            f"the sync of {self.synced_at.isoformat()} does not follow on the tables of "
            f"{self.stream!r}: {self.reason}. Give the whole history, or call apply with "
            "reconcile=True to take the members from its snapshot"
        )


@define(slots=False)
class MembersMismatchError(CohortS3Error, ValueError):
    """The changes of a sync, made to the tables, do not lead to its members."""

    stream: str
    synced_at: datetime
    what: str
    """``entering`` and ``exiting``: rows and stays; ``existing``, ``members``: after all."""
    expected: int
    found: int

    @property
    def reason(self) -> str:
        """What does not agree."""
        return f"{self.what}: {self.expected} expected, {self.found} found"

    def __str__(self) -> str:
        return (
            f"the sync of {self.synced_at.isoformat()} does not agree with the tables of "
            f"{self.stream!r}: {self.reason}. Call apply with reconcile=True to take the members "
            "from its snapshot, or find out with history.verify() what is wrong with the files"
        )


# --- Bucket policies -----------------------------------------------------------------


@define(slots=False)
class PolicyFormatError(CohortS3Error, ValueError):
    """What is to be merged into is not a policy, or not one that ours can join."""

    rule: str

    def __str__(self) -> str:
        return (
            f"can't merge into this policy: {self.rule}. Give the bucket's policy as "
            "GetBucketPolicy returns it, or None where the bucket has none"
        )


@define(slots=False)
class PolicyTooLargeError(CohortS3Error, ValueError):
    """The whole policy is larger than S3 takes."""

    size: int
    """In bytes, written without spaces."""
    limit: int

    def __str__(self) -> str:
        return (
            f"the bucket policy would have {self.size} bytes, {self.size - self.limit} more than "
            f"S3's limit of {self.limit}: remove statements that are no longer needed, "
            "or move readers to access points, which have policies of their own"
        )


def _positions(lines: tuple[int, ...], unit: str) -> str:
    if not lines:  # the source was not the same when it was read again
        return f"a {unit} that is not known"
    return f"{unit} {', '.join(map(str, lines))}"
