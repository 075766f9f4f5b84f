"""The questions of a monitor about a stream: its runs, and whether the next one is overdue."""

from datetime import datetime, timedelta
from typing import Literal

from attrs import frozen

from ..settings.cadence import Cadence, check_cadence
from .listed_syncs import ListedSyncs
from .runs import RunTable, runs_of


@frozen(kw_only=True)
class RunLog(ListedSyncs):
    """The syncs of a stream, and the run log, which needs no file."""

    def runs(self) -> RunTable:
        """Return the run log: a row for each sync, also for void and unfinished ones.

        Without a log, there is a row for each listed sync, with the values that a listing
        shows. Each record is read, and no file.

        Raises:
            RecordFormatError: The log can't be read.

        >>> from amplitude_cohort_s3 import MemoryStorage, read_history
        >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
        >>> storage = MemoryStorage()
        >>> history = read_history(storage, fill_bucket(storage, syncs=2))
        >>> [(run.number, run.outcome, run.members) for run in history.runs()]
        [(1, 'published', 2000), (2, 'published', 1984)]
        """
        self.check_log()
        return RunTable(
            runs_of(self.log, self.window, complete=self.syncs, incomplete=self._partial)
        )

    def overdue(
        self, now: datetime, cadence: Cadence | Literal["one-time", "hourly", "daily"]
    ) -> timedelta | None:
        """Return how long the next sync is overdue; None if it is not.

        A sync is overdue once a whole hour, or a whole day of the time zone of ``now``, has
        passed without one: see :meth:`Cadence.overdue`. Read the history again for each call,
        because it has the syncs of its listing.

        Args:
            now: The present time (timezone-aware).
            cadence: The cadence of the stream, or its word, such as ``"daily"``.

        Raises:
            NoSyncYetError: The stream has no sync at all.
            NaiveDatetimeError: ``now`` has no time zone.
            ConfigurationError: ``cadence`` is not a cadence.
            RecordFormatError: The log can't be read.

        >>> from datetime import UTC
        >>> from amplitude_cohort_s3 import MemoryStorage, read_history
        >>> from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
        >>> storage = MemoryStorage()
        >>> history = read_history(storage, fill_bucket(storage, syncs=2))
        >>> history[-1].synced_at
        datetime.datetime(2026, 11, 2, 6, 30, tzinfo=datetime.timezone.utc)
        >>> print(history.overdue(datetime(2026, 11, 3, 23, 59, tzinfo=UTC), "daily"))
        None
        >>> print(history.overdue(datetime(2026, 11, 4, 6, 30, tzinfo=UTC), "daily"))
        6:30:00
        """
        chosen = check_cadence(cadence)
        self.check_log()
        if not self.syncs:
            raise self.no_sync_yet()
        record, synced_at = self.record(self.syncs[-1]), self.syncs[-1].synced_at
        return chosen.overdue(synced_at if record is None else record.begun, now)
