"""The cohorts that have a log, found without listing all of its entries."""

from collections.abc import Iterator
from contextlib import suppress

from attrs import evolve

from ..errors import ConfigurationError, InvalidFileNameError
from ..log.stream import CohortStream
from ..storage.protocol import Storage


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
