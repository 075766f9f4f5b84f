"""The three meanings of the file ``existing``, in one table."""

from enum import Enum

from .filename import DiffType


class ExistingMeaning(Enum):
    """A meaning of the file ``existing``: the users that it contains.

    Amplitude's page describes the file twice, differently: "the users that existed in the
    cohort at the time of the last sync", and "the full list of users who qualify in that
    cohort at that time". There are three ways to read this:

    ============  =========  ==========  =========
    ``existing``  entering   stayed      exiting
    ============  =========  ==========  =========
    MEMBERS       contained  contained   --
    STAYED        --         contained   --
    PREVIOUS      --         contained   contained
    ============  =========  ==========  =========

    With each of them, the members at a sync are ``(entering | existing) - exiting``, and the
    members before it are ``(existing - entering) | exiting``.

    >>> ExistingMeaning.PREVIOUS.contains_exiting
    True
    """

    MEMBERS = "members"
    """All members at this sync. The default."""
    STAYED = "stayed"
    """The members at this sync who were already members before."""
    PREVIOUS = "previous"
    """All members at the previous sync."""

    @property
    def contains_entering(self) -> bool:
        """True if users in ``entering`` are also in ``existing``."""
        return self is ExistingMeaning.MEMBERS

    @property
    def contains_exiting(self) -> bool:
        """True if users in ``exiting`` are also in ``existing``."""
        return self is ExistingMeaning.PREVIOUS

    @property
    def member_files(self) -> tuple[DiffType, ...]:
        """The files from which the members at a sync follow, in the order of ``DiffType``."""
        return _files_of(entering=not self.contains_entering, exiting=self.contains_exiting)

    @property
    def previous_files(self) -> tuple[DiffType, ...]:
        """The files from which the members before a sync follow, in the order of ``DiffType``."""
        return _files_of(entering=self.contains_entering, exiting=not self.contains_exiting)

    def member_total(self, entering: int, exiting: int, existing: int) -> int:
        """Return the total for the members at a sync, from the totals of the three files.

        Args:
            entering: A quantity summed over the rows of the file, such as their number.
            exiting: The same sum for the file ``exiting``.
            existing: The same sum for the file ``existing``.

        >>> ExistingMeaning.PREVIOUS.member_total(entering=2, exiting=1, existing=10)
        11
        """
        missing = 0 if self.contains_entering else entering
        surplus = exiting if self.contains_exiting else 0
        return existing + missing - surplus


def _files_of(*, entering: bool, exiting: bool) -> tuple[DiffType, ...]:
    """Return ``existing`` and the other files that are needed, in the order of ``DiffType``."""
    needed = {DiffType.ENTERING: entering, DiffType.EXITING: exiting, DiffType.EXISTING: True}
    return tuple(diff_type for diff_type in DiffType if needed[diff_type])
