"""The default diff engine."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from .destination import ExistingMeaning
from .diff import CsvSource, DiffFile, DiffReport, Duplicates, Progress
from .errors import DuplicateKeyError, EmptyKeyError
from .filename import DiffType
from .rows import Row, RowSchema, read_table


class PartitionEngine:
    """Holds both sides in memory."""

    def diff(
        self,
        previous: CsvSource,
        current: CsvSource,
        *,
        schema: RowSchema,
        existing: ExistingMeaning,
        duplicates: Duplicates,
        folder: Path,
        progress: Progress | None,
    ) -> DiffReport:
        """See :class:`~amplitude_cohort_s3.diff.DiffEngine`."""
        key = schema.key_index
        before = {
            row[key]: row
            for row in schema.decode(previous.chunks(), vouched=previous.vouched, fill=True)
        }
        now = dict[str, Row]()
        table = read_table(current.chunks(), vouched=current.vouched)
        select = table.selector(schema)
        skipped = collapsed = 0
        empty = list[int]()
        conflicting = dict[str, int]()
        line = 1
        for batch in table.batches:
            for row in map(select, batch):
                line += 1
                if not row[key]:
                    skipped += 1
                    empty.append(line)
                elif (other := now.setdefault(row[key], row)) is not row:
                    collapsed += 1
                    if other != row:
                        conflicting.setdefault(row[key], line)
                        now[row[key]] = min(row, other, key=lambda r: b"".join(schema.encode([r])))
            if progress is not None:
                progress(line - 1, current.rows)
        if empty and schema.key == "amplitude_id":
            raise EmptyKeyError(schema.key, len(empty), tuple(empty[:5]))
        if conflicting and duplicates == "refuse":
            raise DuplicateKeyError(
                schema.key, len(conflicting), tuple(sorted(conflicting.values())[:5])
            )
        ordered = sorted(now.values(), key=lambda row: row[key].encode())
        entering = [row for row in ordered if row[key] not in before]
        exiting = sorted(
            (row for row in before.values() if row[key] not in now),
            key=lambda row: row[key].encode(),
        )
        match existing:
            case ExistingMeaning.MEMBERS:
                kept = ordered
            case ExistingMeaning.STAYED:
                kept = [row for row in ordered if row[key] in before]
            case ExistingMeaning.PREVIOUS:
                stayed = (row for row in ordered if row[key] in before)
                kept = sorted([*stayed, *exiting], key=lambda row: row[key].encode())
        files = {
            DiffType.ENTERING: _write(folder, DiffType.ENTERING, schema, entering),
            DiffType.EXITING: _write(folder, DiffType.EXITING, schema, exiting),
            DiffType.EXISTING: _write(folder, DiffType.EXISTING, schema, kept),
        }
        return DiffReport(
            files=files,
            members_before=len(before),
            members_now=len(now),
            members_sha256=_digest(schema.encode(ordered)),
            skipped=skipped,
            collapsed=collapsed,
            ignored_columns=tuple(c for c in table.columns if c not in schema.columns),
        )


def _write(folder: Path, diff_type: DiffType, schema: RowSchema, rows: list[Row]) -> DiffFile:
    path = folder / f"{diff_type}.csv"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in schema.encode(rows):
            digest.update(chunk)
            file.write(chunk)
        return DiffFile(path=path, rows=len(rows), size=file.tell(), sha256=digest.hexdigest())


def _digest(chunks: Iterable[bytes] | Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
