"""The guard against a broken source that drops members."""

from attrs import frozen

from .._arguments import kind_faults
from ..errors import ConfigurationError


@frozen(kw_only=True)
class ExitGuard:
    """When so many members leave at once that the source is probably broken.

    An empty source where there were members always trips it; otherwise leavers must
    exceed both the share and the number.

    Attributes:
        share: Of the members before, between 0 and 1.
        number: Leavers that are always accepted.

    >>> ExitGuard().limit(members_before=1000, members_now=400)
    500
    """

    share: float = 0.5
    number: int = 100

    def __attrs_post_init__(self) -> None:
        faults = [
            *kind_faults("share", self.share, int | float),
            *kind_faults("number", self.number, int),
        ]
        if faults:
            raise ConfigurationError("ExitGuard", tuple(faults))
        if not 0 <= self.share <= 1:
            faults.append(f"share must be between 0 and 1, not {self.share!r}")
        if self.number < 0:
            faults.append(f"number must not be negative, and is {self.number!r}")
        if faults:
            raise ConfigurationError("ExitGuard", tuple(faults))

    def limit(self, *, members_before: int, members_now: int) -> int:
        """How many members may leave."""
        if members_before and not members_now:
            return 0
        return max(int(members_before * self.share), self.number)
