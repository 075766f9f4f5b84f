"""The tree of the errors: families, builtins, messages and the page that documents them.

The tests run over every class of the module, so that they hold for a new one too.
"""

import inspect
import pickle
import re
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import attrs
import pytest

from amplitude_cohort_s3 import CohortS3Error, errors
from amplitude_cohort_s3.errors import RetryableError

DOCS = Path(__file__).parents[1] / "docs"
AT = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
KEY = "cohorts/123_26umsb5_2026-11-23T14:05_existing.csv"
LOG = "cohorts/_syncs/123_26umsb5/"
RECORD = f"{LOG}99999997-00000002.json"

EXAMPLES = [
    errors.ArgumentTypeError("stream", "CohortSync", "pass sync.stream, its CohortStream"),
    errors.ConfigurationError(
        "Destination ''",
        ("name must not be empty", "compression must be 'gzip' or None, not 'zip'"),
    ),
    errors.NaiveDatetimeError("synced_at"),
    errors.InvalidFileNameError("members.csv", "there are 0 underscores, not 3 or 4"),
    errors.InvalidKeyError("cohorts//name.csv", "a segment is empty"),
    errors.InvalidPolicyError("it is not JSON"),
    errors.InvalidNotificationError("it is not JSON"),
    errors.UnusableDiffError("it is not the diff of the plan", "Make a new plan from this diff"),
    errors.MissingExtraError("matplotlib", "plot"),
    errors.MalformedCsvError(
        17,
        "the row has 2 cells, but the header has 4",
        "Put quotes around each cell that contains a comma or a line end",
        "members.csv",
    ),
    errors.CompressionError("gzip", "the data ends too early", "members.csv.gz"),
    errors.InvalidArchiveError("it ends before its end mark", file="cohort.tar.gz"),
    errors.MemberFileError("s3://my-bucket/members.csv", "AccessDenied"),
    errors.MemberFileNotFoundError("s3://my-bucket/members.csv", "NoSuchKey"),
    errors.MissingColumnsError(("plan",), found=("amplitude_id", "Email", "Tier")),
    errors.InvalidCellError("amplitude_id", "is a float", "read it as text or as an integer"),
    errors.EmptyKeyError("amplitude_id", 2, (17, 40)),
    errors.DuplicateKeyError("amplitude_id", 2, (3, 4), "row"),
    errors.ObjectNotFoundError(KEY),
    errors.ObjectExistsError(KEY),
    errors.ObjectChangedError(KEY),
    errors.ObjectTooLargeError(KEY, 10_000, "parts", 12_000),
    errors.StagedGoneError(KEY),
    errors.UnknownOutcomeError(KEY, "ReadTimeout"),
    errors.UnsuitableStorageError(
        "the directory bucket 'b--x-s3'", "sorted listings", "Use a general purpose bucket"
    ),
    errors.MissingCapabilityError("ReadOnlyStorage", "delete", "prune"),
    errors.BucketNotFoundError("my-bucket"),
    errors.AccessDeniedError("my-bucket", KEY, "s3:PutObject"),
    errors.CredentialsError("ExpiredToken"),
    errors.CredentialsUnavailableError(
        "EndpointConnectionError",
        "AssumeRole",
        hint="Check the network, or run the same again later",
    ),
    errors.StoreUnavailableError("my-bucket", "SlowDown"),
    errors.StoreRefusedError("my-bucket", KEY, "PutObject", "InvalidRequest"),
    errors.ObjectRefusedError(
        KEY,
        "the store refuses CompleteMultipartUpload with the code InvalidPart",
        "Look up the code in the store's documentation",
    ),
    errors.FileAccessError(
        "/data/cohorts",
        "belongs to the account 0 and refuses the account 1000",
        "Run as its owner, or give this account access",
    ),
    errors.InvalidResponseError(
        "my-bucket", "ListObjectsV2", "it has no IsTruncated and the type text/html"
    ),
    errors.ArchivedObjectError("my-bucket", KEY, "GLACIER"),
    errors.DiskFullError("/tmp"),
    errors.AmplitudeAccessDeniedError("https://amplitude.com"),
    errors.UnknownCohortError("26umsb5"),
    errors.NoCohortMatchesError("Marketing *", 12),
    errors.UnusableCohortIdError(
        "26_umsb5",
        "Marketing EU",
        "cohort_id '26_umsb5': a cohort id consists of letters, digits and -",
    ),
    errors.AmplitudeLimitError("users", 3_000_000, 2_000_000, "26umsb5"),
    errors.AmplitudeUnavailableError("the download of '26umsb5'", "HTTP 503"),
    errors.AmplitudeTimeoutError("the download of '26umsb5'", 600.0),
    errors.AmplitudeRefusedError("the download of '26umsb5'", 418),
    errors.ExportFailedError(
        "26umsb5", "it has 990 rows, but the cohort has 1,000 users", 990, 1000
    ),
    errors.SyncTimeError("order", AT, LATER),
    errors.SyncTimeTakenError(AT, datetime(2026, 11, 23, 14, 6, tzinfo=UTC)),
    errors.MassExitError(1000, 900, 500, "Guard(max_exits=900)"),
    errors.MassGrowthError(1000, 9000, 1000, "Guard(max_growth=8000)"),
    errors.SkippedRowsError(1000, 900, 500, "Guard(max_skipped=900)"),
    errors.TooFewMembersError(3, 1000, "Guard(min_members=3)"),
    errors.MatchByChangedError("amplitude_id", "user_id"),
    errors.UnfinishedSyncError(RECORD),
    errors.ConcurrentSyncError(RECORD, AT),
    errors.SyncVoidError(RECORD, AT),
    errors.HeadFilesMissingError((KEY,)),
    errors.UnloggedSyncsError(LOG, (KEY,)),
    errors.NothingToAdoptError(LOG, "the stream has a log already", "Sync without adopt()"),
    errors.NoSyncYetError(AT, LATER),
    errors.UnknownMembersError(
        AT,
        "the history was read with until=2026-11-23T12:00:00+00:00",
        "Read it with a later until, or without",
    ),
    errors.RecordFormatError(RECORD, "it is not JSON"),
    errors.LogLimitError("its last number is used", "Set another path in the Destination"),
    errors.TablesError("cohorts/123_26umsb5", AT, "members: 1,000 expected, 998 found"),
    errors.DatabaseRefusedError("cohorts/123_26umsb5", AT, "psycopg.DiskFull", "53100"),
]
"""One example of every class; each is in the docstring of its class."""

