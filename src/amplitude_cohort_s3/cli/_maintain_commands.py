"""The subcommands that maintain a stream: its log, its people and its old files."""

import argparse
import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, get_args

from .._display import counted
from ..errors import ConfigurationError
from ..maintenance import clean_up, forget, plan_clean_up, plan_forget, plan_prune, prune
from ..maintenance.forget_report import AffectedFile
from ..maintenance.prune import Keep, PrunePlan
from ..sync.adoption import adopt
from ..sync.recover import recover
from ._arguments import add_sync_name, aware_time
from ._confirm import add_confirmation, is_confirmed
from ._location import add_location, place_of, setup_of
from ._output import print_json, print_result
from ._setup import progress_bar
from .exit_codes import ExitCode


def add_adopt(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``adopt``."""
    parser.set_defaults(run=_adopt)
    add_sync_name(parser)
    add_location(parser)


def _adopt(options: argparse.Namespace) -> ExitCode:
    storage, stream, log, match_by = place_of(options, options.name, setup_of(options))
    record = adopt(storage, stream, match_by=match_by or "amplitude_id", log=log).record
    found = {"synced_at": record.synced_at, "members": record.members}
    members = counted(record.members, "member")
    text = f"adopted the sync of {record.synced_at.isoformat()}, with {members}"
    return _report(options, "adopted", found, text)


def add_recover(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``recover``."""
    parser.set_defaults(run=_recover)
    add_sync_name(parser)
    parser.add_argument(
        "--abandon",
        action="store_true",
        help="give up an unfinished sync that no process will ever be allowed to finish",
    )
    add_location(parser)


def _recover(options: argparse.Namespace) -> ExitCode:
    storage, stream, log, _ = place_of(options, options.name, setup_of(options))
    report = recover(storage, stream, log=log, abandon=options.abandon)
    return _report(options, report.outcome, report.to_json(), str(report))


# --- Forgetting people -------------------------------------------------------------------


def add_forget(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``forget``."""
    parser.set_defaults(run=forget_people)
    add_sync_name(parser)
    parser.add_argument(
        "people",
        nargs="+",
        metavar="id",
        help="the ids of the people, after -- if one begins with -; or - to read them from "
        "standard input, one per line, so that they are in no shell history",
    )
    parser.add_argument(
        "--by",
        metavar="COLUMN",
        help="the column of these ids (default: the one that identifies a member)",
    )
    add_confirmation(parser)
    add_location(parser)


def forget_people(options: argparse.Namespace) -> ExitCode:
    """Run ``forget``."""
    storage, stream, log, _ = place_of(options, options.name, setup_of(options))
    people = _people(options.people)
    with progress_bar() as progress:
        plan = plan_forget(storage, stream, people, by=options.by, log=log, progress=progress)
    if options.dry_run:
        planned = {"people": plan.people, "files": _affected(plan.files)}
        return _report(options, "planned", planned, str(plan))
    if not is_confirmed(options, str(plan), "Forget them?"):
        return ExitCode.FAILED
    with progress_bar() as progress:
        receipt = forget(storage, stream, people, by=options.by, log=log, progress=progress)
    done = {
        "people": receipt.people,
        "files": _affected(receipt.files),
        "forgotten_at": receipt.forgotten_at,
        "number": receipt.number,
    }
    return _report(options, "done", done, str(receipt))


def _people(ids: list[str]) -> list[str]:
    """Return the ids in the arguments, or those on standard input."""
    if "-" not in ids:
        return ids
    if len(ids) > 1:
        fault = "- reads all ids from standard input; remove the other ids, or remove -"
        raise ConfigurationError("forget", (fault,))
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        fault = "standard input is not UTF-8; convert it first"
        # The error of the codec has the bytes of the ids.
        raise ConfigurationError("forget", (fault,)) from None
    return [line for line in re.split(r"\r?\n", text) if line]


def _affected(files: Iterable[AffectedFile]) -> list[dict[str, Any]]:
    return [{"key": file.key, "rows": file.rows} for file in files]


# --- Deleting old files ------------------------------------------------------------------


def add_prune(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``prune``."""
    parser.set_defaults(run=_prune)
    add_sync_name(parser)
    parser.add_argument(
        "--before",
        type=aware_time,
        required=True,
        metavar="TIME",
        help="syncs before this time are old, e.g. 2026-01-01T00:00Z",
    )
    parser.add_argument(
        "--keep",
        choices=get_args(Keep),
        default="changes",
        help="the files of old syncs to keep: entering and exiting (default), or none",
    )
    add_confirmation(parser)
    add_location(parser)


def _prune(options: argparse.Namespace) -> ExitCode:
    storage, stream, log, _ = place_of(options, options.name, setup_of(options))
    plan = plan_prune(storage, stream, before=options.before, keep=options.keep, log=log)
    if options.dry_run:
        return _report(options, "planned", _plan_json(plan), str(plan))
    if plan.files and not is_confirmed(options, str(plan), "Delete them?"):
        return ExitCode.FAILED
    receipt = prune(storage, stream, before=options.before, keep=options.keep, log=log)
    done = {"pruned_at": receipt.pruned_at, "number": receipt.number}
    return _report(options, "done", _plan_json(receipt.plan) | done, str(receipt))


def _plan_json(plan: PrunePlan) -> dict[str, Any]:
    return {
        "before": plan.before,
        "keep": plan.keep,
        "files": [{"key": info.key, "size": info.size} for info in plan.files],
        "size": plan.size,
        "replays_from": plan.replays_from,
    }


def add_clean_up(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clean-up``."""
    parser.set_defaults(run=_clean_up)
    add_sync_name(parser)
    parser.add_argument(
        "--older-than",
        type=_age,
        default=timedelta(days=1),
        metavar="AGE",
        help="the smallest age of a file, such as 2h or 7d (default: 1d)",
    )
    add_confirmation(parser)
    add_location(parser)


def _clean_up(options: argparse.Namespace) -> ExitCode:
    storage, stream, log, _ = place_of(options, options.name, setup_of(options))
    keys = plan_clean_up(storage, stream, log=log, older_than=options.older_than)
    outcome = "planned"
    if not options.dry_run:
        outcome = "done"
        if keys and not is_confirmed(options, "\n".join(["leftovers:", *keys]), "Remove them?"):
            return ExitCode.FAILED
        keys = clean_up(storage, stream, log=log, older_than=options.older_than)
    return _report(options, outcome, {"keys": keys}, "\n".join(keys) or "no leftovers")


def _age(text: str) -> timedelta:
    """Return the age that an argument names."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if match is None:
        fault = f"invalid age {text!r}; use a number of minutes, hours or days, e.g. 30m, 2h or 7d"
        raise argparse.ArgumentTypeError(fault)
    return timedelta(**{units[match[2]]: int(match[1])})


def _report(
    options: argparse.Namespace, outcome: str, found: dict[str, Any], text: str
) -> ExitCode:
    """Print a result as JSON or as text."""
    if options.json:
        print_json({"sync": options.name, "outcome": outcome} | found)
    else:
        print_result(text)
    return ExitCode.DONE
