"""All exceptions of the library.

.. code-block:: text

    CohortS3Error
        [ArgumentError]
            ArgumentTypeError (TypeError)
            ConfigurationError (ValueError)
            NaiveDatetimeError (ValueError)
            InvalidFileNameError (ValueError)
            InvalidKeyError (ValueError)
            InvalidPolicyError (ValueError)
            InvalidNotificationError (ValueError)
            UnusableDiffError (ValueError)
            MissingExtraError (ImportError)
        [MembersError]
            MalformedCsvError (ValueError)
            CompressionError (ValueError)
            InvalidArchiveError (ValueError)
            MemberFileError (OSError)
                MemberFileNotFoundError (FileNotFoundError)
            MissingColumnsError (ValueError)
            InvalidCellError (ValueError)
            EmptyKeyError (ValueError)
            DuplicateKeyError (ValueError)
        [StorageError]
            ObjectNotFoundError (FileNotFoundError)
            ObjectExistsError (FileExistsError)
            ObjectChangedError (OSError)
            ObjectTooLargeError (ValueError)
            StagedGoneError (FileNotFoundError)
            UnknownOutcomeError (OSError) *
            UnsuitableStorageError (OSError)
            MissingCapabilityError (TypeError)
            BucketNotFoundError (FileNotFoundError)
            AccessDeniedError (PermissionError)
            CredentialsError (PermissionError)
                CredentialsUnavailableError (ConnectionError) *
            StoreUnavailableError (ConnectionError) *
            StoreRefusedError (OSError)
            ObjectRefusedError (OSError)
            FileAccessError (PermissionError)
            InvalidResponseError (OSError) *
            ArchivedObjectError (PermissionError)
            DiskFullError (OSError)
        [AmplitudeError]
            AmplitudeAccessDeniedError (PermissionError)
            UnknownCohortError (LookupError)
            NoCohortMatchesError (LookupError)
            UnusableCohortIdError (ValueError)
            AmplitudeLimitError (OSError)
            AmplitudeUnavailableError (ConnectionError) *
            AmplitudeTimeoutError (TimeoutError) *
            AmplitudeRefusedError (OSError)
            ExportFailedError (OSError) *
        SyncTimeError (ValueError)
            SyncTimeTakenError (FileExistsError)
        [StreamStateError]
            [GuardError] (ValueError)
                MassExitError
                MassGrowthError
                SkippedRowsError
                TooFewMembersError
            MatchByChangedError (ValueError)
            UnfinishedSyncError (OSError) *
            ConcurrentSyncError (FileExistsError) *
            SyncVoidError (OSError) *
            HeadFilesMissingError (FileNotFoundError)
            UnloggedSyncsError (ValueError)
            NothingToAdoptError (ValueError)
            NoSyncYetError (LookupError)
            UnknownMembersError (LookupError)
        [LogError]
            RecordFormatError (ValueError)
            LogLimitError (ValueError)
        TablesError (ValueError)
        DatabaseRefusedError (OSError)

Every class has one cause. The classes in brackets are families: catch them, they are never
raised themselves. Each raised class also derives from the builtin in parentheses, so
``except FileNotFoundError`` works. Those marked with ``*`` derive from ``RetryableError``
too: nothing was half done, and the same call may succeed later. The facts are fields, and
every exception can be pickled. No field and no message contains a user id or a secret.
"""

from datetime import datetime
from typing import Literal

from attrs import define


class CohortS3Error(Exception):
    """The root: ``except CohortS3Error`` catches everything that the library raises."""


class RetryableError(CohortS3Error):
    """A mark of the errors after which the same call may succeed later.

    The cause is temporary: another writer, the store or Amplitude. The command ends with
    exit code 75 after them.
    """


# --- Arguments -----------------------------------------------------------------------


class ArgumentError(CohortS3Error):
    """The family of wrong calls: an argument, a setting or the installation is wrong."""