VARIANTS = [
    errors.ConfigurationError("diff_members", ("batch_bytes must be at least 1, not 0",)),
    errors.InvalidPolicyError("it would have 2 bytes, 1 more than S3's limit of 1", "Shorten it"),
    errors.MissingExtraError("smart_open[azure]"),
    errors.SyncVoidError(RECORD, AT, "the file can't be stored by anyone: InvalidPart. Look it up"),
    errors.MalformedCsvError(None, "the rows are not sorted", "Sort them", KEY),
    errors.MalformedCsvError(1, "it has 2 values, but there are 3 columns", "Add it", unit="row"),
    errors.MalformedCsvError(None, "there is no header"),
    errors.InvalidArchiveError("it contains more than 100,000 members", over_limit=True),
    errors.MissingColumnsError(("plan", "tier"), 3),
    errors.EmptyKeyError("amplitude_id", 1, ()),
    errors.DuplicateKeyError("amplitude_id", 1, (3,)),
    errors.ObjectChangedError(KEY, while_reading=True),
    errors.ObjectTooLargeError(KEY, 5 << 40),
    errors.BucketNotFoundError("my-bucket", elsewhere=True),
    errors.BucketNotFoundError("my-bucket", elsewhere=True, region="eu-west-1"),
    errors.AccessDeniedError("my-bucket", None, "s3:ListBucket"),
    errors.AccessDeniedError("my-bucket", KEY, "s3:GetObject"),
    errors.AccessDeniedError("my-bucket", KEY, "kms:Decrypt"),
    errors.CredentialsError("NoCredentialsError"),
    errors.CredentialsError(
        "ProfileNotFound", details="there is no profile 'etl'", hint="Set AWS_PROFILE to 'main'"
    ),
    errors.StoreRefusedError("my-bucket", None, "ListObjectsV2", "RequestTimeTooSkewed"),
    errors.NoCohortMatchesError("Marketing *", 1),
    errors.EmptyKeyError("amplitude_id", 3, (2, 1), "row", "a.csv, b.csv", ("a.csv", "b.csv")),
    errors.AmplitudeLimitError("downloads", 500, 500),
    errors.AmplitudeLimitError("downloads", 500, 500, resets_at=LATER),
    errors.AmplitudeTimeoutError("the download of '26umsb5'", 60.0, rate_limited=True),
    errors.ExportFailedError("26umsb5", "Amplitude reports 'JOB FAILED'"),
    errors.SyncTimeError("future", LATER, AT),
    errors.SyncTimeError("clock", AT, LATER),
    errors.HeadFilesMissingError((KEY, f"{KEY}.gz")),
    errors.UnloggedSyncsError(LOG, (KEY, f"{KEY}.gz")),
    errors.NoSyncYetError(AT, None),
    errors.NoSyncYetError(AT, None, has_lists=True),
]
"""Further messages, one for each branch of a template."""

