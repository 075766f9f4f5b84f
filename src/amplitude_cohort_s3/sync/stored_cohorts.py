"""The cohorts that have a log, and those of them that no job syncs any more."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from attrs import evolve

from ..errors import ConfigurationError, InvalidFileNameError
from ..log.location import StreamLocation
from ..log.stream import CohortStream
from ..settings.cohort_sync import CohortSync, check_is_sync
from ..storage.open import StorageLocation
from ..storage.protocol import Storage


def vanished_cohorts(
    sync: CohortSync,
    jobs: Iterable[tuple[CohortSync, object]],
    storage: Storage | StorageLocation,
    *,
    log: Storage | StorageLocation | None = None,
) -> tuple[str, ...]:
    """Return the ids of the cohorts that were synced and that no job syncs any more.

    A cohort vanishes from a pattern when it is deleted, archived or renamed. Its files stay as they
    are. Each cohort that was synced costs one request.

    Args:
        sync: The sync of all cohorts, as for ``AmplitudeCohorts.jobs``; its ``cohort_id`` does
            not matter.
        jobs: The pairs that ``AmplitudeCohorts.jobs`` returns, and other jobs of ``run_due``.
        storage: The storage of the data, or its location.
        log: The storage of the log, if it is not ``storage``.

    Raises:
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import Destination, MemoryStorage, run_due
    >>> every = CohortSync(destination=Destination("d"), project_id=1, cohort_id="any")
    >>> jobs = [(evolve(every, cohort_id=name), [("1", "ann")]) for name in ("a", "b")]
    >>> storage = MemoryStorage()
    >>> _ = run_due(jobs, storage)
    >>> vanished_cohorts(every, jobs[1:], storage)
    ('a',)
    """
    location = StreamLocation.of(storage, check_is_sync(sync).stream, log)
    # The job of a cohort with an unusable id has the sync of all cohorts: see ``jobs``.
    listed = {one.stream for one, members in jobs if not isinstance(members, Exception)}
    stored = stored_cohorts(location.log, location.stream)
    return tuple(one for one in stored if evolve(location.stream, cohort_id=one) not in listed)


def stored_cohorts(log: Storage, stream: CohortStream) -> Iterator[str]:
    """Yield the ids of the cohorts that have a log beside that of a stream.

    Their streams differ from it in the cohort only. A log has two entries for each sync, so the
    listing goes on after all entries of a log that it has found: one request for each log.

    Args:
        log: The storage of the logs.
        stream: The stream of one of the cohorts, which need not exist.
    """
    # "cohorts/_syncs/123_26umsb5/" begins with "cohorts/_syncs/123_", as all of them do.
    begin = stream.log_prefix.removesuffix("/").rpartition("/")[0] + "/"
    project = "none" if stream.project_id is None else stream.project_id
    prefix, start_after = f"{begin}{project}_", None
    while (info := next(log.list_objects(prefix, start_after=start_after), None)) is not None:
        folder = info.key[len(begin) :].partition("/")[0]
        cohort_id = folder.split("_")[1]
        with suppress(ConfigurationError, InvalidFileNameError):  # a folder of something else
            if evolve(stream, cohort_id=cohort_id).log_prefix == f"{begin}{folder}/":
                yield cohort_id
        start_after = f"{begin}{folder}0"  # The character after the slash.
