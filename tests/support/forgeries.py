"""Entries of the log that no process of this library makes."""

from amplitude_cohort_s3.log.amendments import Amendment
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment


def forged_prune(head, removed, number):
    """Return an entry of the log that removes files, as anybody who may write there can make it."""
    return Amendment(
        number=number,
        previous=head.ref,
        stream=STREAM,
        requested_at=moment(90),
        purpose="prune",
        removed=tuple(removed),
        writer="x",
    )