@define(slots=False)
class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of a type that the function does not take.

    Example: ``stream has the wrong type CohortSync: pass sync.stream, its CohortStream``
    """

    argument: str
    type_name: str
    hint: str

    def __str__(self) -> str:
        return f"{self.argument} has the wrong type {self.type_name}: {self.hint}"


@define(slots=False)
class ConfigurationError(ArgumentError, ValueError):
    """A value that breaks the rules of its setting. All faults are reported at once.

    Example: ``Destination '': name must not be empty; compression must be 'gzip' or None, not
    'zip'``
    """

    subject: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.subject}: {'; '.join(self.faults)}"


@define(slots=False)
class NaiveDatetimeError(ArgumentError, ValueError):
    """A ``datetime`` without a time zone.

    Example: ``synced_at has no time zone: pass synced_at.astimezone() if it is local time, or
    synced_at.replace(tzinfo=timezone.utc) if it is UTC``
    """

    argument: str

    def __str__(self) -> str:
        return (
            f"{self.argument} has no time zone: pass {self.argument}.astimezone() if it is local "
            f"time, or {self.argument}.replace(tzinfo=timezone.utc) if it is UTC"
        )


@define(slots=False)
class InvalidFileNameError(ArgumentError, ValueError):
    """A text that is not the name of a cohort file, or parts that can't form one.

    Example: ``'members.csv' is not the name of a cohort file: there are 0 underscores, not 3 or 4.
    Names look like 123_26umsb5_2026-11-23T14:05_entering_key.csv``
    """

    name: str
    rule: str

    def __str__(self) -> str:
        return (
            f"{self.name!r} is not the name of a cohort file: {self.rule}. "
            "Names look like 123_26umsb5_2026-11-23T14:05_entering_key.csv"
        )


@define(slots=False)
class InvalidKeyError(ArgumentError, ValueError):
    """A storage key that breaks the rules of all storages, or of this one.

    Example: ``'cohorts//name.csv' can't be used as a storage key: a segment is empty. Use a
    relative path such as cohorts/name.csv, at most 1024 bytes of UTF-8``
    """

    key: str
    rule: str

    def __str__(self) -> str:
        return (
            f"{self.key!r} can't be used as a storage key: {self.rule}. "
            "Use a relative path such as cohorts/name.csv, at most 1024 bytes of UTF-8"
        )


@define(slots=False)
class InvalidPolicyError(ArgumentError, ValueError):
    """A bucket policy that can't be merged into, or that is larger than S3 accepts.

    Example: ``the bucket policy can't be used: it is not JSON. Pass the bucket's policy as
    GetBucketPolicy returns it, or None if the bucket has none``
    """

    rule: str
    hint: str = (
        "Pass the bucket's policy as GetBucketPolicy returns it, or None if the bucket has none"
    )

    def __str__(self) -> str:
        return f"the bucket policy can't be used: {self.rule}. {self.hint}"


@define(slots=False)
class InvalidNotificationError(ArgumentError, ValueError):
    """A payload that is not a message about events of S3.

    Example: ``the payload is not a notification of S3: it is not JSON. Pass the complete message as
    it was received``
    """

    rule: str

    def __str__(self) -> str:
        return (
            f"the payload is not a notification of S3: {self.rule}. "
            "Pass the complete message as it was received"
        )


@define(slots=False)
class UnusableDiffError(ArgumentError, ValueError):
    """A diff that is closed already, or that the plan was not made from.

    Example: ``the diff can't be used: it is not the diff of the plan. Make a new plan from this
    diff``
    """

    rule: str
    hint: str

    def __str__(self) -> str:
        return f"the diff can't be used: {self.rule}. {self.hint}"


@define(slots=False)
class MissingExtraError(ArgumentError, ImportError):
    """An optional package that is not installed.

    Example: ``the package matplotlib is not installed. Run pip install
    "amplitude_cohort_s3[plot]"``
    """

    package: str
    extra: str | None = None
    """The extra of this library that installs it, if there is one."""

    def __str__(self) -> str:
        wanted = self.package if self.extra is None else f"amplitude_cohort_s3[{self.extra}]"
        return f'the package {self.package} is not installed. Run pip install "{wanted}"'


# --- Members -------------------------------------------------------------------------


class MembersError(CohortS3Error):
    """The family of faults in the data: files, rows and values of members."""


@define(slots=False)
class MalformedCsvError(MembersError, ValueError):
    """A row or a file that is not the CSV of a cohort.

    Example: ``line 17 of 'members.csv': the row has 2 cells, but the header has 4. Put quotes
    around each cell that contains a comma or a line end``
    """

    line: int | None
    """The number of the faulty row's first line, from 1; None if it is not known."""
    rule: str
    hint: str = "Repair the file"
    file: str | None = None
    """The file's location without credentials, or its key, if it is known."""
    unit: str = "line"
    """The unit of ``line``: ``line`` of a file, or ``row`` of an iterable."""

    def __str__(self) -> str:
        where = [] if self.line is None else [f"{self.unit} {self.line}"]
        where += [] if self.file is None else [repr(self.file)]
        return f"{' of '.join(where) or 'the members'}: {self.rule}. {self.hint}"


@define(slots=False)
class CompressionError(MembersError, ValueError):
    """A compressed file that is damaged or cut off.

    Example: ``'members.csv.gz' is not one complete gzip file: the data ends too early. Download or
    restore the file again``
    """

    compression: Literal["gzip", "Zstandard"]
    rule: str
    file: str | None = None
    """The file's location without credentials, or its key, if it is known."""

    def __str__(self) -> str:
        what = "the bytes are" if self.file is None else f"{self.file!r} is"
        return (
            f"{what} not one complete {self.compression} file: {self.rule}. "
            "Download or restore the file again"
        )


@define(slots=False)
class InvalidArchiveError(MembersError, ValueError):
    """A ``.tar.gz`` archive that is damaged, or that is too large. Nothing of it was stored.

    Example: ``the archive 'cohort.tar.gz' can't be read: it ends before its end mark. Download it
    again, or unpack it yourself``
    """

    rule: str
    over_limit: bool = False
    """True if the archive is larger than any archive of cohort files."""
    file: str | None = None
    """The name of the archive, if its stream has one."""
    inner_file: str | None = None
    """The file in the archive that was being read, if there was one."""

    def __str__(self) -> str:
        hint = (
            "It may be made to fill the disk. If you trust it, pass a larger max_bytes"
            if self.over_limit
            else "Download it again"
        )
        where = "" if self.file is None else f" {self.file!r}"
        at = "" if self.inner_file is None else f" at its file {self.inner_file!r}"
        return f"the archive{where} can't be read{at}: {self.rule}. {hint}, or unpack it yourself"


@define(slots=False)
class MemberFileError(MembersError, OSError):
    """A file of members that can't be read.

    Example: ``the member file 's3://my-bucket/members.csv' can't be read (AccessDenied). Check its
    location and its credentials, and that it is complete``
    """

    location: str
    """The file's path or URL, without credentials and signatures."""
    reason: str
    hint: str = "Check its location and its credentials, and that it is complete"

    def __str__(self) -> str:
        return f"the member file {self.location!r} can't be read ({self.reason}). {self.hint}"


@define(slots=False)
class MemberFileNotFoundError(MemberFileError, FileNotFoundError):
    """A file of members that does not exist.

    Example: ``the member file 's3://my-bucket/members.csv' does not exist (NoSuchKey). Check its
    location``
    """

    hint: str = "Check its location"

    def __str__(self) -> str:
        return f"the member file {self.location!r} does not exist ({self.reason}). {self.hint}"


@define(slots=False)
class MissingColumnsError(MembersError, ValueError):
    """Columns that the sync's schema needs and the members do not have.

    Example: ``the members have no column 'plan'. The data has: 'amplitude_id', 'Email', 'Tier'.
    Rename the column that has it, or remove the property from the sync``
    """

    columns: tuple[str, ...]
    number: int | None = None
    """The number of the row that lacks them, from 1, if each row has columns of its own."""
    found: tuple[str, ...] = ()
    """The columns that the members have, if they are known."""
    file: str | None = None
    """The file's location without credentials, or its key, if it is known."""
    hint: str | None = None
    """What to do; None if the columns are missing from the members of a sync."""

    def __str__(self) -> str:
        where = "the members have" if self.file is None else f"{self.file!r} has"
        if self.number is not None:
            where = f"row {self.number} has"
        there = f". The data has: {_listed(self.found)}" if self.found else ""
        noun = "column" if len(self.columns) == 1 else "columns"
        return f"{where} no {noun} {_listed(self.columns)}{there}. {self.hint or self._remedy()}"

    def _remedy(self) -> str:
        # An id column is needed only as the key, so a sync without it can have another key.
        ids = [name for name in self.columns if name in ("amplitude_id", "user_id")]
        remedies = [f"Rename the column that has {'it' if len(self.columns) == 1 else 'each'}"]
        if self.file is not None:
            remedies[0] += f", as in MemberFile(..., columns={{'...': {self.columns[0]!r}}})"
        if ids:
            remedies.append("set another match_by in the Destination")
        if len(ids) < len(self.columns):
            remedies.append("remove the property from the sync")
        *others, last = remedies
        return f"{', '.join(others)}, or {last}"