FAMILIES = {
    errors.ArgumentError,
    errors.MembersError,
    errors.StorageError,
    errors.AmplitudeError,
    errors.StreamStateError,
    errors.LogError,
}
"""The classes that are caught and not raised."""

INNER_FAMILIES = {errors.GuardError}
"""Those in one of the families."""

RETRYABLE = {
    errors.AmplitudeTimeoutError,
    errors.AmplitudeUnavailableError,
    errors.ConcurrentSyncError,
    errors.CredentialsUnavailableError,
    errors.ExportFailedError,
    errors.InvalidResponseError,
    errors.StoreUnavailableError,
    errors.SyncVoidError,
    errors.UnfinishedSyncError,
    errors.UnknownOutcomeError,
}

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, CohortS3Error) and value is not CohortS3Error
]
CAUGHT = FAMILIES | INNER_FAMILIES | {RetryableError}
RAISED = [cls for cls in CLASSES if cls not in CAUGHT]

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
each_raised = pytest.mark.parametrize("cls", RAISED, ids=lambda cls: cls.__name__)
each_error = pytest.mark.parametrize(
    "error", [*EXAMPLES, *VARIANTS], ids=lambda error: type(error).__name__
)


def example_of(cls: type) -> CohortS3Error:
    return next(error for error in EXAMPLES if type(error) is cls)


def drawn_tree() -> str:
    """Return the tree as the module docstring draws it, from the classes themselves."""

    def line(cls: type, depth: int) -> str:
        name = f"[{cls.__name__}]" if cls in FAMILIES | INNER_FAMILIES else cls.__name__
        builtins = [base.__name__ for base in cls.__bases__ if base.__module__ == "builtins"]
        also = f" ({', '.join(builtins)})" if builtins and cls is not CohortS3Error else ""
        retryable = " *" if issubclass(cls, RetryableError) else ""
        return "    " + "    " * depth + name + also + retryable

    def lines(cls: type, depth: int) -> list[str]:
        below = [one for one in CLASSES if one is not RetryableError and one.__bases__[0] is cls]
        return [line(cls, depth), *(text for one in below for text in lines(one, depth + 1))]

    return "\n".join(lines(CohortS3Error, 0))


def test_the_module_docstring_draws_the_tree():
    assert errors.__doc__ is not None
    assert drawn_tree() in errors.__doc__


def test_there_is_one_example_of_every_class_in_the_order_of_the_module():
    assert [type(error) for error in EXAMPLES] == RAISED


