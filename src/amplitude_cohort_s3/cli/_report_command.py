"""The subcommand ``report``, which writes an HTML page about one cohort."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ConfigurationError
from ._arguments import add_sync_name
from ._location import add_location, history_of, setup_of
from ._output import print_json, print_result
from .exit_codes import ExitCode


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``report``."""
    parser.set_defaults(run=_report)
    add_sync_name(parser)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the HTML file to write, such as report.html; it is replaced if it exists",
    )
    parser.add_argument(
        "--verify", action="store_true", help="read all files, and show what does not agree"
    )
    add_location(parser)


def _report(options: argparse.Namespace) -> ExitCode:
    history = history_of(options, options.name, setup_of(options))
    report = history.report(verify=options.verify, generated=datetime.now(UTC))
    try:
        report.save(options.output)
    except OSError as error:
        fault = f"can't be written ({error.strerror}); name another file with --output"
        raise ConfigurationError(str(options.output), (fault,)) from None
    found = None if report.findings is None else len(report.findings)
    if options.json:
        print_json({"output": str(options.output), "title": report.title, "findings": found})
    else:
        findings = "" if found is None else f" Findings: {found:,}."
        print_result(f"{options.output} is written.{findings}")
    return ExitCode.FINDINGS if found else ExitCode.DONE
