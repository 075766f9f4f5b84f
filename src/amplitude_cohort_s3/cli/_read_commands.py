"""The subcommands that write nothing: they read a bucket, a name or the configuration."""

import argparse

from attrs import asdict

from ..errors import ConfigurationError, NoSyncYetError
from ..format.filename import CohortFileName
from ..history import Finding, list_streams
from ..policy import PURPOSES, bucket_policy
from ._arguments import add_sync_name, add_sync_names, add_time
from ._location import add_location, history_of, open_existing, setup_of
from ._output import (
    COMMAND,
    in_command,
    print_json,
    print_members,
    print_message,
    print_result,
    print_table,
)
from ._setup import Setup, progress_bar
from .exit_codes import ExitCode


def add_streams(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_streams)
    parser.add_argument(
        "location", metavar="LOCATION", help="a folder, s3://bucket or s3://bucket/path"
    )


def _streams(options: argparse.Namespace) -> ExitCode:
    found = list_streams(*open_existing(options.location))
    if options.json:
        print_json(
            [
                {**asdict(one.stream), **asdict(one, filter=lambda a, _: a.name != "stream")}
                for one in found
            ]
        )
    elif found:
        print_result(str(found))
    else:
        print_message(f"{options.location} has no files of cohorts; name another folder or bucket")
        return ExitCode.FAILED
    return ExitCode.DONE


def add_history(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_history)
    add_sync_name(parser)
    add_location(parser)


def _history(options: argparse.Namespace) -> ExitCode:
    history = history_of(options, options.name, setup_of(options))
    if not history:
        raise history.no_sync_yet()
    churn = history.churn()
    if options.json:
        print_json([asdict(sync) for sync in churn])
    else:
        print_result(str(churn))
    return ExitCode.DONE


def add_members(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_members)
    add_sync_name(parser)
    add_location(parser)
    add_time(parser)


def _members(options: argparse.Namespace) -> ExitCode:
    history = history_of(options, options.name, setup_of(options))
    print_members(history.members_at(options.at), as_json=options.json)
    return ExitCode.DONE


def add_verify(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_verify)
    add_sync_names(parser)
    add_location(parser)


def _verify(options: argparse.Namespace) -> ExitCode:
    setup = setup_of(options)
    if setup is None and not options.names:
        fault = f"--from needs the ids of cohorts; {COMMAND} streams LOCATION lists them"
        raise ConfigurationError("the command line", (fault,))
    found = list[tuple[str, Finding]]()
    code = ExitCode.DONE
    for name in options.names if setup is None else setup.syncs(options.names):
        if setup is not None and setup.pattern_of(name) == name:
            cause = "no cohort of this pattern was ever synced"
            print_message(f"{name}: {cause}; sync them with {COMMAND} run {name}")
            code = ExitCode.FAILED
            continue
        try:
            history = history_of(options, name, setup)
            with progress_bar() as progress:
                findings = history.verify(progress=progress)
        except NoSyncYetError as error:
            # The other syncs are verified all the same.
            print_message(f"{name}: {in_command(str(error))}")
            code = ExitCode.FAILED
            continue
        found += [(name, finding) for finding in findings]
    if options.json:
        print_json(
            [
                {"sync": name, **asdict(finding), "kind": finding.kind.name.lower()}
                for name, finding in found
            ]
        )
    elif found or code is ExitCode.DONE:
        lines = [f"{name}: {finding}" for name, finding in found]
        print_result("\n".join(lines) or "no findings")
    return ExitCode.FINDINGS if found else code


def add_policy(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_policy)
    parser.add_argument("name", help="name of the destination in the configuration file")
    parser.add_argument(
        "--principal",
        action="append",
        required=True,
        metavar="ARN",
        help="the role or user to allow; can be repeated",
    )
    parser.add_argument(
        "--purpose",
        choices=PURPOSES,
        default="write",
        help="what the principal does: sync with this command (default), sync with Amplitude, "
        "read, or remove stale uploads",
    )
    parser.add_argument("--create-only", action="store_true", help="deny overwriting objects")
    parser.add_argument("--kms-key", metavar="ARN", help="deny writing with any other KMS key")


def _policy(options: argparse.Namespace) -> ExitCode:
    config = Setup.read(options.config).destination(options.name)
    try:
        policy = bucket_policy(
            config.destination,
            principal=options.principal,
            purpose=options.purpose,
            create_only=options.create_only,
            kms_key=options.kms_key,
        )
    except ConfigurationError as error:
        # Their faults begin with the name of the argument.
        flags = {"principal": "--principal", "create_only": "--create-only", "kms_key": "--kms-key"}
        words = [fault.partition(" ") for fault in error.faults]
        faults = tuple(f"{flags.get(name, name)} {rest}" for name, _, rest in words)
        raise ConfigurationError(f"policy {options.name}", faults) from None
    print_result(policy.to_json())
    return ExitCode.DONE


def add_parse_name(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_parse_name)
    parser.add_argument("keys", nargs="+", metavar="name", help="file name or whole key")


def _parse_name(options: argparse.Namespace) -> ExitCode:
    parsed = [
        {
            "path": path,
            "project_id": name.project_id,
            "cohort_id": name.cohort_id,
            "synced_at": name.synced_at.isoformat(),
            "diff_type": name.diff_type.value,
            "routing_key": name.routing_key,
        }
        for path, name in map(CohortFileName.from_key, options.keys)
    ]
    if options.json:
        print_json(parsed)
    else:
        rows = [[v if v is None else str(v) for v in name.values()] for name in parsed]
        print_table([*parsed[0]], rows)
    return ExitCode.DONE
