"""The guard against a broken source: limits on what one sync may change."""

from decimal import Decimal
from math import inf
from typing import Literal

from attrs import asdict, field, fields, frozen

from ..errors import (
    ConfigurationError,
    MassExitError,
    MassGrowthError,
    SkippedRowsError,
    TooFewMembersError,
)
from ._faults import type_faults

Limit = int | float | None
"""A number (an ``int``), a share (a ``float``), or None for no limit."""

ALWAYS_ALLOWED = 100
"""The number of members or rows up to which a share is not checked: half of a small cohort may
leave on an ordinary day."""


def _as_limit(limit: Limit | Literal[False]) -> Limit:
    return None if limit is False else limit  # TOML has no None


@frozen(kw_only=True)
class Guard:
    """Limits on what one sync may change. A sync that exceeds one stores nothing.

    A source that is broken usually shows in the counts: a failed query returns too few rows, a
    join with a wrong condition too many, and a renamed column leaves rows without a key. An
    ``int`` limits a number, a ``float`` limits a share, and None means no limit. A share allows
    100 members or rows in any case, because small cohorts change much on ordinary days.

    Attributes:
        max_exits: The members that may leave; a share is of the previous members. A share
            never allows that a cohort becomes empty.
        max_growth: The members by which the cohort may grow; a share is of the previous
            members, so that 1.0 allows twice as many. It does not limit a cohort that had no
            members before.
        max_skipped: The rows of the source that may lack a key; a share is of all rows.
        min_members: The number of members that the cohort must have.

    Raises:
        ConfigurationError: Values break rules; the error lists all of them.

    >>> Guard(max_exits=0.2, min_members=1000)
    Guard(max_exits=0.2, max_growth=1.0, max_skipped=0.5, min_members=1000)
    """

    max_exits: Limit = field(default=0.5, converter=_as_limit)
    max_growth: Limit = field(default=1.0, converter=_as_limit)
    max_skipped: Limit = field(default=0.5, converter=_as_limit)
    min_members: int = 0

    def __attrs_post_init__(self) -> None:
        kinds = int | float | None
        faults = type_faults(
            self, max_exits=kinds, max_growth=kinds, max_skipped=kinds, min_members=int
        )
        for one in () if faults else fields(type(self)):
            limit = getattr(self, one.name)
            if limit is not None and (not limit >= 0 or limit == inf):
                hint = "; None means no limit" if limit > 0 else ""
                faults.append(f"{one.name} must be 0 or more, not {limit}{hint}")
            elif isinstance(limit, float) and limit > 1 and one.name != "max_growth":
                faults.append(
                    f"{one.name} is a share, which must be at most 1.0, not {limit}; "
                    "an int is a number"
                )
        if faults:
            raise ConfigurationError("Guard", tuple(faults))

    def check(self, *, members_before: int, members: int, exits: int, skipped: int) -> None:
        """Raise if a sync with these counts exceeds a limit.

        Args:
            members_before: The number of members at the previous sync, or 0.
            members: The number of members at this sync.
            exits: The number of members that leave.
            skipped: The number of source rows without a key.

        Raises:
            MassExitError: Too many members would leave.
            MassGrowthError: The cohort would grow too much.
            SkippedRowsError: Too many rows lack a key.
            TooFewMembersError: The cohort would have too few members.
        """
        allowed = _allowed(self.max_exits, members_before)
        if allowed is not None and isinstance(self.max_exits, float) and not members:
            allowed = 0
        if allowed is not None and exits > allowed:
            override = self._code_with(max_exits=exits)
            raise MassExitError(members_before, exits, allowed, override, skipped)
        allowed = _allowed(self.max_growth, members_before)
        if allowed is not None and members_before and members - members_before > allowed:
            override = self._code_with(max_growth=members - members_before)
            raise MassGrowthError(members_before, members, allowed, override)
        allowed = _allowed(self.max_skipped, members + skipped)
        if allowed is not None and skipped > allowed:
            override = self._code_with(max_skipped=skipped)
            raise SkippedRowsError(members + skipped, skipped, allowed, override)
        if members < self.min_members:
            override = self._code_with(min_members=members)
            raise TooFewMembersError(members, self.min_members, override, skipped)

    def _code_with(self, **changed: int) -> str:
        """Return Python code for this guard with another limit, which comes first."""
        kept = asdict(self, filter=lambda one, limit: limit != one.default)
        limits = changed | kept | changed  # the first determines the order, the last the value
        return f"Guard({', '.join(f'{name}={limit}' for name, limit in limits.items())})"


def _allowed(limit: Limit, total: int) -> int | None:
    """Return the number that a limit allows, or None if there is no limit."""
    if isinstance(limit, float):
        # As a decimal number: 0.57 of 10,000 is 5,700, but 10_000 * 0.57 is 5699.999…
        return max(int(total * Decimal(repr(float(limit)))), ALWAYS_ALLOWED)
    return limit