@define(slots=False)
class InvalidCellError(MembersError, ValueError):
    """A value that can't be written to a CSV file without changing it.

    Example: ``a value in the column 'amplitude_id' is a float: read it as text or as an integer``
    """

    column: str
    rule: str
    """The fault, such as "is a float"."""
    hint: str
    lines: tuple[int, ...] = ()
    """The lines or rows of the first ones, if they are known."""
    unit: str = "row"
    """The unit of ``lines``: ``line`` of a file, or ``row`` of an iterable, from 1."""
    file: str | None = None
    """The file's location without credentials, or its key, if it is known."""
    files: tuple[str, ...] = ()
    """If several files were read: the file of each of ``lines``, which count from its beginning."""

    def __str__(self) -> str:
        of = "" if self.file is None else f" of {self.file!r}"
        where = _positions(self.lines, self.unit, len(self.lines), self.files)
        return f"a value in the column {self.column!r}{of} {self.rule}{where}: {self.hint}"


@define(slots=False)
class EmptyKeyError(MembersError, ValueError):
    """Rows without an Amplitude id, although members are matched by it.

    Example: ``2 rows have an empty amplitude_id, by which members are matched (lines 17 and 40).
    Fill it in, or set another match_by in the Destination``
    """

    column: str
    count: int
    lines: tuple[int, ...]
    """The lines or rows of the first ones."""
    unit: str = "line"
    """The unit of ``lines``: ``line`` of a file, or ``row`` of an iterable, from 1."""
    file: str | None = None
    """The file's location without credentials, or its key, if it is known."""
    files: tuple[str, ...] = ()
    """If several files were read: the file of each of ``lines``, which count from its beginning."""

    def __str__(self) -> str:
        rows = "1 row" if self.count == 1 else f"{self.count:,} rows"
        rows += "" if self.file is None else f" of {self.file!r}"
        rows += " has" if self.count == 1 else " have"
        return (
            f"{rows} an empty {self.column}, by which members are matched"
            f"{_positions(self.lines, self.unit, self.count, self.files)}. "
            "Fill it in, or set another match_by in the Destination"
        )


@define(slots=False)
class DuplicateKeyError(MembersError, ValueError):
    """Different rows with the same key.

    Example: ``2 values appear more than once in the column 'amplitude_id', with different data
    (rows 3 and 4). Remove the duplicates, or pass duplicates="keep_smallest" to keep the row that
    sorts first``
    """

    column: str
    count: int
    lines: tuple[int, ...]
    """The lines or rows of the first ones that differ from an earlier one of their key."""
    unit: str = "line"
    """The unit of ``lines``: ``line`` of a file, or ``row`` of an iterable, from 1."""
    file: str | None = None
    """The file's location without credentials, or its key, if it is known."""
    files: tuple[str, ...] = ()
    """If several files were read: the file of each of ``lines``, which count from its beginning."""

    def __str__(self) -> str:
        keys = "1 value appears" if self.count == 1 else f"{self.count:,} values appear"
        of = "" if self.file is None else f" of {self.file!r}"
        where = _positions(self.lines, self.unit, self.count, self.files)
        return (
            f"{keys} more than once in the column {self.column!r}{of}, with different data{where}. "
            'Remove the duplicates, or pass duplicates="keep_smallest" to keep the row that sorts '
            "first"
        )


# --- Storages ------------------------------------------------------------------------


class StorageError(CohortS3Error):
    """The family of faults of a storage: its objects, its store, or the disk."""


@define(slots=False)
class ObjectNotFoundError(StorageError, FileNotFoundError):
    """A key under which no object is visible.

    Example: ``there is no object 'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv'. List the
    storage to see which keys it has``
    """

    key: str

    def __str__(self) -> str:
        return f"there is no object {self.key!r}. List the storage to see which keys it has"


@define(slots=False)
class ObjectExistsError(StorageError, FileExistsError):
    """A key under which another object is visible. Nothing is ever overwritten.

    Example: ``another object already has the key
    'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv'. Choose a free key``
    """

    key: str

    def __str__(self) -> str:
        return f"another object already has the key {self.key!r}. Choose a free key"


@define(slots=False)
class ObjectChangedError(StorageError, OSError):
    """An object whose bytes are not those that its record describes, or changed on the way.

    Example: ``the bytes of 'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' are not those that
    were written. Restore the original; if users were forgotten meanwhile, read the history again``
    """

    key: str
    while_reading: bool = False
    """True if it was replaced while it was read or copied."""

    def __str__(self) -> str:
        if self.while_reading:
            return (
                f"{self.key!r} was replaced while it was read. Find out which program overwrites "
                "objects here, and read it again"
            )
        return (
            f"the bytes of {self.key!r} are not those that were written. Restore the original; "
            "if users were forgotten meanwhile, read the history again"
        )


@define(slots=False)
class ObjectTooLargeError(StorageError, ValueError):
    """An object that is larger, or has more parts, than the store accepts.

    Example: ``'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' would have 12,000 parts, but the
    store accepts at most 10,000. Pass fewer, larger parts: for an upload, a larger part_size to
    S3Storage``
    """

    key: str
    limit: int
    unit: Literal["bytes", "parts"] = "bytes"
    found: int | None = None
    """The size of the object in this unit, if it is known."""

    def __str__(self) -> str:
        has = f"more than {self.limit:,}" if self.found is None else f"{self.found:,}"
        hint = (
            "Split the cohort, or sync fewer columns"
            if self.unit == "bytes"
            else "Pass fewer, larger parts: for an upload, a larger part_size to S3Storage"
        )
        return (
            f"{self.key!r} would have {has} {self.unit}, but the store accepts at most "
            f"{self.limit:,}. {hint}"
        )


