"""Forgetting people: the one exception to "a published object never changes".

Each file with rows of these people is written again without these rows, and the new file replaces
the old one, one file at a time. If the stream has a log, one entry of it, an ``Amendment``, is the
decision: it contains the new digests and counts, and names nobody. It has a number in the log, as
a sync has, so the two can't interfere, and any process can finish it without knowing the people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from os import PathLike
from time import perf_counter
from typing import Literal

from .._time import to_utc
from ..diff.progress import Progress, ReadProgress, reporting
from ..log.location import StreamLocation
from ..log.stream import CohortStream, HasStream
from ..log.stream_events import Observer
from ..storage.capabilities import require_replace
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from ..sync.clock import utc_now
from ..sync.leftovers import discard_leftovers
from ._retries import with_retries
from ._rewrite import amend_log, replace_unlogged
from ._search import check_is_people, search
from .forget_report import ForgetPlan, ForgetReceipt


def plan_forget(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    people: Iterable[str | int],
    *,
    by: str | None = None,
    log: Storage | StorageLocation | None = None,
    work_dir: str | PathLike[str] | None = None,
    progress: Progress | Literal[True] | None = None,
) -> ForgetPlan:
    """Return the files that contain rows of people, without changing anything.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream, or a sync of it.
        people: The ids of the people to forget.
        by: The column of these ids. Default: the column that members are matched by. A user
            who had such an id in any file is forgotten with all rows of the same key.
        log: The storage of the log, if it is not ``storage``.
        work_dir: The folder for temporary files. Default: the system's.
        progress: A callback for the bytes that are read, such as ``print``; ``True`` shows a
            tqdm bar. It gets a ``ProgressEvent``.

    Raises:
        MissingCapabilityError: The storage can't replace files.
        UnfinishedSyncError: A sync is running or died; ``recover`` finishes it.
        ArgumentTypeError: ``people`` is a text, or another argument has the wrong type.
        InvalidCellError: ``people`` contains a value that is not an id.
        MissingColumnsError: No file has the column ``by``.
        ObjectChangedError, MalformedCsvError: A file was changed, or can't be read.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination("d"), project_id=1, cohort_id="a")
    >>> _ = sync_cohort(sync, [("1", "ann"), ("2", "bob")], bucket)
    >>> len(plan_forget(bucket, sync, ["ann"], by="user_id").files)
    2
    """
    location = StreamLocation.of(storage, stream, log)
    require_replace(location.data, "forget")
    with reporting(progress) as reporter:
        reads = ReadProgress(reporter)
        return search(location, people, by=by, work_dir=work_dir, reads=reads).plan


def forget(
    storage: Storage | StorageLocation,
    stream: CohortStream | HasStream,
    people: Iterable[str | int],
    *,
    by: str | None = None,
    log: Storage | StorageLocation | None = None,
    observer: Observer | None = None,
    work_dir: str | PathLike[str] | None = None,
    progress: Progress | Literal[True] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> ForgetReceipt:
    """Remove people from all files of a stream, including those of unpublished syncs.

    The counts and digests in the log are amended. The entry covers every sync before it in the
    log: if another writer adds one meanwhile, the files are searched again. If a run dies, run
    it again; once it is recorded, ``recover`` and the next sync finish it too. Each file is
    replaced atomically, but one by one: a reader in between sees some old and some new files.

    Remove the people from the source of the next sync too, or they enter again. They are not
    reported as exiting. Staged files without a record are discarded, because they may contain
    the people; so a sync that runs at the same time becomes void or fails. Without a log, nothing
    stops a writer from adding files meanwhile: call this while no writer runs, or call it twice.

    Args:
        storage: The storage of the data, or its location.
        stream: The stream. A person may be in several: see ``list_streams``.
        people: The ids of the people to forget.
        by: The column of these ids. Default: the column that members are matched by. A user
            who had such an id in any file is forgotten with all rows of the same key.
        log: The storage of the log, if it is not ``storage``.
        observer: A function that is called with a ``StreamEvent`` at the end of each step.
        work_dir: The folder for temporary files. Default: the system's.
        progress: A callback for the bytes that are read: see :func:`plan_forget`. If it raises,
            nothing is changed; files of a stream without a log may have been replaced.
        clock: A function that returns the time; for tests.

    Returns:
        The receipt, with the files that were replaced.

    Raises:
        MissingCapabilityError: The storage can't replace files.
        ConcurrentSyncError, UnfinishedSyncError: Syncs came first at each of several attempts;
            nothing is changed. Run it again.
        RecordFormatError: The log can't be read, or contradicts itself.
        LogLimitError: The people are in more files than one entry of the log can name, about
            15,000; nothing is changed.
        StagedGoneError: Some new files were removed before they replaced the old ones; the
            others are done. Run it again.
        ArgumentTypeError: ``people`` is a text, or another argument has the wrong type.
        InvalidCellError: ``people`` contains a value that is not an id.
        MissingColumnsError: No file has the column ``by``.
        ObjectChangedError, MalformedCsvError: A file was changed, or can't be read.
        UnknownOutcomeError: The storage did not answer a write. Run it again.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, sync_cohort
    >>> bucket = MemoryStorage()
    >>> sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    >>> _ = sync_cohort(sync, [("1", "ann"), ("2", "bob")], bucket)
    >>> receipt = forget(bucket, sync.stream, ["ann"], by="user_id")
    >>> receipt.people, len(receipt.files)
    (1, 2)
    """
    location = StreamLocation.of(storage, stream, log, observer)
    began = perf_counter()
    require_replace(location.data, "forget")
    check_is_people(people)
    ids = tuple(people)

    def attempt(reads: ReadProgress) -> ForgetReceipt:
        # Staged files of dead writers may contain rows of these people too.
        discard_leftovers(location, None)
        found = search(location, ids, by=by, work_dir=work_dir, reads=reads)
        now = to_utc(clock(), "clock()")
        number = None
        if found.plan.files:
            head = found.history.log.head
            if head is None:
                replace_unlogged(location, found, reads)
            else:
                number = amend_log(location, found, head, now, reads)
        return ForgetReceipt(
            stream=location.stream,
            forgotten_at=now,
            people=found.plan.people,
            files=found.plan.files,
            number=number,
        )

    with reporting(progress) as reporter:
        receipt = with_retries(location, lambda: attempt(ReadProgress(reporter)))
    files = receipt.files
    location.report("forgot", perf_counter() - began, people=receipt.people, files=len(files))
    return receipt
