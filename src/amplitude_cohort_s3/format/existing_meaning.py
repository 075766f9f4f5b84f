"""The three meanings of the file ``existing``."""

from enum import Enum


class ExistingMeaning(Enum):
    """What the file ``existing`` holds.

    Amplitude's page says it twice, differently: "the users that existed in the cohort
    at the time of the last sync", and "the full list of users who qualify in that cohort
    at that time". Under all three readings the members at a sync are
    ``(entering | existing) - exiting``, and the keys of those before it are
    ``(existing - entering) | exiting``; the library reads by these two lines only.
    """

    MEMBERS = "members"
    """Everyone in the cohort at this sync. Entering is a part of it. The default."""
    STAYED = "stayed"
    """The members of this sync who did not just enter."""
    PREVIOUS = "previous"
    """Everyone at the previous sync. Exiting is a part of it."""