def test_the_library_has_these_families():
    tops = {cls for cls in CLASSES if cls.__bases__[0] is CohortS3Error}
    alone = {
        errors.RetryableError,
        errors.SyncTimeError,
        errors.TablesError,
        errors.DatabaseRefusedError,
    }
    assert tops == FAMILIES | alone


@each_class
def test_every_class_has_the_root_and_one_family(cls):
    assert issubclass(cls, CohortS3Error)
    assert sum(issubclass(cls, family) for family in FAMILIES) <= 1


@each_raised
def test_every_raised_class_derives_from_a_builtin(cls):
    builtins = (ValueError, TypeError, LookupError, OSError, ImportError)
    assert issubclass(cls, builtins)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.ArgumentTypeError, TypeError),
        (errors.ConfigurationError, ValueError),
        (errors.InvalidFileNameError, ValueError),
        (errors.InvalidCellError, ValueError),
        (errors.MissingExtraError, ImportError),
        (errors.MemberFileNotFoundError, FileNotFoundError),
        (errors.ObjectNotFoundError, FileNotFoundError),
        (errors.BucketNotFoundError, FileNotFoundError),
        (errors.StagedGoneError, FileNotFoundError),
        (errors.HeadFilesMissingError, FileNotFoundError),
        (errors.ObjectExistsError, FileExistsError),
        (errors.SyncTimeTakenError, FileExistsError),
        (errors.SyncTimeTakenError, ValueError),
        (errors.ConcurrentSyncError, FileExistsError),
        (errors.AccessDeniedError, PermissionError),
        (errors.CredentialsError, PermissionError),
        (errors.CredentialsUnavailableError, ConnectionError),
        (errors.AmplitudeAccessDeniedError, PermissionError),
        (errors.UnknownOutcomeError, OSError),
        (errors.UnsuitableStorageError, OSError),
        (errors.StoreUnavailableError, ConnectionError),
        (errors.AmplitudeTimeoutError, TimeoutError),
        (errors.UnknownCohortError, LookupError),
        (errors.NoSyncYetError, LookupError),
    ],
)
def test_an_error_is_caught_by_the_builtin_that_fits(cls, builtin):
    with pytest.raises(builtin):
        raise example_of(cls)


def test_retryable_errors_are_those_with_a_temporary_cause():
    assert {cls for cls in RAISED if issubclass(cls, RetryableError)} == RETRYABLE


@each_raised
def test_the_root_catches_every_error(cls):
    with pytest.raises(CohortS3Error):
        raise example_of(cls)


@each_error
def test_pickling_keeps_an_error(error):
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert attrs.asdict(arrived) == attrs.asdict(error)
    assert str(arrived) == str(error)


@each_error
def test_a_message_says_what_is_wrong_and_then_what_to_do(error):
    text = str(error)
    assert len(text) > 40
    assert len(re.split(r"[:;.] ", text)) > 1
    assert not text.endswith((".", " ", ":"))
    assert "try again" not in text
    assert "None" not in text.replace("or None", "")
    assert not re.search(r"\b1 (rows|values|files|columns|users)\b", text)


@each_raised
def test_the_docstring_shows_the_message_of_the_example(cls):
    doc = inspect.getdoc(cls)
    assert doc
    summary, _, example = doc.partition("Example: ")
    assert re.match(r"(A|An|Another|More|Rows|Files|Columns|Credentials|Different) ", summary)
    assert " ".join(example.split()) == f"``{example_of(cls)}``"


@each_raised
def test_the_facts_are_fields_and_none_of_them_names_a_user(cls):
    names = {field.name for field in attrs.fields(cls)}
    assert names
    assert not names & {
        "user",
        "user_id",
        "amplitude_id",
        "member",
        "row",
        "cell",
        "value",
        "secret",
    }


def test_the_reference_documents_every_class(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_extensions"))
    lines = import_module("error_reference").error_lines()
    described = [line.rpartition(".")[2] for line in lines if line.startswith(".. autoexception::")]
    assert described == [cls.__name__ for cls in (CohortS3Error, *CLASSES)]
    assert "% errors" in (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
