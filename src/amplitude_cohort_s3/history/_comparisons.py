"""Comparisons of the members at two syncs: their diff, and the properties that changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from attrs import frozen

from ..diff.cohort_diff import CohortDiff, diff_members
from ..diff.progress import Progress
from ..format.columns import ID_COLUMNS
from ..log.listing import BucketSync
from .origins import Origin
from .property_changes import (
    PROPERTY_CHANGE_COLUMNS,
    PropertyChange,
    cell_names,
    changed_rows,
)
from .replay import Replay
from .tables import ValueTable, row_batches


@frozen(kw_only=True)
class Comparisons(Replay):
    """The syncs of a stream, and comparisons of the members at two of them."""

    def changes(self) -> ValueTable[PropertyChange]:
        """Return the changed properties of members who stayed, in the order of the syncs.

        There is a row for each sync, each member and each column whose value differs from that at
        the sync before. Of the two id columns, the one by which members are not matched counts as
        a property. A column that only one of the two syncs has is not a change. The table has the
        columns ``synced_at``, the ids of the member, ``property``, ``old`` and ``new``.

        Each iteration reads the members at all syncs, two syncs side by side, but skips a sync
        whose record states that nobody changed. If the file ``existing`` of a sync is missing, a
        change shows at the next sync that has one.

        Raises:
            MalformedCsvError: A file is not valid CSV of a cohort; during the iteration.
            UnknownMembersError: As in ``intervals``; during the iteration.
        """
        return ValueTable(
            kind=PropertyChange,
            values=self._changed_properties,
            value_columns=PROPERTY_CHANGE_COLUMNS,
            row_columns=lambda: cell_names(self._change_ids),
            length=lambda: None,
            batches=lambda schema: row_batches(self._changed_properties(), schema),
        )

    def diff(
        self,
        before: datetime | BucketSync,
        now: datetime | BucketSync | None = None,
        *,
        progress: Progress | Literal[True] | None = None,
    ) -> CohortDiff:
        """Compute the diff of the members at any two syncs, in bounded memory.

        Args:
            before: A sync, or an aware datetime for the newest sync that is not after it.
            now: The same for the members to compare with. Default: the newest sync.
            progress: A callback for the progress; ``True`` shows tqdm bars.

        Returns:
            The diff, which owns temporary files; use it as a context manager. Its columns are
            those of the members at ``now``.

        Raises:
            NaiveDatetimeError, ArgumentTypeError, NoSyncYetError, UnknownMembersError: As
                ``members_at``.
            MalformedCsvError, ObjectChangedError: A file can't be read.
            DiskFullError: The temporary files do not fit on the disk.

        >>> from amplitude_cohort_s3 import MemoryStorage, read_history
        >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
        >>> storage = MemoryStorage()
        >>> history = read_history(storage, fill_bucket(storage, syncs=3))
        >>> with history.diff(history[0], history[2]) as diff:
        ...     diff.report.members_before, diff.report.members_now
        (2000, 1988)
        """
        current = self.members_at(now)
        return diff_members(
            self.members_at(before),
            current,
            schema=current.schema,
            work_dir=self.work_dir,
            progress=progress,
        )

    @property
    def _change_ids(self) -> tuple[str, ...]:
        """The columns that name the user: both ids, and the column that members are matched by."""
        return tuple(dict.fromkeys((*ID_COLUMNS, self.match_by)))

    def _changed_properties(self) -> Iterator[PropertyChange]:
        self._check_known(range(len(self.syncs)))
        properties, ids = self.schema.properties, self._change_ids
        for number in range(1, len(self.syncs)):
            if self._states_no_change(number):
                continue
            known = self._known_columns(number - 1) & self._known_columns(number)
            schema = self._schema_of(name for name in properties if name in known)
            columns = schema.columns
            compared = [
                (place, name)
                for place, name in enumerate(columns)
                if name in known and name != schema.key
            ]
            places = [columns.index(name) for name in ids]
            synced_at = self.syncs[number].synced_at
            before, now = (
                self.members_at(sync).csv_source(schema) for sync in self.syncs[number - 1 :][:2]
            )
            for old, new in changed_rows(before, now, schema):
                row = tuple([new[place] for place in places])
                for place, name in compared:
                    if old[place] != new[place]:
                        yield PropertyChange(
                            synced_at=synced_at,
                            row=row,
                            column=name,
                            old=old[place],
                            new=new[place],
                            columns=ids,
                        )

    def _states_no_change(self, number: int) -> bool:
        """Return True if the record of a sync states that no member changed since the one before.

        It compared the rows in the files of both syncs. Members who are replayed from files of
        other syncs may have older properties.
        """
        sync = self.syncs[number]
        record = self.record(sync)
        return (
            record is not None
            and record.changed == 0
            and not self.has_gap_before(sync)
            and {*self._origins[number - 1 : number + 1]} == {Origin.FILES}
        )

    def _known_columns(self, number: int) -> frozenset[str]:
        """Return the columns whose values are known for all members at a sync.

        If the members are replayed, their rows come from several syncs, and a column that one of
        these lacks is empty in its rows.
        """
        first = last = number
        while first and self._origins[first] is Origin.EARLIER:
            first -= 1
        while self._origins[last] is Origin.LATER:
            last += 1
        columns = [frozenset(self._columns_of(sync)) for sync in self.syncs[first : last + 1]]
        return columns[0].intersection(*columns[1:])
