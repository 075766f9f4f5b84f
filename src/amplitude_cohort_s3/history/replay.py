"""The members at each sync and the changes between them, even if files are missing.

The files of one sync may not be enough to know its members: ``existing`` may be pruned or
lost. They can still be replayed, because members at one sync plus the changes after it
are the members at a later sync. The same works backwards. A snapshot is a sync whose own
files are enough; from one snapshot and all changes the whole history follows.

All methods use the same members at each sync: see :mod:`.origins`. The changes at a sync are
those that its files list, if these lead from the members at the sync before to those at this
one. They do not if a sync between the two is lost, which a log shows; without a log, only a
comparison of the members shows it. In this case, and if a file of changes is missing, the
changes are the difference of the members at the two syncs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter

from attrs import evolve, field, frozen

from ..errors import ObjectNotFoundError, UnknownMembersError
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..log.listing import BucketSync
from ..sources.protocol import CsvSource
from ._external_sort import external_sort
from ._links import contradicted_link, leads_here
from .key_digests import KeyDigests, key_digests
from .member_rows import KeyedRow
from .members import Members, needed_files
from .origins import Origin, SyncEvidence, numbers_on_schedule, origins_of
from .stays import Change, ChangeKind, NumberedStay, RowMerge, snapshots_to_show, stays_of
from .sync_files import CHANGES, SyncFiles

ENTERING, EXITING, EXISTING = DiffType


@frozen(kw_only=True)
class Replay(SyncFiles):
    """The syncs of a stream, and the members and changes that follow from their files."""

    _links: dict[int, bool] = field(factory=dict[int, bool], init=False, repr=False, eq=False)
    _digests: dict[int, KeyDigests | None] = field(
        factory=dict[int, KeyDigests | None], init=False, repr=False, eq=False
    )
    _known_origins: list[Origin] = field(factory=list[Origin], init=False, repr=False, eq=False)

    def _facts(self, number: int, trusted: frozenset[int] = frozenset()) -> SyncEvidence:
        sync = self.syncs[number]
        record = self.record(sync)
        own = None if record is None or record.adopted else record
        follows = number > 0 and not self.has_gap_before(sync)
        return SyncEvidence(
            members=self.has_snapshot(sync),
            before=own is not None and sync.files.keys() >= set(own.existing.previous_files),
            changes=sync.files.keys() >= CHANGES.keys(),
            follows=follows,
            is_certain=follows and (own is not None or number in trusted),
        )

    @property
    def _on_schedule(self) -> frozenset[int]:
        return numbers_on_schedule([sync.synced_at for sync in self.syncs])

    @property
    def _origins(self) -> Sequence[Origin]:
        if not self._known_origins:
            trusted = self._on_schedule
            facts = [self._facts(number, trusted) for number in range(len(self.syncs))]
            self._known_origins.extend(origins_of(facts, begins_empty=self.has_known_start))
            self._break_links(facts)
        return self._known_origins

    def _break_links(self, facts: list[SyncEvidence]) -> None:
        """Choose the origins again, without the links that the files contradict."""
        try:
            while number := contradicted_link(
                self._known_origins, facts, self._member_keys, self._listed_keys
            ):
                facts[number] = evolve(facts[number], follows=False)
                origins = origins_of(facts, begins_empty=self.has_known_start)
                self._known_origins[:] = origins
        except BaseException:
            self._known_origins.clear()  # They are not known yet.
            raise

    def _member_keys(self, number: int) -> Iterator[bytes]:
        return map(itemgetter(0), self._members(number, self._schema_of(())))

    def _listed_keys(self, number: int, diff_type: DiffType) -> Iterator[bytes]:
        if diff_type not in self.syncs[number].files:
            return iter(())
        return map(itemgetter(0), self._listed_rows(number, diff_type, self._schema_of(())))

    # --- Members -------------------------------------------------------------------------

    def members_at(self, when: datetime | BucketSync | None = None) -> Members:
        """Return the members at the newest sync that is not after a time.

        They come from the files of that sync. If it has no ``existing``, they are replayed
        from the nearest earlier snapshot and the changes since. Each user then has the
        properties from that snapshot or from the entry after it.

        Args:
            when: An aware datetime, or one of the syncs. Default: the newest sync.

        Raises:
            NaiveDatetimeError: ``when`` has no time zone.
            ArgumentTypeError: ``when`` is a text, a date or a number.
            NoSyncYetError: The first sync is later, or there is none.
            UnknownMembersError: The time is not in the window of the history, or the files
                from which the members follow are lost.
        """
        index = self._index(when)
        sync = self.syncs[index]
        if not self.has_snapshot(sync):
            schema = self.schema
            self._check_known([index])
            return Members(
                schema=schema,
                sources={
                    EXISTING: CsvSource(
                        chunks=partial(self._replayed_chunks, index, schema), canonical=True
                    )
                },
            )
        record = self.record(sync)
        if record is not None and record.schema.key == self.match_by:
            sources = {t: self.source(sync, t) for t in needed_files(record)}
            chunks = partial(self._snapshot_chunks, sync, record.schema)
            sources[EXISTING] = evolve(sources[EXISTING], chunks=chunks)
            return Members(schema=record.schema, rows=record.members, sources=sources)
        return Members(
            schema=self._schema_of(self._properties(sync)),
            sources={t: self.source(sync, t) for t in DiffType if t in sync.files},
            work_dir=self.work_dir,
        )

    def _replayed_chunks(self, index: int, schema: RowSchema) -> Iterator[bytes]:
        return schema.encode(row for _, row in self._replayed(index, schema))

    def _snapshot_chunks(self, sync: BucketSync, schema: RowSchema) -> Iterator[bytes]:
        """Yield the file existing or, if ``prune`` has removed it by now, the members.

        The members can replace the file: ``(entering | members) - exiting`` are the members.
        """
        try:
            chunks = self.source(sync, EXISTING).chunks()
            first = next(chunks, b"")
        except ObjectNotFoundError:
            newer = self.newer()
            now = None if newer is None else newer.sync_at(sync.synced_at)
            if newer is None or now is None or now.synced_at != sync.synced_at:
                raise
            rows = newer.members_at(now).csv_source(schema).rows_of(schema, fill=True)
            yield from schema.encode(rows)
        else:
            yield first
            yield from chunks

    def _check_known(self, numbers: Iterable[int]) -> None:
        """Raise unless the members at some syncs are known.

        Raises:
            UnknownMembersError: They are not.
        """
        for number in numbers:
            if self._origins[number] is Origin.UNKNOWN:
                reason = "files are lost, and they do not follow from those of other syncs"
                hint = "Read the history with since or until, to leave out this sync"
                raise UnknownMembersError(self.syncs[number].synced_at, reason, hint)

    def _members(self, number: int, schema: RowSchema) -> Iterator[KeyedRow]:
        """Yield the members at a sync, in order."""
        self._check_known([number])
        if self._origins[number] is not Origin.FILES:
            return self._replayed(number, schema)
        members = self.members_at(self.syncs[number]).csv_source(schema)
        index = schema.key_index
        return ((row[index].encode(), row) for row in members.rows_of(schema, fill=True))

    def _members_before(self, number: int, schema: RowSchema) -> Iterator[KeyedRow]:
        """Yield the members before a sync, from its own files: see ``ExistingMeaning``."""
        for key, row_in in self._merged_rows(self.syncs[number], DiffType, schema):
            if EXITING in row_in:
                yield key, row_in[EXITING]
            elif ENTERING not in row_in:
                yield key, row_in[EXISTING]

    def _replayed(self, index: int, schema: RowSchema) -> Iterator[KeyedRow]:
        """Yield the members at a sync that is not a snapshot."""
        base, origins = index, self._origins
        if origins[index] is Origin.EARLIER:
            while base >= 0 and origins[base] is Origin.EARLIER:
                base -= 1
            numbers = range(base + 1, index + 1)
            present = [] if base < 0 else [self._present(base, schema)]
        else:
            base += 1
            while origins[base] is Origin.LATER and self._facts(base).changes:
                base += 1
            if self._facts(base).changes:
                numbers = range(index + 1, base + 1)
                present = [self._present(base, schema)]
            else:
                numbers = range(index + 1, base)
                rows = self._members_before(base, schema)
                present = [((key, base - 1, ChangeKind.PRESENT, row) for key, row in rows)]
        changes = (
            (key, number, kind, row)
            for number in numbers
            for diff_type, kind in CHANGES.items()
            for key, row in self._listed_rows(number, diff_type, schema)
        )
        ordered = external_sort(changes, work_dir=self.work_dir)
        for stay in stays_of(heapq.merge(*present, ordered), self._row_merge(schema)):
            if (stay.entered or 0) <= index and (stay.exited is None or stay.exited > index):
                yield stay.row[schema.key_index].encode(), stay.row

    def _present(self, number: int, schema: RowSchema) -> Iterator[Change]:
        """Yield the members at a sync, in order, as changes."""
        for key, row in self._members(number, schema):
            yield key, number, ChangeKind.PRESENT, row

    # --- Changes -------------------------------------------------------------------------

    def is_derived(self, sync: BucketSync, diff_type: DiffType) -> bool:
        """Return True if the changes at a sync are computed from the members around it.

        That is so if their file is missing, or does not lead from the members at the sync
        before to those at this one, and the members at both are known.
        """
        number = self._number(sync)
        if self._is_listed(number, diff_type):
            return False
        if not number:
            return self.has_known_start and self._origins[0] is not Origin.UNKNOWN
        return Origin.UNKNOWN not in self._origins[number - 1 : number + 1]

    def _is_listed(
        self, number: int, diff_type: DiffType, trusted: frozenset[int] = frozenset()
    ) -> bool:
        """Return True if a file lists the changes of a sync.

        Args:
            number: The number of the sync.
            diff_type: The type of the file.
            trusted: The numbers of syncs before which no sync is missing although they have no
                record. At other syncs without a record, the members at the sync and at the one
                before are compared, which reads all of them.
        """
        sync = self.syncs[number]
        if diff_type not in sync.files or (number and self.has_gap_before(sync)):
            return False
        record = self.record(sync)
        if not number or (record is not None and not record.adopted) or number in trusted:
            return True
        if number not in self._links:
            self._links[number] = self._leads_here(number)
        return self._links[number]

    def _leads_here(self, number: int) -> bool:
        """Return True if the changes lead from the members at the sync before to those here."""
        if Origin.UNKNOWN in self._origins[number - 1 : number + 1]:
            return True  # There is nothing to compare.
        before, now = self._key_digests(number - 1), self._key_digests(number)
        if before is not None and now is not None and before.members == now.before:
            return True
        return leads_here(number, self._member_keys, self._listed_keys)

    def _key_digests(self, number: int) -> KeyDigests | None:
        """Return the digests of a sync without a record; None if they can't be computed."""
        sync = self.syncs[number]
        if sync.missing:
            return None
        if number not in self._digests:
            self._digests[number] = key_digests(*(self._key_batches(sync, t) for t in DiffType))
        return self._digests[number]

    def _listed_rows(
        self, number: int, diff_type: DiffType, schema: RowSchema
    ) -> Iterator[KeyedRow]:
        """Yield the rows of a file of changes; a user in both files is not a member."""
        sync = self.syncs[number]
        record = self.record(sync)
        is_disjoint = record is not None and not record.adopted
        if diff_type is EXITING or is_disjoint or EXITING not in sync.files:
            yield from self.member_rows(sync, diff_type, schema)
            return
        for key, row_in in self._merged_rows(sync, CHANGES, schema):
            if EXITING not in row_in:
                yield key, row_in[ENTERING]

    def _changed_rows(
        self,
        number: int,
        diff_type: DiffType,
        schema: RowSchema,
        trusted: frozenset[int] = frozenset(),
    ) -> tuple[bool, Iterator[KeyedRow]]:
        """Return whether the changes at a sync are derived, and the rows of these users."""
        if self._is_listed(number, diff_type, trusted):
            return False, self._listed_rows(number, diff_type, schema)
        if not number and not self.has_known_start:
            return False, iter(())
        return True, self._derived_rows(number, diff_type, schema)

    def _derived_rows(
        self, number: int, diff_type: DiffType, schema: RowSchema
    ) -> Iterator[KeyedRow]:
        """Yield the difference of the members at a sync and at the one before."""
        now = self._members(number, schema)
        before = self._members(number - 1, schema) if number else iter(())
        only, others = (now, before) if diff_type is ENTERING else (before, now)
        other = next(others, None)
        for key, row in only:
            while other is not None and other[0] < key:
                other = next(others, None)
            if other is None or other[0] != key:
                yield key, row

    def _all_stays(self, schema: RowSchema) -> Iterator[NumberedStay]:
        """Yield the stays of all users, in the order of the key."""
        numbers = range(len(self.syncs))
        self._check_known(numbers)
        changes = (
            (key, number, kind, row)
            for number in numbers
            for diff_type, kind in CHANGES.items()
            for key, row in self._changed_rows(number, diff_type, schema)[1]
        )
        snapshots = [n for n in numbers if self._origins[n] is Origin.FILES]
        shown = snapshots_to_show(snapshots, self._columns_at)
        present = [self._present(number, schema) for number in shown]
        ordered = external_sort(changes, work_dir=self.work_dir)
        return stays_of(heapq.merge(*present, ordered), self._row_merge(schema))

    def _row_merge(self, schema: RowSchema) -> RowMerge:
        return RowMerge.of(self._columns_at, schema.columns)

    @property
    def _columns_at(self) -> list[frozenset[str]]:
        """The columns of each sync."""
        return [frozenset(self._columns_of(sync)) for sync in self.syncs]