@define(slots=False)
class StagedGoneError(StorageError, FileNotFoundError):
    """A staged object that was discarded by a recovery or by a lifecycle rule of the store.

    Example: ``the staged object for 'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' no longer
    exists. Call recover(), then sync again``
    """

    key: str

    def __str__(self) -> str:
        return (
            f"the staged object for {self.key!r} no longer exists. Call recover(), then sync again"
        )


@define(slots=False)
class UnknownOutcomeError(StorageError, RetryableError, OSError):
    """A write that may or may not have happened, because the storage failed afterwards, too.

    Example: ``it is unknown whether 'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' was written
    (ReadTimeout). Run the same sync again: it finds out and finishes the work``
    """

    key: str
    reason: str

    def __str__(self) -> str:
        return (
            f"it is unknown whether {self.key!r} was written ({self.reason}). "
            "Run the same sync again: it finds out and finishes the work"
        )


@define(slots=False)
class UnsuitableStorageError(StorageError, OSError):
    """A storage that lacks what the guarantees of a sync need.

    Example: ``the directory bucket 'b--x-s3' lacks sorted listings. Use a general purpose bucket``
    """

    subject: str
    """The store, or a part of it."""
    lacks: str
    hint: str

    def __str__(self) -> str:
        return f"{self.subject} lacks {self.lacks}. {self.hint}"


@define(slots=False)
class MissingCapabilityError(StorageError, TypeError):
    """A storage without an optional method that this call needs.

    Example: ``ReadOnlyStorage has no method delete(), which prune needs. Use a storage that has it,
    or add the method to yours``
    """

    storage: str
    method: str
    purpose: str

    def __str__(self) -> str:
        return (
            f"{self.storage} has no method {self.method}(), which {self.purpose} needs. "
            "Use a storage that has it, or add the method to yours"
        )


@define(slots=False)
class BucketNotFoundError(StorageError, FileNotFoundError):
    """A bucket that does not exist, or that is in another region.

    Example: ``there is no bucket 'my-bucket'. Check its name, region and endpoint``
    """

    bucket: str
    elsewhere: bool = False
    """True if the bucket is in another region."""
    region: str | None = None
    """The bucket's region, if the store names it."""

    def __str__(self) -> str:
        if not self.elsewhere:
            return f"there is no bucket {self.bucket!r}. Check its name, region and endpoint"
        if self.region is None:
            return f"the bucket {self.bucket!r} is in another region. Pass region= with its name"
        return f"the bucket {self.bucket!r} is in {self.region}. Pass region={self.region!r}"


@define(slots=False)
class AccessDeniedError(StorageError, PermissionError):
    """A permission that the credentials lack, or that a policy denies.

    Example: ``s3:PutObject of 'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' in the bucket
    'my-bucket' is denied. Allow it in the policy of the bucket, which bucket_policy() writes, and
    of the role``
    """

    bucket: str
    key: str | None
    action: str
    """The denied IAM action, such as ``s3:PutObject`` or, for the bucket's key, ``kms:Decrypt``."""

    @property
    def is_kms(self) -> bool:
        """True if S3 allows the request, but the KMS key of the bucket does not."""
        return self.action.lower().startswith("kms")

    def __str__(self) -> str:
        if self.is_kms:
            return (
                f"{self.action} is denied on the KMS key of the bucket {self.bucket!r}. Allow "
                "kms:GenerateDataKey and kms:Decrypt to writers and kms:Decrypt to readers, in "
                "the policy of the key and of the role"
            )
        of = "" if self.key is None else f" of {self.key!r}"
        also = (
            " (without s3:ListBucket, S3 answers this for a missing key too)"
            if self.action == "s3:GetObject"
            else ""
        )
        return (
            f"{self.action}{of} in the bucket {self.bucket!r} is denied{also}. Allow it in the "
            "policy of the bucket, which bucket_policy() writes, and of the role"
        )


@define(slots=False)
class CredentialsError(StorageError, PermissionError):
    """Credentials of the store that are missing, expired or unknown, or that can't be obtained.

    Example: ``the AWS credentials are not accepted (ExpiredToken). Renew them, for example with aws
    sso login, or set AWS_PROFILE``
    """

    reason: str
    """The code of the answer, such as ``ExpiredToken``, or botocore's name for the fault."""
    operation: str | None = None
    """The request for credentials that failed, such as ``AssumeRole``; None for the store's own."""
    details: str | None = None
    """The fault in the settings that describe the credentials, if there is one."""
    hint: str = "Renew them, for example with aws sso login, or set AWS_PROFILE"

    def __str__(self) -> str:
        if self.operation is not None:
            problem = f"boto3 gets no AWS credentials, because {self.operation} failed"
        elif self.details is not None:
            problem = f"boto3 gets no AWS credentials: {self.details}"
        elif self.reason == "NoCredentialsError":  # botocore's name for it
            return (
                "boto3 found no AWS credentials. Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, set AWS_PROFILE to a profile of ~/.aws/config, or attach "
                "a role to the machine"
            )
        else:
            problem = "the AWS credentials are not accepted"
        return f"{problem} ({self.reason}). {self.hint}"


@define(slots=False)
class CredentialsUnavailableError(CredentialsError, RetryableError, ConnectionError):
    """A service for credentials that could not be reached, or that failed at every try.

    Example: ``boto3 gets no AWS credentials, because AssumeRole failed (EndpointConnectionError).
    Check the network, or run the same again later``
    """


@define(slots=False)
class StoreUnavailableError(StorageError, RetryableError, ConnectionError):
    """A store that could not be reached, or that failed at every try.

    Example: ``the store of the bucket 'my-bucket' is not available (SlowDown). Check the network,
    the region and the endpoint, or run the same again later``
    """

    bucket: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the store of the bucket {self.bucket!r} is not available ({self.reason}). "
            "Check the network, the region and the endpoint, or run the same again later"
        )


