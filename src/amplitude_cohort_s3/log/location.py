"""The location of a stream: the storages of its data and of its log."""

from collections.abc import Iterator
from datetime import datetime
from typing import Self

from attrs import field, frozen

from ..storage.capabilities import as_storages
from ..storage.open import StorageLocation
from ..storage.protocol import Storage
from .listing import SkippedObject, StreamFile, hour_in_name, parse_listing
from .stream import CohortStream, HasStream, as_stream
from .stream_events import EventKind, Observer, StreamEvent, check_is_observer, report
from .sync_log import SyncLog


@frozen
class StreamLocation:
    """A stream together with the storages that contain its data and its log.

    Every public function that takes ``storage``, ``stream`` and ``log`` makes one of these
    first; nothing below it checks the three again.

    Attributes:
        data: The storage of the three files of each sync.
        log: The storage of the log, which may be the same.
        stream: The stream.
        observer: The function that is called with each event, or None.
    """

    data: Storage = field(repr=False)
    log: Storage = field(repr=False)
    stream: CohortStream
    observer: Observer | None = field(default=None, repr=False, eq=False)

    @classmethod
    def of(
        cls,
        storage: Storage | StorageLocation,
        stream: CohortStream | HasStream,
        log: Storage | StorageLocation | None,
        observer: Observer | None = None,
    ) -> Self:
        """Return the location that a caller's arguments name.

        Raises:
            ArgumentTypeError: An argument has the wrong type.
            ConfigurationError: The location of a storage is not valid.
        """
        check_is_observer(observer)
        return cls(*as_storages(storage, log), as_stream(stream), observer)

    def report(
        self, kind: EventKind, seconds: float, synced_at: datetime | None = None, **facts: int | str
    ) -> None:
        """Report a step that ends now.

        Args:
            kind: The step.
            seconds: The time that it took.
            synced_at: The time of the sync, or None.
            facts: The facts of the step.
        """
        event = StreamEvent(
            kind=kind,
            stream=self.stream,
            synced_at=synced_at,
            facts=facts,
            seconds=seconds,
        )
        report(event, self.observer)

    def read_log(self) -> SyncLog:
        """Return the log as one listing shows it."""
        listing = self.log.list_objects(self.stream.log_prefix)
        return SyncLog.from_listing(self.stream, listing, self.log.open)

    def list_files(self, since: datetime | None = None) -> Iterator[StreamFile | SkippedObject]:
        """Yield the stream's visible files, and the other objects below its prefix.

        Args:
            since: Files from before the hour of this time may be left out.
        """
        start_after = None
        if since is not None:
            start_after = self.stream.data_prefix + hour_in_name(since)
        listing = self.data.list_objects(self.stream.data_prefix, start_after=start_after)
        return parse_listing(self.stream, listing)
