"""What verification of a history can find."""

from datetime import datetime
from enum import Enum

from attrs import frozen


class FindingKind(Enum):
    """What ``verify`` can find."""

    MISSING_FILE = "a file is missing"
    """What it held is derived from the syncs around it, where these allow it; the detail
    says whether. A file that ``prune`` removed by the log is not missing."""
    DUPLICATE_FILE = "two files say that they are the same"
    EDITED_FILE = "a file is not what was recorded"
    UNREADABLE_FILE = "a file can't be read"
    DUPLICATE_KEY = "a user stands twice in a file"
    ENTERED_TWICE = "a user enters who was a member already"
    EXITED_UNSEEN = "a user exits who was no member"
    LOST_MEMBER = "a member is gone without having exited"
    UNEXPLAINED_MEMBER = "a member is there without having entered"
    MEANING_BROKEN = "existing does not hold what was recorded"
    BROKEN_CHAIN = "a record does not follow the one before it"
    LEFTOVER = "a sync that never happened left files"
    INCOMPLETE_SYNC = "a sync lacks files and no log knows it"
    IN_DOUBT = "a recorded sync has no outcome yet"
    UNFINISHED = "people are being forgotten, or syncs pruned; recover finishes it"


@frozen(kw_only=True)
class Finding:
    """One thing that does not add up. It counts users and does not name them.

    Attributes:
        kind: What it is.
        synced_at: The sync at which it shows.
        key: The object concerned, where it is one.
        count: How many users, rows or files.
        detail: More, in words.
    """

    kind: FindingKind
    synced_at: datetime
    key: str | None = None
    count: int = 1
    detail: str = ""

    def __str__(self) -> str:
        """The finding in words."""
        where = f" in {self.key}" if self.key is not None else ""
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.synced_at:%Y-%m-%d %H:%M:%S}: {self.kind.value}{where}, {self.count}x{more}"