@define(slots=False)
class StoreRefusedError(StorageError, OSError):
    """A request that the store refuses for a reason of its own.

    Example: ``the store refuses PutObject of 'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' in
    the bucket 'my-bucket' with the code InvalidRequest. Check the name of the bucket, then look up
    the code in the store's documentation``
    """

    bucket: str
    key: str | None
    operation: str
    code: str
    """The store's error code, such as ``InvalidRequest``."""

    def __str__(self) -> str:
        of = "" if self.key is None else f" of {self.key!r}"
        hint = (
            "Set the clock of this machine: it is more than 15 minutes off"
            if self.code == "RequestTimeTooSkewed"
            else "Check the name of the bucket, then look up the code in the store's documentation"
        )
        return (
            f"the store refuses {self.operation}{of} in the bucket {self.bucket!r} with the code "
            f"{self.code}. {hint}"
        )


@define(slots=False)
class ObjectRefusedError(StorageError, OSError):
    """An object that the storage refuses from every caller: its name or its parts break a rule.

    A sync with such an object is void, since no other writer could publish it either.

    Example: ``'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' can't be stored by anyone: the
    store refuses CompleteMultipartUpload with the code InvalidPart. Look up the code in the store's
    documentation``
    """

    key: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.key!r} can't be stored by anyone: {self.reason}. {self.hint}"


@define(slots=False)
class FileAccessError(StorageError, PermissionError):
    """A file or folder of a local storage that this account may not use.

    Example: ``'/data/cohorts' belongs to the account 0 and refuses the account 1000. Run as its
    owner, or give this account access``
    """

    path: str
    fault: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path!r} {self.fault}. {self.hint}"


@define(slots=False)
class InvalidResponseError(StorageError, RetryableError, OSError):
    """A response that is not one of S3: a web page, a redirect, or a listing without an end.

    A proxy may have sent it, so the same call may succeed later. But if the endpoint is wrong,
    it always fails.

    Example: ``the endpoint of the bucket 'my-bucket' does not answer ListObjectsV2 as S3 does: it
    has no IsTruncated and the type text/html. Set endpoint_url to the address of the S3 API, not of
    a web console, and check proxies and http or https``
    """

    bucket: str
    operation: str
    found: str
    """The part of the response that is wrong or missing."""

    def __str__(self) -> str:
        return (
            f"the endpoint of the bucket {self.bucket!r} does not answer {self.operation} as S3 "
            f"does: {self.found}. Set endpoint_url to the address of the S3 API, not of a web "
            "console, and check proxies and http or https"
        )


@define(slots=False)
class ArchivedObjectError(StorageError, PermissionError):
    """An object in an archive, such as S3 Glacier, whose bytes can't be read at present.

    Example: ``'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' in the bucket 'my-bucket' is
    archived (storage class GLACIER), so it can't be read. Restore it with s3:RestoreObject, wait
    until it is restored, and call again``
    """

    bucket: str
    key: str
    storage_class: str | None = None
    """The storage class, such as ``DEEP_ARCHIVE``, if the store names it."""
    access_tier: str | None = None
    """The tier of Intelligent-Tiering, such as ``ARCHIVE_ACCESS``."""

    @property
    def action(self) -> str:
        """The IAM action that makes the object readable again."""
        return "s3:RestoreObject"

    def __str__(self) -> str:
        tier = f", tier {self.access_tier}" if self.access_tier else ""
        where = f" (storage class {self.storage_class}{tier})" if self.storage_class else ""
        return (
            f"{self.key!r} in the bucket {self.bucket!r} is archived{where}, so it can't be read. "
            f"Restore it with {self.action}, wait until it is restored, and call again"
        )


@define(slots=False)
class DiskFullError(StorageError, OSError):
    """A disk without space for the temporary files of a diff. They have been removed.

    Example: ``the temporary files in '/tmp' do not fit on the disk. Free some space, or pass
    work_dir='...', a folder with space for twice the members before and now``
    """

    folder: str

    def __str__(self) -> str:
        return (
            f"the temporary files in {self.folder!r} do not fit on the disk. Free some space, or "
            "pass work_dir='...', a folder with space for twice the members before and now"
        )


# --- Amplitude's API -----------------------------------------------------------------


class AmplitudeError(CohortS3Error):
    """The family of faults while members are downloaded from Amplitude. Nothing was synced."""


@define(slots=False)
class AmplitudeAccessDeniedError(AmplitudeError, PermissionError):
    """A key pair that Amplitude refuses: a key is wrong, or the project is in another region.

    Example: ``https://amplitude.com refuses the API key and the secret key. Check both in the
    settings of the project, and pass region="eu" for a project in the EU data center, else
    region="us"``
    """

    host: str

    def __str__(self) -> str:
        return (
            f"{self.host} refuses the API key and the secret key. Check both in the settings of "
            'the project, and pass region="eu" for a project in the EU data center, else '
            'region="us"'
        )


@define(slots=False)
class UnknownCohortError(AmplitudeError, LookupError):
    """A cohort that the project does not have, or that is not discoverable.

    Example: ``the project has no discoverable cohort '26umsb5'. Compare the id with the cohort's
    URL, and publish the cohort; list_cohorts() lists all discoverable ones``
    """

    cohort_id: str

    def __str__(self) -> str:
        return (
            f"the project has no discoverable cohort {self.cohort_id!r}. Compare the id with the "
            "cohort's URL, and publish the cohort; list_cohorts() lists all discoverable ones"
        )


@define(slots=False)
class NoCohortMatchesError(AmplitudeError, LookupError):
    """A pattern that matches the name of no cohort, or only of archived ones.

    Example: ``none of the 12 discoverable cohorts has a name that matches 'Marketing *'. Compare
    the pattern with the names, and publish the cohorts``
    """

    pattern: str
    listed: int
    """The number of discoverable cohorts."""

    def __str__(self) -> str:
        found = f"{self.listed:,} discoverable cohort{'' if self.listed == 1 else 's'}"
        return (
            f"none of the {found} has a name that matches {self.pattern!r}. Compare the pattern "
            "with the names, and publish the cohorts"
        )


@define(slots=False)
class UnusableCohortIdError(AmplitudeError, ValueError):
    """A cohort of a pattern whose id can't be part of a file's name.

    Example: ``the cohort 'Marketing EU' can't be synced by a pattern: cohort_id '26_umsb5': a
    cohort id consists of letters, digits and -. Sync it by itself, with another cohort_id``
    """

    cohort_id: str
    name: str
    rule: str

    def __str__(self) -> str:
        return (
            f"the cohort {self.name!r} can't be synced by a pattern: {self.rule}. Sync it by "
            "itself, with another cohort_id"
        )


