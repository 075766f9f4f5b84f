"""The JSON of plans and results, which have most facts in common."""

from collections.abc import Mapping
from typing import Any

from ..format.filename import DiffType
from ..log.files import PlannedFile
from ..log.records import SyncFacts


def sync_to_json(
    sync: SyncFacts,
    files: Mapping[DiffType, PlannedFile],
    *,
    already_done: bool,
    ignored_columns: tuple[str, ...],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """Return a sync as a JSON object.

    Args:
        sync: The plan or the record.
        files: Its files.
        already_done: True if an earlier run did the same sync.
        ignored_columns: The columns of the source that the sync does not have.
        notes: Sentences about the counts.
    """
    return {
        "synced_at": sync.synced_at.isoformat(),
        "already_done": already_done,
        "members": sync.members,
        "members_before": sync.members_before,
        "changed": sync.changed,
        "skipped": sync.skipped,
        "collapsed": sync.collapsed,
        "filled": dict(sync.filled),
        "ignored_columns": list(ignored_columns),
        "notes": list(notes),
        "source": dict(sync.source),
        "files": {
            t.value: {"key": file.key, "rows": file.rows, "sha256": file.sha256}
            for t, file in files.items()
        },
    }
