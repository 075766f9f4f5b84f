"""The plan and the receipt of forgetting people."""

from datetime import datetime

from attrs import frozen

from .._display import counted, html_table, short_repr
from ..log.stream import CohortStream

OTHER_COPIES = (
    "Older versions in a bucket that keeps versions, replicas, backups, what consumers have "
    "copied, and Amplitude itself may still hold these people"
)
"""The copies that ``forget`` can't reach, for receipts."""


@frozen(kw_only=True)
class AffectedFile:
    """A file with rows of subjects: people who are to be forgotten.

    Attributes:
        key: The object's key.
        rows: The number of rows that are removed.
    """

    key: str
    rows: int


@frozen(kw_only=True, repr=False)
class ForgetPlan:
    """The files that ``forget`` would change. It counts people and does not name them.

    Attributes:
        stream: The stream.
        people: The number of people who were found, counted by the stream's key.
        files: The files with rows of these people, in the order of their keys.
        files_read: The number of files that were searched.
    """

    stream: CohortStream
    people: int
    files: tuple[AffectedFile, ...]
    files_read: int

    __repr__ = short_repr

    def __str__(self) -> str:
        """Return the counts, one file per line."""
        return "\n".join([self._title, *_lines(self.files)])

    def _repr_html_(self) -> str:
        rows = [(file.rows, file.key) for file in self.files]
        return html_table(self._title, ("rows to forget", "key"), rows)

    @property
    def _title(self) -> str:
        people = counted(self.people, "person", "people")
        return f"forget {people} in {len(self.files):,} of {counted(self.files_read, 'file')}"


@frozen(kw_only=True, repr=False)
class ForgetReceipt:
    """The evidence of what ``forget`` did. It names nobody.

    Attributes:
        stream: The stream.
        forgotten_at: The time, in UTC.
        people: The number of people who were forgotten, counted by the stream's key.
        files: The files that were replaced, with the number of removed rows.
        number: The number of the entry in the log; None if nothing was found or there is no
            log.
    """

    stream: CohortStream
    forgotten_at: datetime
    people: int
    files: tuple[AffectedFile, ...]
    number: int | None

    __repr__ = short_repr

    def __str__(self) -> str:
        """Return the counts, one file per line, and the copies that were not reached."""
        title = (
            f"{self.forgotten_at.isoformat()}: forgot {counted(self.people, 'person', 'people')} "
            f"in {counted(len(self.files), 'file')}"
        )
        return "\n".join([title, *_lines(self.files), f"{OTHER_COPIES}."])


def _lines(files: tuple[AffectedFile, ...]) -> list[str]:
    return [f"{file.rows:>10,} {file.key}" for file in files]
