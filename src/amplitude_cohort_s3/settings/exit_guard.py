"""The guard against a broken source that drops members."""

from attrs import frozen

from ..errors import ConfigurationError
from ._faults import type_faults


@frozen(kw_only=True)
class ExitGuard:
    """A limit on the members that leave in one sync, against a broken source.

    A source that becomes empty always trips the guard. Otherwise the guard trips if the number
    of leavers exceeds both the share and the number.

    Attributes:
        share: The share of the previous members that may leave, between 0 and 1.
        number: The number of members that may always leave.

    >>> ExitGuard().limit(members_before=1000, members_now=400)
    500
    """

    share: float = 0.5
    number: int = 100

    def __attrs_post_init__(self) -> None:
        faults = type_faults(self, share=int | float, number=int)
        if not faults:
            if not 0 <= self.share <= 1:
                faults.append(f"share must be between 0 and 1, not {self.share!r}")
            if self.number < 0:
                faults.append(f"number must be 0 or more, not {self.number!r}")
        if faults:
            raise ConfigurationError("ExitGuard", tuple(faults))

    def limit(self, *, members_before: int, members_now: int) -> int:
        """Return the number of members that may leave."""
        if members_before and not members_now:
            return 0
        return max(int(members_before * self.share), self.number)