@define(slots=False)
class AmplitudeLimitError(AmplitudeError, OSError):
    """A limit of Amplitude's API: the users of a cohort, or the downloads of a month.

    Example: ``the cohort '26umsb5' has 3,000,000 users, but Amplitude exports at most 2,000,000.
    Split it into smaller cohorts, or let Amplitude sync it to a bucket and read that``
    """

    limit_of: Literal["users", "downloads"]
    found: int
    """The number of users of the cohort, or of downloads that were used."""
    limit: int
    cohort_id: str | None = None
    resets_at: datetime | None = None
    """The time at which Amplitude resets the count of downloads, if it is known."""

    def __str__(self) -> str:
        if self.limit_of == "users":
            return (
                f"the cohort {self.cohort_id!r} has {self.found:,} users, but Amplitude exports at "
                f"most {self.limit:,}. Split it into smaller cohorts, or let Amplitude sync it to "
                "a bucket and read that"
            )
        when = self.resets_at.isoformat() if self.resets_at else "the first of next month, UTC"
        return (
            f"{self.found:,} of {self.limit:,} downloads of this month are used. Wait until "
            f"{when}, sync less often, or skip cohorts that have not changed"
        )


@define(slots=False)
class AmplitudeUnavailableError(AmplitudeError, RetryableError, ConnectionError):
    """A request that failed at every try, at Amplitude or the store of its exports.

    Example: ``the download of '26umsb5' failed at every try (HTTP 503). Run the same again later``
    """

    step: str
    reason: str

    def __str__(self) -> str:
        return f"{self.step} failed at every try ({self.reason}). Run the same again later"


@define(slots=False)
class AmplitudeTimeoutError(AmplitudeError, RetryableError, TimeoutError):
    """A deadline that passed, or that would pass while a rate limit is waited for.

    Example: ``the download of '26umsb5' was not done within 600 seconds. Run the same again, pass a
    longer deadline, or request fewer properties``
    """

    step: str
    seconds: float
    """The length of the deadline, or the wait that the rate limit requires."""
    rate_limited: bool = False
    """True if a rate limit of Amplitude is the cause."""

    def __str__(self) -> str:
        if self.rate_limited:
            return (
                f"Amplitude's rate limit delays {self.step} by {self.seconds:.0f} seconds, longer "
                "than the deadline. Run the same again later, or download fewer cohorts at a time"
            )
        return (
            f"{self.step} was not done within {self.seconds:.0f} seconds. Run the same again, "
            "pass a longer deadline, or request fewer properties"
        )


@define(slots=False)
class AmplitudeRefusedError(AmplitudeError, OSError):
    """A response whose HTTP status Amplitude's documentation does not explain.

    Example: ``Amplitude answers the download of '26umsb5' with HTTP 418. Check the ids and
    properties that were requested; if they are right, ask Amplitude's support``
    """

    step: str
    status: int

    def __str__(self) -> str:
        return (
            f"Amplitude answers {self.step} with HTTP {self.status}. Check the ids and properties "
            "that were requested; if they are right, ask Amplitude's support"
        )


@define(slots=False)
class ExportFailedError(AmplitudeError, RetryableError, OSError):
    """An export that failed, expired, changed, or has too few rows.

    Example: ``the export of the cohort '26umsb5' failed: it has 990 rows, but the cohort has 1,000
    users. Sync again; if the numbers really differ, pass max_missing=10``
    """

    cohort_id: str
    reason: str
    rows: int | None = None
    """The number of rows of the export, if there are too few."""
    size: int | None = None
    """The number of users that Amplitude reports for the cohort, if there are too few rows."""

    def __str__(self) -> str:
        hint = "Sync again"
        if self.rows is not None and self.size is not None:
            hint += f"; if the numbers really differ, pass max_missing={self.size - self.rows}"
        return f"the export of the cohort {self.cohort_id!r} failed: {self.reason}. {hint}"


# --- The time of a sync --------------------------------------------------------------


@define(slots=False)
class SyncTimeError(CohortS3Error, ValueError):
    """A time at which the stream can't have a sync.

    Example: ``2026-11-23T14:05:00+00:00 is before the newest sync (2026-11-23T15:00:00+00:00). Pass
    a later time, or leave out synced_at``
    """

    problem: Literal["future", "order", "clock", "taken"]
    """``future``: later than the clock; ``order``: before the newest sync; ``clock``: the
    clock itself is before the newest sync; ``taken``: a different sync has the time."""
    synced_at: datetime
    """The time that was passed; after ``clock`` the time of the clock."""
    other: datetime
    """The clock's time after ``future``, the newest sync's after ``order`` and ``clock``, and
    the next free time after ``taken``."""

    def __str__(self) -> str:
        at, other = self.synced_at.isoformat(), self.other.isoformat()
        match self.problem:
            case "future":
                return (
                    f"{at} is more than 15 minutes later than the clock ({other}), and would "
                    "block every sync until then. Pass a time that has passed"
                )
            case "order":
                return (
                    f"{at} is before the newest sync ({other}). Pass a later time, or leave out "
                    "synced_at"
                )
            case "clock":
                return (
                    f"the clock ({at}) is far behind the newest sync ({other}). Set the clock, or "
                    "pass synced_at"
                )
            case "taken":
                return (
                    f"the stream has a different sync at {at}. Pass another time: the next free "
                    f"one is {other}"
                )


@define(slots=False, init=False)
class SyncTimeTakenError(SyncTimeError, FileExistsError):
    """A time at which the stream has a different sync.

    Example: ``the stream has a different sync at 2026-11-23T14:05:00+00:00. Pass another time: the
    next free one is 2026-11-23T14:06:00+00:00``
    """

    def __init__(self, synced_at: datetime, next_free: datetime) -> None:
        super().__init__("taken", synced_at, next_free)
        self.args = (synced_at, next_free)  # for pickle

    @property
    def next_free(self) -> datetime:
        """The next time that no sync has."""
        return self.other


# --- The state of a stream -----------------------------------------------------------


class StreamStateError(CohortS3Error):
    """The family of states of a stream in which the call can't be carried out."""


class GuardError(StreamStateError, ValueError):
    """The family of refusals by the guard: a sync exceeds a limit. Nothing was stored."""


