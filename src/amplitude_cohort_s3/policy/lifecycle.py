"""Lifecycle rules, by which the bucket itself removes stale uploads and old files.

A rule selects objects by a key prefix and an age, so it can't exclude the newest sync. The rules
of this module therefore match the dates in file names, and only dates before a day that follows
from the time of the newest sync. No rule ever matches that sync, even after a long time.

Format: https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from .._arguments import check_kind, kind_faults
from .._time import to_utc
from ..errors import ConfigurationError
from ..log.stream import CohortStream
from ..settings.destination import Destination, check_is_destination

MAX_RULES = 1000
"""The number of rules that a bucket may have:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html."""

# Amplitude was founded in 2012, so only years of this century need rules.
_FIRST_YEAR = "20"


def lifecycle_rules(
    destination: Destination,
    *,
    abort_uploads_after_days: int = 7,
    newest: Mapping[CohortStream, datetime] | None = None,
    keep: timedelta = timedelta(0),
) -> list[dict[str, Any]]:
    """Return lifecycle rules for ``PutBucketLifecycleConfiguration``.

    That call replaces all rules of the bucket, so merge these into the existing ones, by ``ID``.

    Args:
        destination: The destination to whose path the rules apply.
        abort_uploads_after_days: The age in days at which an unfinished upload is removed.
            Until then a sync that crashed can be recovered; later it becomes void.
        newest: The time of the newest sync of each stream whose old files are to expire; by
            default no files expire. File names end with the routing key, so a rule can't
            distinguish the streams of one cohort. Pass all of them; the oldest of their times
            applies to all.
        keep: The age up to which files are kept, counted back from the newest sync, in whole
            days: all files of the earliest day are kept.

    Returns:
        Rules that take effect on the days after the call. Logs never expire. In a versioned
        bucket, expired files stay as noncurrent versions.

    Raises:
        ConfigurationError: Arguments break rules; the error lists all of them.
        NaiveDatetimeError: A time in ``newest`` has no time zone.
        ArgumentTypeError: ``destination`` or ``keep`` has the wrong type.

    >>> rules = lifecycle_rules(Destination(name="w", path="cohorts"))
    >>> rules[0]["Filter"], rules[0]["AbortIncompleteMultipartUpload"]
    ({'Prefix': 'cohorts/'}, {'DaysAfterInitiation': 7})
    """
    check_is_destination(destination)
    check_kind("keep", keep, timedelta, "pass a length of time, such as timedelta(days=30)")
    faults = list[str]()
    if kinds := kind_faults("abort_uploads_after_days", abort_uploads_after_days, int):
        faults += kinds
    elif abort_uploads_after_days < 1:
        faults.append("abort_uploads_after_days must be at least 1")
    if keep < timedelta(0):
        faults.append("keep must not be negative: the newest sync never expires")
    newest_by_prefix = dict[str, datetime]()
    for stream, when in (newest or {}).items():
        if stream.path != destination.path:
            faults.append(f"a stream of path {stream.path!r} is not below {destination.path!r}")
        instant = to_utc(when, "newest")
        prefix = stream.data_prefix
        newest_by_prefix[prefix] = min(instant, newest_by_prefix.get(prefix, instant))
    if faults:
        raise ConfigurationError("lifecycle_rules", tuple(faults))
    folder = f"{destination.path}/" if destination.path else ""
    abort = {"DaysAfterInitiation": abort_uploads_after_days}
    rules = [
        _rule("abort", folder, AbortIncompleteMultipartUpload=abort),
        *(
            _rule("expire", prefix + dates, Expiration={"Days": 1})
            for prefix, newest_time in sorted(newest_by_prefix.items())
            for dates in _prefixes_before((newest_time - keep).date())
        ),
    ]
    if len(rules) > MAX_RULES:
        fault = (
            f"a bucket can have {MAX_RULES:,} rules, but these are {len(rules):,}: "
            "pass fewer streams in newest"
        )
        raise ConfigurationError("lifecycle_rules", (fault,))
    return rules


def _rule(kind: str, prefix: str, **action: dict[str, int]) -> dict[str, Any]:
    digest = hashlib.sha256(prefix.encode()).hexdigest()[:16]
    return {
        "ID": f"amplitude-cohort-{kind}-{digest}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        **action,
    }


def _prefixes_before(day: date) -> Iterator[str]:
    """Yield the fewest prefixes that match all earlier dates and no other.

    >>> list(_prefixes_before(date(2001, 2, 3)))
    ['2000', '2001-00', '2001-01', '2001-02-00', '2001-02-01', '2001-02-02']
    """
    text = day.isoformat()
    for position in range(len(_FIRST_YEAR), len(text)):
        if text[position].isdigit():
            for digit in range(int(text[position])):
                yield f"{text[:position]}{digit}"
