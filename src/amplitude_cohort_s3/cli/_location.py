"""Reading a bucket by its location, without a configuration file."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigurationError
from ..history.history import CohortHistory
from ..history.read import list_streams
from ..log.listing import StreamOverview
from ..log.stream import CohortStream
from ..storage import LocalStorage, Storage
from ..storage.open import open_location
from ._arguments import natural_number
from ._setup import Place, Setup


def add_location(parser: argparse.ArgumentParser) -> None:
    """Add the options that read a cohort from a location, in place of a configured sync."""
    options = parser.add_argument_group("without a configuration file")
    options.add_argument(
        "--from",
        dest="location",
        metavar="LOCATION",
        help="read from a folder, s3://bucket or s3://bucket/path; the name is then a cohort id",
    )
    options.add_argument(
        "--project",
        type=natural_number,
        metavar="ID",
        help="the project, if several have this cohort",
    )
    options.add_argument(
        "--routing-key", metavar="KEY", help="the routing key, if the cohort has several"
    )
    options.add_argument(
        "--match-by",
        metavar="COLUMN",
        help="the column that identifies a member (default: that of the log, or amplitude_id)",
    )


def history_of(options: argparse.Namespace, name: str, setup: Setup | None) -> CohortHistory:
    """Return the history of a sync in the configuration, or of a cohort at a location."""
    return place_of(options, name, setup).history()


def place_of(options: argparse.Namespace, name: str, setup: Setup | None) -> Place:
    """Return the place of a sync in the configuration, or of a cohort at a location."""
    if setup is not None:
        return setup.place(name)
    storage, path = open_existing(options.location)
    stream = _choose(options, name, list_streams(storage, path))
    return Place(storage, stream, None, options.match_by)


def open_existing(location: str) -> tuple[Storage, str]:
    """Return the storage of a location and the path in it: see ``open_location``.

    Raises:
        ConfigurationError: The location is not valid, or is a folder that does not exist.
    """
    try:
        storage, path = open_location(location)
    except ConfigurationError as error:
        # The location is not shown: it may contain credentials.
        raise ConfigurationError("the location", error.faults) from None
    if isinstance(storage, LocalStorage) and not Path(storage.root, path).is_dir():
        fault = "the folder does not exist; name a folder, s3://bucket or s3://bucket/path"
        raise ConfigurationError(location, (fault,))
    return storage, path


def setup_of(options: argparse.Namespace) -> Setup | None:
    """Return the configuration, or None if the command names a location."""
    if options.location is not None:
        return None
    for option in ("project", "routing_key", "match_by"):
        if getattr(options, option) is not None:
            fault = f"--{option.replace('_', '-')} needs --from LOCATION"
            raise ConfigurationError("the command line", (fault,))
    return Setup.read(options.config)


def _choose(
    options: argparse.Namespace, cohort_id: str, streams: Iterable[StreamOverview]
) -> CohortStream:
    all_streams = [one.stream for one in streams]
    found = [
        stream
        for stream in all_streams
        if stream.cohort_id == cohort_id
        and options.project in (None, stream.project_id)
        and options.routing_key in (None, stream.routing_key)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        shown = "; ".join(f"{_options_of(stream)}, in {stream.path or '.'}" for stream in found)
        fault = (
            f"there are {len(found)} streams of the cohort {cohort_id!r}: {shown}. Add these "
            "options, or the path to --from"
        )
        raise ConfigurationError(options.location, (fault,))
    of_cohort = [stream for stream in all_streams if stream.cohort_id == cohort_id]
    if of_cohort:
        theirs = "; ".join(f"{_options_of(one)}, in {one.path or '.'}" for one in of_cohort)
        fault = f"no stream of the cohort {cohort_id!r} has these options; it has: {theirs}"
    elif all_streams:
        cohorts = dict.fromkeys(stream.cohort_id for stream in all_streams)
        fault = f"there is no cohort {cohort_id!r}; the cohorts here are: {', '.join(cohorts)}"
    else:
        fault = "there are no files of cohorts here; name another location with --from"
    raise ConfigurationError(options.location, (fault,))


def _options_of(stream: CohortStream) -> str:
    project = "" if stream.project_id is None else f"--project {stream.project_id}"
    key = "" if stream.routing_key is None else f"--routing-key {stream.routing_key}"
    return " ".join(filter(None, (project, key))) or "no options"