@define(slots=False)
class MassExitError(GuardError):
    """More members that would leave than the guard allows. Nothing was stored.

    Example: ``900 of 1,000 members would exit, but the guard allows 500; nothing was stored.
    Check the source of the members; if they really left, sync once
    with guard=Guard(max_exits=900)``
    """

    members_before: int
    exits: int
    limit: int
    override: str
    """Python code of the guard that allows this sync: the same one with another limit."""
    skipped: int = 0
    """The number of source rows without a key, which do not count as members."""

    def __str__(self) -> str:
        return (
            f"{self.exits:,} of {self.members_before:,} members would exit, but the guard "
            f"allows {self.limit:,}; nothing was stored{_and_skipped(self.skipped)}. Check the "
            f"source of the members; if they really left, sync once with guard={self.override}"
        )


@define(slots=False)
class MassGrowthError(GuardError):
    """A cohort that would grow by more than the guard allows. Nothing was stored.

    Example: ``the cohort would grow from 1,000 to 9,000 members, but the guard allows 1,000 more;
    nothing was stored. Check the source of the members; if the cohort really grew, sync once
    with guard=Guard(max_growth=8000)``
    """

    members_before: int
    members: int
    limit: int
    override: str
    """Python code of the guard that allows this sync: the same one with another limit."""

    def __str__(self) -> str:
        return (
            f"the cohort would grow from {self.members_before:,} to {self.members:,} members, but "
            f"the guard allows {self.limit:,} more; nothing was stored. Check the source of the "
            f"members; if the cohort really grew, sync once with guard={self.override}"
        )


@define(slots=False)
class SkippedRowsError(GuardError):
    """More source rows without a key than the guard allows. Nothing was stored.

    Example: ``900 of 1,000 rows have no key, but the guard allows 500; nothing was stored. Check
    the column that members are matched by; if it may be empty, sync once
    with guard=Guard(max_skipped=900)``
    """

    rows: int
    skipped: int
    limit: int
    override: str
    """Python code of the guard that allows this sync: the same one with another limit."""

    def __str__(self) -> str:
        return (
            f"{self.skipped:,} of {self.rows:,} rows have no key, but the guard allows "
            f"{self.limit:,}; nothing was stored. Check the column that members are matched by; "
            f"if it may be empty, sync once with guard={self.override}"
        )


@define(slots=False)
class TooFewMembersError(GuardError):
    """A cohort that would have fewer members than the guard demands. Nothing was stored.

    Example: ``the cohort would have 3 members, but the guard demands at least 1,000; nothing was
    stored. Check the source of the members; if the cohort is really so small, sync once
    with guard=Guard(min_members=3)``
    """

    members: int
    minimum: int
    override: str
    """Python code of the guard that allows this sync: the same one with another limit."""
    skipped: int = 0
    """The number of source rows without a key, which do not count as members."""

    def __str__(self) -> str:
        members = "1 member" if self.members == 1 else f"{self.members:,} members"
        return (
            f"the cohort would have {members}, but the guard demands at least {self.minimum:,}; "
            f"nothing was stored{_and_skipped(self.skipped)}. Check the source of the members; "
            f"if the cohort is really so small, sync once with guard={self.override}"
        )


def _and_skipped(skipped: int) -> str:
    rows = "1 row was" if skipped == 1 else f"{skipped:,} rows were"
    return f", and {rows} skipped for lack of a key" if skipped else ""


@define(slots=False)
class MatchByChangedError(StreamStateError, ValueError):
    """A ``match_by`` that differs from the stream's. The change would replace every member.

    Example: ``the stream matches members by 'amplitude_id', not by 'user_id'. Set
    match_by='amplitude_id', or sync to another path or routing key``
    """

    recorded: str
    requested: str

    def __str__(self) -> str:
        return (
            f"the stream matches members by {self.recorded!r}, not by {self.requested!r}. Set "
            f"match_by={self.recorded!r}, or sync to another path or routing key"
        )


@define(slots=False)
class UnfinishedSyncError(StreamStateError, RetryableError, OSError):
    """A newest record without an outcome: its writer is still at work, or has died.

    Example: ``the sync recorded in 'cohorts/_syncs/123_26umsb5/99999997-00000002.json' is not
    finished. Call recover() first``
    """

    record_key: str

    def __str__(self) -> str:
        return f"the sync recorded in {self.record_key!r} is not finished. Call recover() first"


@define(slots=False)
class ConcurrentSyncError(StreamStateError, RetryableError, FileExistsError):
    """Another writer (a sync, ``forget`` or ``prune``) that came first. Nothing was changed.

    Example: ``another writer created 'cohorts/_syncs/123_26umsb5/99999997-00000002.json' first, for
    the sync of 2026-11-23T14:05:00+00:00; nothing of this run is visible. Run it again, from the
    reading of the head on``
    """

    record_key: str
    winner: datetime

    def __str__(self) -> str:
        return (
            f"another writer created {self.record_key!r} first, for the sync of "
            f"{self.winner.isoformat()}; nothing of this run is visible. Run it again, from the "
            "reading of the head on"
        )


@define(slots=False)
class SyncVoidError(StreamStateError, RetryableError, OSError):
    """A recorded sync that could not be published completely, and is void.

    Example: ``the sync of 2026-11-23T14:05:00+00:00 in
    'cohorts/_syncs/123_26umsb5/99999997-00000002.json' is void: a staged file no longer exists, or
    a file name is occupied. Sync again at a later time``
    """

    record_key: str
    synced_at: datetime
    refusal: str | None = None
    """The message of the storage that refused a file, if one did."""

    def __str__(self) -> str:
        void = f"the sync of {self.synced_at.isoformat()} in {self.record_key!r} is void"
        if self.refusal is not None:
            return f"{void}: {self.refusal}"
        return (
            f"{void}: a staged file no longer exists, or a file name is occupied. "
            "Sync again at a later time"
        )


@define(slots=False)
class HeadFilesMissingError(StreamStateError, FileNotFoundError):
    """Files of the newest published sync that no longer exist.

    Example: ``the newest sync has lost its file
    'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv'. Restore it, for example from an older
    object version``
    """

    keys: tuple[str, ...]

    def __str__(self) -> str:
        files = "file" if len(self.keys) == 1 else "files"
        return (
            f"the newest sync has lost its {files} {_listed(self.keys)}. Restore "
            f"{'it' if len(self.keys) == 1 else 'them'}, for example from an older object version"
        )


