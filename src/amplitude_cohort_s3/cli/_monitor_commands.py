"""The subcommands that monitor syncs: ``runs`` and ``overdue``."""

import argparse
import json
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict

from ..errors import NoSyncYetError
from ..history import SyncRun
from ._arguments import add_sync_name, add_sync_names
from ._location import add_location, history_of, setup_of
from ._output import print_json, print_result, print_table
from ._setup import Setup
from .config import SyncConfig
from .exit_codes import ExitCode


def add_runs(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_runs)
    add_sync_name(parser)
    add_location(parser)


def _runs(options: argparse.Namespace) -> ExitCode:
    history = history_of(options, options.name, setup_of(options))
    runs = history.runs()
    if not runs:
        raise history.no_sync_yet()
    if options.json:
        print_json([{**asdict(run), "source": _source_of(run)} for run in runs])
    else:
        print_result(str(runs))
    return ExitCode.DONE


def _source_of(run: SyncRun) -> Any:
    """Return the origin of the members as values for JSON. It is None without a record."""
    return None if run.source is None else json.loads(run.source)


def add_overdue(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_overdue)
    add_sync_names(parser)


def _overdue(options: argparse.Namespace) -> ExitCode:
    setup, now = Setup.read(options.config), datetime.now().astimezone()
    syncs = setup.syncs(options.names)
    rows = (_overdue_row(setup, name, config, now) for name, config in syncs.items())
    found = [row for row in rows if row is not None]
    if options.json:
        print_json([{**row, "overdue": _seconds(row["overdue"])} for row in found])
    elif found:
        texts = [
            (row["sync"], row["cadence"], *map(_shown, (row["newest"], row["overdue"])))
            for row in found
        ]
        print_table(("sync", "cadence", "newest sync", "overdue by"), texts)
    else:
        print_result("no sync is overdue")
    return ExitCode.FINDINGS if found else ExitCode.DONE


def _overdue_row(
    setup: Setup, name: str, config: SyncConfig, now: datetime
) -> dict[str, Any] | None:
    """Return the facts about a sync that is overdue, or None if it is not."""
    cadence = config.sync.cadence
    row = {"sync": name, "cadence": cadence.value, "newest": None, "overdue": None}
    if config.cohorts is not None:
        return row  # A pattern, none of whose cohorts was ever synced.
    history = setup.place(name).history()
    try:
        overdue = history.overdue(now, cadence)
    except NoSyncYetError:
        return row
    if overdue is None:
        return None
    return row | {"newest": history[-1].synced_at, "overdue": overdue}


def _seconds(overdue: timedelta | None) -> int | None:
    return None if overdue is None else int(overdue.total_seconds())


def _shown(value: datetime | timedelta | None) -> datetime | str:
    match value:
        case None:
            return "never synced"
        case timedelta():
            return str(timedelta(seconds=int(value.total_seconds())))
        case _:
            return value
