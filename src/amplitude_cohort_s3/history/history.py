"""The history of a stream: its members at any time, and their changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate, islice
from operator import itemgetter
from typing import Any, Literal, NoReturn, overload

from attrs import frozen

from .._arguments import check_kind
from .._display import html_table, newest_of
from .._time import to_utc
from ..diff.progress import Progress, reporting
from ..errors import CohortS3Error
from ..format.columns import Row
from ..format.filename import DiffType
from ..format.named_rows import ColumnType
from ..format.schema import RowSchema
from ..log.listing import BucketSync
from ._comparisons import Comparisons
from ._event_batches import cells_schema, event_batches
from ._intervals import Intervals
from ._plot import plot_history
from ._recorded_churn import recorded_changes, recorded_churn
from ._run_log import RunLog
from .events import CHURN_COLUMNS, EVENT_COLUMNS, Churn, ChurnTable, MembershipEvent
from .findings import Findings
from .line_batches import file_batches
from .member_search import MemberSearch
from .members import are_sorted
from .report.facts import facts_of
from .report.page import report_of
from .report.report import HistoryReport
from .stays import STAY_COLUMNS, Stay
from .sync_files import CHANGES
from .tables import ArrowTable, ValueTable, row_batches
from .verification import verify

MAX_ROWS = 10
"""The number of syncs that a notebook shows: the newest ones."""


# It is not declared as a Sequence: polars.DataFrame would not look for Arrow then.
@frozen(kw_only=True)
class CohortHistory(MemberSearch, Intervals, Comparisons, RunLog, ArrowTable):
    """The syncs of a stream, oldest first, and the questions that they answer.

    It is made from listings alone: files and log are read on demand. All answers are
    streams, in memory that does not grow with the history. The repr shows counts. A
    notebook shows the newest ten syncs and reads their records, which are small.

    Its data frame, for example ``history.to_pandas()``, is that of :meth:`churn`: one row for
    each sync, with the columns ``synced_at``, ``members``, ``entered``, ``exited``, ``returned``
    and ``changed``.
    """

    def __len__(self) -> int:
        return len(self.syncs)

    def __iter__(self) -> Iterator[BucketSync]:
        return iter(self.syncs)

    def __array__(self, *_: object, **__: object) -> NoReturn:
        # pandas.DataFrame(history) would have the objects of the syncs as cells.
        raise TypeError(
            "the rows of a history are those of history.churn(): pass these, or call "
            "history.to_pandas()"
        )

    @overload
    def __getitem__(self, index: int, /) -> BucketSync: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[BucketSync]: ...
    def __getitem__(self, index: int | slice, /) -> BucketSync | Sequence[BucketSync]:
        return self.syncs[index]

    def __repr__(self) -> str:
        # An empty history names the likely cause: most often the stream was mistyped.
        cause = "" if self.syncs else f": {self.no_sync_yet()}"
        return (
            f"{type(self).__name__}(stream={self.stream!r}, syncs=<{len(self)}{cause}>, "
            f"skipped=<{len(self.skipped)}>, match_by={self.match_by!r})"
        )

    def _repr_html_(self) -> str:
        if not self.syncs:
            return html_table(f"{self.stream.data_prefix}: {self.no_sync_yet()}", (), ())
        shown = self.syncs[-MAX_ROWS:]
        first, last = self.syncs[0].synced_at, self.syncs[-1].synced_at
        title = (
            f"{self.stream.data_prefix}: {newest_of(len(shown), len(self), 'sync')}, "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        )
        rows = [(sync.synced_at, *self._recorded_counts(sync)) for sync in shown]
        if all("-" in row for row in rows):
            note = "The numbers of users are not recorded. Use .churn() to count them."
            return html_table(title, ("sync",), [row[:1] for row in rows], [note])
        return html_table(title, ("sync", "members", "entered", "exited"), rows)

    def _recorded_counts(self, sync: BucketSync) -> tuple[int | str, ...]:
        try:
            record = self.record(sync)
        except (CohortS3Error, OSError):  # A display must not fail; record() raises this.
            record = None
        if record is None:
            return ("-", "-", "-")
        return (record.members, *(record.files[t].rows for t in CHANGES))

    def events(self) -> ValueTable[MembershipEvent]:
        """Return every entry and exit in the order of the syncs; at each, entries first.

        Each iteration streams the small files. Only if they are not enough, ``existing`` is
        read too, to compute the changes from the members at this sync and at the one
        before; such events are marked as derived. That is so if a small file or the sync
        before is missing. Without a log, a missing sync only shows in ``existing``: they
        are compared unless the time since the sync before is an hour or a day, as
        in Amplitude's schedules, and not longer than usual in this history. The data
        frame has the columns ``synced_at`` and ``diff_type``, then those of the files.

        Raises:
            MalformedCsvError: A file is not valid CSV of a cohort; during the iteration.
            UnknownMembersError: Lost files are needed; during the iteration.
        """
        return ValueTable(
            kind=MembershipEvent,
            values=self._events,
            value_columns=EVENT_COLUMNS,
            row_columns=self._event_columns,
            length=self._number_of_events,
            batches=self._event_batches,
        )

    def _number_of_events(self) -> int | None:
        records = recorded_changes(self)
        if records is None:
            return None
        return sum(record.files[t].rows for record in records for t in CHANGES)

    def _events(self) -> Iterator[MembershipEvent]:
        schema, trusted = self._event_schema(), self._on_schedule
        for number, sync in enumerate(self.syncs):
            for diff_type in CHANGES:
                derived, rows = self._changed_rows(number, diff_type, schema, trusted)
                for _, row in rows:
                    yield MembershipEvent(sync.synced_at, diff_type, row, derived, schema.columns)

    def _event_batches(self, table_schema: Any) -> Iterator[Any]:
        """Yield all events as record batches of a ``pyarrow.Schema``."""
        schema, trusted = self._event_schema(), self._on_schedule
        texts = cells_schema(table_schema)
        for number, sync in enumerate(self.syncs):
            record = self.record(sync)
            for diff_type in CHANGES:
                rows_of = partial(self._event_rows, number, diff_type, schema, trusted)
                is_listed = self._is_listed(number, diff_type, trusted)
                if is_listed and are_sorted(record, self.match_by):
                    source = self.source(sync, diff_type)
                    cells = file_batches(source, texts, [self.match_by], rows_of)
                else:
                    cells = row_batches(rows_of(), texts)
                yield from event_batches(sync.synced_at, diff_type, cells, table_schema)

    def _event_rows(
        self, number: int, diff_type: DiffType, schema: RowSchema, trusted: frozenset[int]
    ) -> Iterator[Row]:
        _, rows = self._changed_rows(number, diff_type, schema, trusted)
        return map(itemgetter(1), rows)

    def _event_columns(self) -> tuple[str, ...]:
        return self._event_schema().columns

    def _event_schema(self) -> RowSchema:
        """Return the columns of the files that the events are read from."""
        trusted, names = self._on_schedule, dict[str, None]()
        for number, sync in enumerate(self.syncs):
            listed = all(self._is_listed(number, t, trusted) for t in CHANGES)
            names |= dict.fromkeys(self._properties(sync, CHANGES if listed else DiffType))
        return self._schema_of(names)

    def intervals(self) -> ValueTable[Stay]:
        """Return every stay of every user in the order of the key; a user may have several.

        Each iteration reads the newest snapshot and the changes, however long the history
        is. It reads more snapshots if a property was dropped or files are missing. Most files
        of changes are copied into ``work_dir`` first. Without a log it compares all snapshots,
        because a missing sync shows only there. The data frame has the columns ``entered`` and
        ``exited``, null if unknown or open, then the history's.

        Raises:
            MalformedCsvError: A file is not valid CSV of a cohort; during the iteration.
            UnknownMembersError: Files are lost without which the members at a sync are not
                known; during the iteration.
        """
        return ValueTable(
            kind=Stay,
            values=self._stays,
            value_columns=STAY_COLUMNS,
            row_columns=partial(getattr, self, "columns"),
            length=self._number_of_stays,
            batches=self._stay_batches,
        )

    def _number_of_stays(self) -> int | None:
        records = recorded_changes(self)
        if records is None:
            return None
        # A stay begins with an entry, or before the first sync; and it ends with an exit, or it
        # is one of the members at the newest sync.
        exited = sum(record.files[DiffType.EXITING].rows for record in records)
        return exited + (records[-1].members if records else 0)

    def churn(self) -> ChurnTable:
        """Return the numbers of members, and of users who entered, exited and returned, by sync.

        If each sync has a record of its own and no file of changes is missing, the numbers of
        members, entries and exits are those of the records, and the small files are read only
        for the users who returned. ``verify`` compares the records with the files. Otherwise
        the users are counted in the files, as ``intervals`` reads them, and the numbers of
        members with changed properties are None.

        Raises:
            MalformedCsvError: A file is not valid CSV of a cohort.
            UnknownMembersError: As in ``intervals``.
        """
        self._check_known(range(len(self.syncs)))
        return ChurnTable(recorded_churn(self) or self._counted_churn())

    def _counted_churn(self) -> Iterator[Churn]:
        entered, exited, returned = ([0] * len(self.syncs) for _ in range(3))
        before = 0
        for stay in self._all_stays(self.schema):
            if stay.entered is None:
                before += 1
            else:
                entered[stay.entered] += 1
                returned[stay.entered] += stay.is_return
            if stay.exited is not None:
                exited[stay.exited] += 1
        sizes = accumulate((i - o for i, o in zip(entered, exited, strict=True)), initial=before)
        counts = zip(islice(sizes, 1, None), entered, exited, returned, strict=True)
        for sync, (m, i, o, r) in zip(self.syncs, counts, strict=True):
            yield Churn(synced_at=sync.synced_at, members=m, entered=i, exited=o, returned=r)

    def _columns(self) -> Mapping[str, ColumnType]:
        return CHURN_COLUMNS

    def _batches(self, schema: Any) -> Iterator[Any]:
        return row_batches(self.churn(), schema)

    def verify(self, *, progress: Progress | Literal[True] | None = None) -> Findings:
        """Read all files and return the faults of the history: an empty tuple if there are none.

        Every value of a record is compared with the files, the listing or the other entries
        of the log. The members at each sync must be those before, with the entering and
        without the exiting users. The log must be one chain, and each published file must
        exist, unless ``prune`` removed it. A stream without a log is checked as far as its
        files allow. No content of a file or of an entry raises: it is a finding with the key.

        If there are findings and the bucket has changed since it was listed, it is listed and
        verified again: once if it was a sync, and after each ``forget`` and ``prune``, which may
        have changed files that were already read.

        Args:
            progress: A callback for the bytes that are read, such as ``print``; ``True`` shows
                a tqdm bar. It gets a ``ProgressEvent``.

        Raises:
            NoSyncYetError: The stream has no sync at all; most often it was mistyped.
            MissingExtraError: ``progress=True`` without tqdm.
        """
        with reporting(progress) as reporter:
            return verify(self, reporter)

    def plot(self, ax: Any = None) -> Any:
        """Draw the size over time, with entries and exits. Needs the extra ``plot``.

        A notebook shows the figure. A script saves it, and needs no display for that:
        ``history.plot().figure.savefig("cohort.png")``.

        Args:
            ax: The matplotlib axes to draw on. Default: those of a new figure.

        Returns:
            The axes of the size.

        Raises:
            NoSyncYetError: The history is empty.
            MissingExtraError: matplotlib is not installed.
        """
        if not self.syncs:
            raise self.no_sync_yet()
        points = [(one.synced_at, one.members, one.entered, one.exited) for one in self.churn()]
        stream = self.stream
        project = "" if stream.project_id is None else f" of project {stream.project_id}"
        return plot_history(points, ax, title=f"Cohort {stream.cohort_id}{project}")

    def report(self, *, verify: bool = False, generated: datetime | None = None) -> HistoryReport:
        """Return one HTML page about the cohort, for people who do not use Python.

        It shows the size over time, the entries and exits, the share of members with a value of
        each property, and the newest runs. It needs no network, and it contains no user.

        Args:
            verify: True to call :meth:`verify`, which reads all files, and to show the findings.
            generated: The time at which the report is made, to show it. Without it, the reports
                of equal histories are equal.

        Raises:
            NoSyncYetError: There is nothing to report: no sync, and no run in the log.
            MalformedCsvError, UnknownMembersError: As in :meth:`churn`, which counts the changes of
                syncs that are not in the log.
            RecordFormatError: The log can't be read.
            NaiveDatetimeError: ``generated`` has no time zone.

        >>> from amplitude_cohort_s3 import MemoryStorage, read_history
        >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
        >>> storage = MemoryStorage()
        >>> history = read_history(storage, fill_bucket(storage, syncs=3, members=100))
        >>> history.report().title
        'Cohort 26umsb5'
        """
        made = None if generated is None else to_utc(generated, "generated")
        findings = self.verify() if verify else None
        return report_of(facts_of(self, self.churn, findings, made))


def check_is_history(value: object, argument: str = "history") -> None:
    """Raise unless an argument is a history.

    Raises:
        ArgumentTypeError: The value is a storage, a stream, or something else.
    """
    check_kind(argument, value, CohortHistory, "pass read_history(storage, sync.stream)")
