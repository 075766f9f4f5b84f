"""What the command prints."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import CohortS3Error, MassExitError, UnfinishedSyncError
from ..format.filename import CohortFileName
from ..log.records import SyncRecord
from ..sync.plan import SyncPlan
from ..sync.schedule import JobResult
from .exit_codes import exit_code

COMMAND = "amplitude-cohort-s3"


def cure(error: BaseException | None) -> str:
    """What to add to an error whose cure is said in Python."""
    match error:
        case MassExitError():
            return f" (here: {COMMAND} sync NAME --max-exits {error.exits})"
        case UnfinishedSyncError():
            return " (here: run it without --dry-run)"
        case _:
            return ""


def say(text: str) -> None:
    print(f"{COMMAND}: {text}", file=sys.stderr)  # noqa: T201 -- a command talks


def put(text: str) -> None:
    print(text)  # noqa: T201 -- a command's output


def put_json(value: object) -> None:
    put(json.dumps(value, indent=2))


# --- How things are printed --------------------------------------------------------------


def put_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()
) -> None:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = {*right}

    def cells(line: Sequence[str]) -> Iterator[str]:
        for number, (cell, width) in enumerate(zip(line, widths, strict=True)):
            yield cell.rjust(width) if number in aligned else cell.ljust(width)

    put("\n".join("  ".join(cells(line)).rstrip() for line in lines))


def job_json(name: str, job: JobResult) -> dict[str, Any]:
    found: dict[str, Any] = {"sync": name, "outcome": job.outcome.value}
    if job.result is not None:
        found |= sync_json(job.result.record, job.result.ignored_columns)
    if job.error is not None:
        kind = type(job.error).__name__
        found["error"] = {
            "type": kind,
            "message": str(job.error) if isinstance(job.error, CohortS3Error) else kind,
            "exit_code": int(exit_code(job.error)),
        }
    return found


def sync_json(sync: SyncRecord | SyncPlan, ignored_columns: Sequence[str]) -> dict[str, Any]:
    """A sync that is done, or what one would do: the same fields."""
    return {
        "synced_at": sync.synced_at.isoformat(),
        "members": sync.members,
        "members_before": sync.members_before,
        "skipped": sync.skipped,
        "collapsed": sync.collapsed,
        "ignored_columns": list(ignored_columns),
        "source": dict(sync.source),
        "files": {
            str(t.value): {"key": file.key, "rows": file.rows, "sha256": file.sha256}
            for t, file in sync.files.items()
        },
    }


def name_json(path: str, name: CohortFileName) -> dict[str, Any]:
    return {
        "path": path,
        "project_id": name.project_id,
        "cohort_id": name.cohort_id,
        "synced_at": name.synced_at.isoformat(),
        "diff_type": name.diff_type.value,
        "routing_key": name.routing_key,
    }
