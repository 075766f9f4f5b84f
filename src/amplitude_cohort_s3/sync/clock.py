"""The clock of the functions that write."""

from datetime import UTC, datetime


class _UtcClock:
    """A function that returns the present time; in a signature its name is shown."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def __repr__(self) -> str:
        return "utc_now"


utc_now = _UtcClock()
