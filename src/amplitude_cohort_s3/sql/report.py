"""Reports of applying a history to tables."""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen


@frozen(kw_only=True)
class AppliedSync:
    """The changes of one sync to the tables.

    Attributes:
        stream: The name of the stream in the tables.
        synced_at: The time of the sync.
        entered: The number of stays that the file ``entering`` began.
        exited: The number of stays that the file ``exiting`` ended.
        members: The number of members after the sync.
        opened: The number of stays that began because only the snapshot has them.
        closed: The number of stays that ended because the snapshot does not have them.
        repaired: The reason why the snapshot replaced the changes; None if they were correct.
    """

    stream: str
    synced_at: datetime
    entered: int
    exited: int
    members: int
    opened: int = 0
    closed: int = 0
    repaired: str | None = None


@frozen(kw_only=True)
class ApplyReport:
    """The result of :func:`apply`.

    Attributes:
        applied: The syncs that it applied, oldest first.
        skipped: The number of syncs that had been applied before.
        late: The times of syncs that were not applied, because later syncs had been applied
            before these were known: a stay can't begin in the past.
    """

    applied: tuple[AppliedSync, ...]
    skipped: int
    late: tuple[datetime, ...]


OnApplied = str | Callable[[sa.Connection, AppliedSync], object]
"""SQL with the optional parameters ``:stream`` and ``:synced_at``, or a function of the
connection and the applied sync."""
