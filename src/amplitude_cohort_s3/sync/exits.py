"""The limit for the number of members that leave in one sync."""

from .._arguments import check_kind
from ..errors import ConfigurationError, MassExitError
from ..settings.cohort_sync import CohortSync


def check_exits(
    sync: CohortSync,
    *,
    members_before: int,
    members_now: int,
    exits: int,
    skipped: int,
    max_exits: int | None,
) -> None:
    """Raise if more members would leave than ``max_exits`` or the exit guard allows.

    Raises:
        MassExitError: More members would leave.
    """
    limit = max_exits
    if limit is None and sync.exit_guard is not None:
        limit = sync.exit_guard.limit(members_before=members_before, members_now=members_now)
    if limit is not None and exits > limit:
        raise MassExitError(members_before, exits, limit, skipped)


def check_max_exits(max_exits: int | None) -> None:
    """Raise unless the argument is None or a number that is not negative.

    Raises:
        ArgumentTypeError: It has the wrong type.
        ConfigurationError: It is negative.
    """
    hint = "pass a number, or None for the exit guard"
    check_kind("max_exits", max_exits, int | None, hint)
    if max_exits is not None and max_exits < 0:
        fault = f"max_exits must be 0 or more, not {max_exits}"
        raise ConfigurationError("the sync", (fault,))
