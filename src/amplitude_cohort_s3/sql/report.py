"""What applying a history to tables did."""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen


@frozen(kw_only=True)
class AppliedSync:
    """What applying one sync changed.

    Attributes:
        stream: The stream as the tables name it.
        synced_at: The sync.
        entered: Stays that began, by its file ``entering``.
        exited: Stays that ended, by its file ``exiting``.
        members: How many members there are after it.
        opened: Stays that began because the snapshot has them and the changes did not.
        closed: Stays that ended because the snapshot lacks them and the changes did not.
        repaired: Why the snapshot was asked; None where the changes added up.
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
    """What :func:`apply` did.

    Attributes:
        applied: The syncs that it applied, oldest first.
        skipped: How many the log of the tables had already.
        late: Syncs that it left out because later ones were applied before they were
            known: a stay can't be begun in the past.
    """

    applied: tuple[AppliedSync, ...]
    skipped: int
    late: tuple[datetime, ...]


OnApplied = str | Callable[[sa.Connection, AppliedSync], object]
"""SQL, in which ``:stream`` and ``:synced_at`` may stand; or a function."""
