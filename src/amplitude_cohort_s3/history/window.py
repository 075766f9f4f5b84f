"""The window of a history: the times of the syncs that it was read with."""

from datetime import datetime

from attrs import frozen

from ..errors import ConfigurationError


@frozen(kw_only=True)
class Window:
    """The times of the syncs to read, from ``since`` to ``until``, both inclusive.

    Attributes:
        since: The earliest time, or None for no limit.
        until: The latest time, or None for no limit.

    Raises:
        ConfigurationError: ``since`` is after ``until``.
    """

    since: datetime | None = None
    until: datetime | None = None

    def __attrs_post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since > self.until:
            times = f"{self.since.isoformat()} is after {self.until.isoformat()}"
            fault = f"since must not be after until: {times}"
            raise ConfigurationError("read_history", (fault,))

    def contains(self, when: datetime) -> bool:
        """Return True if a time is in the window."""
        is_early = self.since is not None and when < self.since
        is_late = self.until is not None and when > self.until
        return not (is_early or is_late)


ALL_TIMES = Window()
"""The window without limits."""
