"""Forgetting people: the one exception to "no object under a cohort name ever changes".

The files that hold them are written anew without them and put in the place of the old
ones, each at once. Where the stream has a log, one entry of it, an ``Amendment``, is the
decision: it has the new digests and counts and names nobody, takes a number like a sync
so that the two can't cross, and can be finished by any process without knowing whom it
was about.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from os import PathLike

from .._time import to_utc
from ..log.location import StreamLocation
from ..log.stream import CohortStream
from ..storage.capabilities import require_replace
from ..storage.protocol import Storage
from ..sync.recover import recover_location
from ._rewrite import amend_log, replace_unlogged
from ._search import search
from .forget_report import ForgetPlan, ForgetReceipt


def plan_forget(
    storage: Storage,
    stream: CohortStream,
    people: Iterable[str | int],
    *,
    by: str | None = None,
    log: Storage | None = None,
    work_dir: str | PathLike[str] | None = None,
) -> ForgetPlan:
    """Looks which files hold people, and touches nothing.

    Args:
        storage: Where the data is.
        stream: Whose files.
        people: Whom to forget: their ids.
        by: The column of these ids; by default the one that members are matched by.
            Whoever had such an id once is forgotten with all rows of the same key.
        log: Where the log is, if not in ``storage``.
        work_dir: Where temporary files go.

    Raises:
        MissingCapabilityError: The storage can't replace files.
        UnfinishedSyncError: A sync is at work, or died; ``recover`` finishes it.
        ArgumentTypeError: ``people`` is one text, or another argument of another type.
        InvalidCellError: ``people`` holds what is no id.
        MissingColumnsError: No file has the column ``by``.
        ObjectChangedError, MalformedCsvError: A file can't be trusted or read.
    """
    location = StreamLocation.of(storage, stream, log)
    require_replace(storage, "forget")
    return search(location, people, by=by, work_dir=work_dir).plan


def forget(
    storage: Storage,
    stream: CohortStream,
    people: Iterable[str | int],
    *,
    by: str | None = None,
    log: Storage | None = None,
    work_dir: str | PathLike[str] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ForgetReceipt:
    """Takes people out of all files of a stream, of published syncs and of others.

    Counts and digests of the log follow. A run that dies is completed by running it again,
    or, once it is recorded, by ``recover`` and by the next sync. Each file changes at
    once: whoever reads meanwhile sees some of them as before and some as after.

    Take the people out of the source of the next sync too, or they will enter again. They
    do not show as exiting. Where there is no log, nothing keeps a writer from adding files
    meanwhile: run it while none is at work, or twice.

    Args:
        storage: Where the data is.
        stream: Whose files; a person may be in several streams (see ``list_streams``).
        people: Whom to forget: their ids.
        by: The column of these ids; by default the one that members are matched by.
            Whoever had such an id once is forgotten with all rows of the same key.
        log: Where the log is, if not in ``storage``.
        work_dir: Where temporary files go.
        clock: Gives the time; for tests.

    Raises:
        MissingCapabilityError: The storage can't replace files.
        ConcurrentSyncError: A sync came first; nothing is changed, run it again.
        LogLimitError: They are in more files than one entry of the log can hold, some
            15,000; nothing is changed.
        StagedGoneError: Some of the new files were removed before they came into place;
            the others are done, run it again.
        ArgumentTypeError: ``people`` is one text, or another argument of another type.
        InvalidCellError: ``people`` holds what is no id.
        MissingColumnsError: No file has the column ``by``.
        ObjectChangedError, MalformedCsvError: A file can't be trusted or read.
        UnknownOutcomeError: The storage did not say what became of a write; run it again.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> _ = sync_cohort(sync, [("1", "ann"), ("2", "bob")], bucket)
    >>> receipt = forget(bucket, sync.stream, ["ann"], by="user_id")
    >>> receipt.people, len(receipt.files)
    (1, 2)
    """
    location = StreamLocation.of(storage, stream, log)
    require_replace(storage, "forget")
    recover_location(location)
    found = search(location, people, by=by, work_dir=work_dir)
    now = to_utc(clock(), "clock()")
    number = None
    if found.plan.files:
        head = found.history.log.head
        if head is None:
            replace_unlogged(location, found)
        else:
            number = amend_log(location, found, head, now)
    return ForgetReceipt(
        stream=stream,
        forgotten_at=now,
        people=found.plan.people,
        files=found.plan.files,
        number=number,
    )
