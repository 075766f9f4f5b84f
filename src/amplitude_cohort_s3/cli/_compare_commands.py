"""The subcommands that compare members: ``diff``, ``changes`` and ``overlap``."""

import argparse
from datetime import datetime
from typing import get_args

from ..diff.cohort_diff import CohortDiff
from ..errors import ConfigurationError
from ..format.named_rows import names_beside
from ..history.cohort_overlap import OverlapGroup, overlap
from ..history.history import CohortHistory
from ..history.sync_files import CHANGES
from ..log.listing import BucketSync
from ._arguments import add_sync_name, add_time, aware_time
from ._location import add_location, history_of, setup_of
from ._output import (
    print_csv_row,
    print_json,
    print_json_row,
    print_members,
    print_message,
    print_result,
)
from ._setup import progress_bar
from .exit_codes import ExitCode


def add_diff(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``diff``."""
    parser.set_defaults(run=_diff)
    add_sync_name(parser)
    parser.add_argument(
        "--between",
        dest="times",
        nargs=2,
        type=aware_time,
        metavar="TIME",
        help="the two times, e.g. 2026-11-01T00:00Z (default: those of the last two syncs)",
    )
    parser.add_argument(
        "--rows",
        action="store_true",
        help="print the users who entered and exited as CSV, or with --json one object per line",
    )
    add_location(parser)


def _diff(options: argparse.Namespace) -> ExitCode:
    history = history_of(options, options.name, setup_of(options))
    if options.times is None and len(history) == 1:
        when = history[0].synced_at.isoformat()
        print_message(f"{options.name} has one sync, of {when}, and none before to compare it with")
        return ExitCode.FAILED
    first, second = _syncs(history, options.times)
    with progress_bar() as progress, history.diff(first, second, progress=progress) as diff:
        if options.rows:
            _print_rows(diff, as_json=options.json)
            return ExitCode.DONE
        report = diff.report
    counts = {diff_type.value: report.files[diff_type].rows for diff_type in CHANGES}
    counts |= {} if report.changed is None else {"changed": report.changed}
    sizes = {"members_before": report.members_before, "members": report.members_now}
    if options.json:
        times = {"before": first.synced_at, "after": second.synced_at}
        print_json({"sync": options.name} | times | sizes | counts)
    else:
        print_result(
            f"{first.synced_at.isoformat()} to {second.synced_at.isoformat()}: "
            f"{report.members_before:,} -> {report.members_now:,} members"
        )
        for name, count in counts.items():
            print_result(f"{count:>10,} {name}")
    return ExitCode.DONE


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``changes``."""
    parser.set_defaults(run=_changes)
    add_sync_name(parser)
    add_location(parser)


def _changes(options: argparse.Namespace) -> ExitCode:
    history = history_of(options, options.name, setup_of(options))
    if not history:
        raise history.no_sync_yet()
    changes = history.changes()
    columns = changes.columns
    if not options.json:
        print_csv_row(columns)
    for change in changes:
        cells = (change.synced_at.isoformat(), *(change[name] for name in columns[1:]))
        if options.json:
            print_json_row(columns, cells)
        else:
            print_csv_row(cells)
    return ExitCode.DONE


def add_overlap(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``overlap``."""
    parser.set_defaults(run=_overlap)
    add_sync_name(parser)
    parser.add_argument("other", help="name of the second sync")
    add_time(parser)
    parser.add_argument(
        "--rows",
        choices=get_args(OverlapGroup),
        metavar="GROUP",
        help="print the users of a group, only_first, both or only_second, as CSV, or with --json "
        "one object per line",
    )
    add_location(parser)


def _overlap(options: argparse.Namespace) -> ExitCode:
    names, setup = (options.name, options.other), setup_of(options)
    history, other = (history_of(options, name, setup) for name in names)
    found = overlap(history, other, options.at)
    if options.rows:
        print_members(found.members(options.rows), as_json=options.json)
        return ExitCode.DONE
    times = [one.sync_at(options.at).synced_at for one in (history, other)]
    if options.json:
        print_json(
            {
                "first": {"sync": names[0], "synced_at": times[0]},
                "second": {"sync": names[1], "synced_at": times[1]},
                "only_first": found.only_first,
                "both": found.both,
                "only_second": found.only_second,
                "share_of_first": found.share_of_first,
                "share_of_second": found.share_of_second,
                "jaccard": found.jaccard,
            }
        )
    else:
        for place, name, when in zip(("first", "second"), names, times, strict=True):
            print_result(f"{place}: {name} at {when.isoformat()}")
        print_result(str(found))
    return ExitCode.DONE


def _syncs(history: CohortHistory, times: list[datetime] | None) -> tuple[BucketSync, BucketSync]:
    """Return the syncs whose members are compared: those at two times, or the last two."""
    if times is None:
        if not history:
            raise history.no_sync_yet()
        return history[-2], history[-1]
    first, second = times
    if first > second:
        fault = f"{first.isoformat()} is after {second.isoformat()}; name the earlier one first"
        raise ConfigurationError("diff --between", (fault,))
    return history.sync_at(first), history.sync_at(second)


def _print_rows(diff: CohortDiff, *, as_json: bool) -> None:
    """Print the users who entered and then those who exited, with the diff type of each."""
    columns = names_beside(("diff_type",), diff.schema.columns)
    if not as_json:
        print_csv_row((columns[0], *diff.schema.header))
    for diff_type in CHANGES:
        for row in diff.rows(diff_type):
            if as_json:
                print_json_row(columns, (diff_type.value, *row))
            else:
                print_csv_row((diff_type.value, *row))
