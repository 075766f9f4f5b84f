"""The three files of a diff while they are written, and the counts."""

from functools import partial
from pathlib import Path

from .._bytes import Hashed
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.filled import add_counts
from ..format.schema import RowSchema
from ._append import append
from ._join import RangeOutput, RangeResult
from .protocol import DiffFile, DiffReport, Grown

_MAX_CONFLICTS = 10_000
"""The largest number of keys with different rows for whose lines the source is searched."""


class _OutputFile:
    """One of the three files while it is written."""

    def __init__(self, path: Path, header: bytes, grown: Grown, diff_type: DiffType) -> None:
        self.path = path
        self._grown = partial(grown, diff_type, path)
        self.content = Hashed()
        self.content.update(header)
        self._written = 0
        self.rows = 0
        self.write(header)

    def write(self, data: bytes) -> None:
        """Append bytes to the file."""
        append(self.path, data)
        self._written += len(data)
        self._grown(self._written)

    def count(self, output: RangeOutput, *, is_hashed: bool = False) -> None:
        """Count the rows of a range, and hash them unless ``is_hashed``."""
        if not is_hashed:
            self.content.update(output.data)
        self.rows += output.rows


class Output:
    """The three files while they are written, range by range, and the counts."""

    def __init__(
        self, folder: Path, schema: RowSchema, existing: ExistingMeaning, grown: Grown
    ) -> None:
        header = schema.header_line
        self._files = {t: _OutputFile(folder / f"{t}.csv", header, grown, t) for t in DiffType}
        self._files[DiffType.ENTERING].content = self._files[DiffType.EXISTING].content
        # If ``existing`` contains exactly the members, its digest is also that of the members.
        self._members = self._files[DiffType.EXISTING].content
        if not existing.contains_entering:
            self._members = Hashed()
            self._members.update(header)
        self._before = self._now = self._changed = self._collapsed = self.conflicts = 0
        self.conflicting_keys = list[str]()
        self.has_float_ids = False
        self._properties = schema.properties
        self._filled = [0] * len(schema.properties)

    def write(self, result: RangeResult) -> RangeResult:
        """Append the rows of a range to the files, and return them."""
        self._files[DiffType.EXISTING].write(result.existing.data)
        self._files[DiffType.ENTERING].write(result.entering.data)
        self._files[DiffType.EXITING].write(result.exiting.data)
        return result

    def count(self, result: RangeResult) -> int:
        """Add the digests and the counts of a range; another thread may write it.

        Returns:
            The number of current rows in the range.
        """
        entering, existing = self._files[DiffType.ENTERING], self._files[DiffType.EXISTING]
        # While both files have the same bytes, as at a first sync, the bytes are hashed only
        # once.
        if entering.content is existing.content and result.entering is not result.existing:
            entering.content = existing.content.copy()
        existing.count(result.existing)
        entering.count(result.entering, is_hashed=entering.content is existing.content)
        self._files[DiffType.EXITING].count(result.exiting)
        if result.members is not None:
            self._members.update(result.members.data)
        self._before += result.members_before
        self._now += result.members_now
        self._changed += result.changed
        self._collapsed += result.collapsed
        self.conflicts += result.conflicts
        self.has_float_ids |= result.has_float_ids
        self._filled = add_counts(self._filled, result.filled)
        free = max(0, _MAX_CONFLICTS - len(self.conflicting_keys))
        self.conflicting_keys += result.conflicting_keys[:free]
        return result.members_now + result.collapsed

    def report(self, *, skipped: int, ignored: tuple[str, ...]) -> DiffReport:
        """Return the report of the engine."""
        return DiffReport(
            files={
                diff_type: DiffFile(
                    path=file.path,
                    rows=file.rows,
                    size=file.content.size,
                    sha256=file.content.sha256,
                )
                for diff_type, file in self._files.items()
            },
            members_before=self._before,
            members_now=self._now,
            changed=self._changed,
            members_sha256=self._members.sha256,
            skipped=skipped,
            collapsed=self._collapsed,
            filled=dict(zip(self._properties, self._filled, strict=True)),
            ignored_columns=ignored,
        )