@define(slots=False)
class UnloggedSyncsError(StreamStateError, ValueError):
    """Files of the stream that its log does not contain.

    Example: ``the file 'cohorts/123_26umsb5_2026-11-23T14:05_existing.csv' is in no record under
    'cohorts/_syncs/123_26umsb5/'. If Amplitude wrote the files, call adopt(storage, stream) once;
    otherwise remove them``
    """

    log_prefix: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        files = (
            f"the file {self.names[0]!r} is"
            if len(self.names) == 1
            else f"{len(self.names):,} files of the stream, first {self.names[0]!r}, are"
        )
        return (
            f"{files} in no record under {self.log_prefix!r}. If Amplitude wrote the files, call "
            "adopt(storage, stream) once; otherwise remove them"
        )


@define(slots=False)
class NothingToAdoptError(StreamStateError, ValueError):
    """A stream without a complete sync to begin a log with, or with a log already.

    Example: ``the log 'cohorts/_syncs/123_26umsb5/' can't be begun: the stream has a log already.
    Sync without adopt()``
    """

    log_prefix: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"the log {self.log_prefix!r} can't be begun: {self.reason}. {self.hint}"


@define(slots=False)
class NoSyncYetError(StreamStateError, LookupError):
    """A time before the first sync of the stream, or a stream without syncs.

    Example: ``the members at 2026-11-23T14:05:00+00:00 are unknown: the first sync is of
    2026-11-23T15:00:00+00:00. Pass a later time``
    """

    when: datetime
    first: datetime | None
    """The time of the first sync; None if there is none."""
    has_lists: bool = False
    """True if the stream has files ``existing``, but no sync with all three files."""
    prefix: str | None = None
    """The beginning of the keys of the stream's files, if there is no sync."""

    def __str__(self) -> str:
        files = "" if self.prefix is None else f" (its files begin with {self.prefix!r})"
        if self.first is None and self.has_lists:
            return (
                f"the stream has no complete sync{files}, but it has files existing. If each "
                "contains all members, call amplitude_cohort_s3.sync.rebuild_history"
            )
        if self.first is None:
            return (
                f"the stream has no complete sync{files}. Check the project, cohort, path and "
                "routing key; list_streams(storage) yields the streams that are there"
            )
        return (
            f"the members at {self.when.isoformat()} are unknown: the first sync is of "
            f"{self.first.isoformat()}. Pass a later time"
        )


@define(slots=False)
class UnknownMembersError(StreamStateError, LookupError):
    """A time at which the members are not known from the syncs and files that were read.

    Example: ``the members at 2026-11-23T14:05:00+00:00 are unknown: the history was read with
    until=2026-11-23T12:00:00+00:00. Read it with a later until, or without``
    """

    when: datetime
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"the members at {self.when.isoformat()} are unknown: {self.reason}. {self.hint}"


# --- The log -------------------------------------------------------------------------


class LogError(CohortS3Error):
    """The family of faults of a stream's log."""


@define(slots=False)
class RecordFormatError(LogError, ValueError):
    """An entry of the log that is damaged, edited, or of a newer version of the library.

    Example: ``'cohorts/_syncs/123_26umsb5/99999997-00000002.json' is not a valid entry of the log:
    it is not JSON. Restore it from a backup or an older object version, or update the library if a
    newer version wrote it``
    """

    key: str
    rule: str

    def __str__(self) -> str:
        return (
            f"{self.key!r} is not a valid entry of the log: {self.rule}. Restore it from a backup "
            "or an older object version, or update the library if a newer version wrote it"
        )


@define(slots=False)
class LogLimitError(LogError, ValueError):
    """A log that has used its last number, or an entry that is too large for a log.

    Example: ``the log can't take the entry: its last number is used. Set another path in the
    Destination``
    """

    rule: str
    hint: str

    def __str__(self) -> str:
        return f"the log can't take the entry: {self.rule}. {self.hint}"


# --- Tables of a database ------------------------------------------------------------


@define(slots=False)
class TablesError(CohortS3Error, ValueError):
    """A sync that does not follow the state of the tables, or does not lead to its members.

    Example: ``the sync of 2026-11-23T14:05:00+00:00 does not match the tables of
    'cohorts/123_26umsb5': members: 1,000 expected, 998 found. Nothing was changed. Call apply with
    reconcile=True to take the members from the snapshot of the sync``
    """

    stream: str
    synced_at: datetime
    reason: str

    def __str__(self) -> str:
        return (
            f"the sync of {self.synced_at.isoformat()} does not match the tables of "
            f"{self.stream!r}: {self.reason}. Nothing was changed. Call apply with reconcile=True "
            "to take the members from the snapshot of the sync"
        )


@define(slots=False)
class DatabaseRefusedError(CohortS3Error, OSError):
    """A statement that the database or its driver refused while a sync was applied.

    The driver's message may quote rows, so the error has only its class and its code.

    Example: ``the database refused to apply the sync of 2026-11-23T14:05:00+00:00 to the tables of
    'cohorts/123_26umsb5': psycopg.DiskFull (53100). Nothing was changed. Look for the code in the
    documentation or the log of the database; its message may quote rows and is not shown``
    """

    stream: str
    synced_at: datetime
    kind: str
    code: str | None = None

    def __str__(self) -> str:
        code = "" if self.code is None else f" ({self.code})"
        return (
            f"the database refused to apply the sync of {self.synced_at.isoformat()} to the tables "
            f"of {self.stream!r}: {self.kind}{code}. Nothing was changed. Look for the code in the "
            "documentation or the log of the database; its message may quote rows and is not shown"
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))


def _positions(lines: tuple[int, ...], unit: str, count: int, files: tuple[str, ...]) -> str:
    """Return the positions in parentheses; nothing if the source could not be read again."""
    if not lines:
        return ""
    first = "first at " if count > len(lines) else ""
    if files:
        places = [f"{unit} {line} of {file!r}" for line, file in zip(lines, files, strict=True)]
        return f" ({first}{', '.join(places)})"
    unit += "" if len(lines) == 1 else "s"
    *others, last = map(str, lines)
    listed = f"{', '.join(others)} and {last}" if others else last
    return f" ({first}{unit} {listed})"
