"""What forgetting people would do, and what it did."""

from datetime import datetime

from attrs import frozen

from .._html import html_table
from ..log.stream import CohortStream

OTHER_COPIES = (
    "Older versions in a bucket that keeps versions, replicas, backups, what consumers have "
    "copied, and Amplitude itself may still hold these people"
)
"""What forgetting can't reach; receipts say it."""


@frozen(kw_only=True)
class AffectedFile:
    """A file that holds people who are to be forgotten.

    Attributes:
        key: Where.
        rows: How many of its rows go.
    """

    key: str
    rows: int


@frozen(kw_only=True)
class ForgetPlan:
    """What ``forget`` would do. It counts people and does not name them.

    Attributes:
        stream: Whose files.
        people: How many of those given the files hold, by the stream's key.
        files: Those that hold them, in the order of their keys.
        files_read: How many were looked through.
    """

    stream: CohortStream
    people: int
    files: tuple[AffectedFile, ...]
    files_read: int

    def __str__(self) -> str:
        """The counts, one file a line."""
        lines = [f"{file.rows:>10,} {file.key}" for file in self.files]
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        return html_table(
            self._title, ("rows to forget", "key"), [(f.rows, f.key) for f in self.files]
        )

    @property
    def _title(self) -> str:
        return f"forget {self.people:,} people in {len(self.files):,} of {self.files_read:,} files"


@frozen(kw_only=True)
class ForgetReceipt:
    """What ``forget`` did, to keep as evidence: it names nobody.

    Attributes:
        stream: Whose files.
        forgotten_at: When, in UTC.
        people: How many were found and forgotten, by the stream's key.
        files: The files that were replaced, and how many rows went.
        number: Of the entry in the log; None where nothing was to do or there is no log.
    """

    stream: CohortStream
    forgotten_at: datetime
    people: int
    files: tuple[AffectedFile, ...]
    number: int | None

    def __str__(self) -> str:
        """The counts, one file a line, and what was not reached."""
        title = (
            f"{self.forgotten_at.isoformat()}: forgot {self.people:,} people "
            f"in {len(self.files):,} files"
        )
        lines = [f"{file.rows:>10,} {file.key}" for file in self.files]
        return "\n".join([title, *lines, f"{OTHER_COPIES}."])
