"""Rules by which the bucket tidies up on its own.

A rule knows a key's beginning and an object's age, not which sync is the newest. So what
expires is told by the date in the files' names, up to a day that the caller takes from the
newest sync: however old that one grows, no rule matches it.

Format: https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from .._arguments import check_kind
from .._time import to_utc
from ..errors import ConfigurationError
from ..log.stream import CohortStream
from ..settings.destination import Destination, check_is_destination

MAX_RULES = 1000
"""How many rules a bucket may have:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html."""

# Amplitude was founded in 2012; names of earlier syncs need no rules.
_FIRST_YEAR = "20"


def lifecycle_rules(
    destination: Destination,
    *,
    abort_uploads_after_days: int = 7,
    newest: Mapping[CohortStream, datetime] | None = None,
    keep: timedelta = timedelta(0),
) -> list[dict[str, Any]]:
    """Lifecycle rules for the bucket, for ``PutBucketLifecycleConfiguration``.

    That call replaces all rules of the bucket: join these with the others, by ``ID``.

    Args:
        destination: Whose path the rules are about.
        abort_uploads_after_days: When an upload that was never finished is removed. A sync
            that crashed can be recovered until then; later it becomes void.
        newest: The time of the newest sync of each stream whose old files shall expire;
            none expire by default. Names end with the routing key, so a rule can't tell
            streams of one cohort apart: name all of them, and the oldest decides.
        keep: Files of syncs at most this long before the newest stay. Whole days only:
            those of the last day stay too.

    Returns:
        Rules that take effect on days after the call. Logs never expire. Where the bucket
        is versioned, what expires stays as a noncurrent version.

    Raises:
        ConfigurationError: Values break rules; all of them are named.
        NaiveDatetimeError: A time of ``newest`` has no time zone.
        WrongArgumentError: ``destination`` or ``keep`` is of another type.

    >>> rules = lifecycle_rules(Destination(name="w", path="cohorts"))
    >>> rules[0]["Filter"], rules[0]["AbortIncompleteMultipartUpload"]
    ({'Prefix': 'cohorts/'}, {'DaysAfterInitiation': 7})
    """
    check_is_destination(destination)
    check_kind("keep", keep, timedelta, "give a length of time, such as timedelta(days=30)")
    faults = list[str]()
    if abort_uploads_after_days < 1:
        faults.append("abort_uploads_after_days must be at least 1")
    if keep < timedelta(0):
        faults.append("keep must not be negative: the newest sync never expires")
    firsts = dict[str, datetime]()
    for stream, when in (newest or {}).items():
        if stream.path != destination.path:
            faults.append(f"a stream of path {stream.path!r} is not below {destination.path!r}")
        instant = to_utc(when, "newest")
        firsts[stream.data_prefix] = min(instant, firsts.get(stream.data_prefix, instant))
    if faults:
        raise ConfigurationError("lifecycle_rules", tuple(faults))
    path = f"{destination.path}/" if destination.path else ""
    rules = [
        _rule(
            path,
            {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": abort_uploads_after_days}},
        )
    ]
    for data_prefix, first in sorted(firsts.items()):
        rules += [
            _rule(data_prefix + days, {"Expiration": {"Days": 1}})
            for days in _prefixes_before((first - keep).date())
        ]
    if len(rules) > MAX_RULES:
        raise ConfigurationError(
            "lifecycle_rules",
            (f"{len(rules)} rules, S3 takes {MAX_RULES} for a bucket: expire fewer cohorts",),
        )
    return rules


def _rule(prefix: str, action: Mapping[str, Any]) -> dict[str, Any]:
    kind = "abort" if "AbortIncompleteMultipartUpload" in action else "expire"
    digest = hashlib.sha256(prefix.encode()).hexdigest()[:16]
    return {
        "ID": f"amplitude-cohort-{kind}-{digest}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        **action,
    }


def _prefixes_before(day: date) -> Iterator[str]:
    """The fewest beginnings that all earlier dates have, and no other.

    >>> list(_prefixes_before(date(2001, 2, 3)))
    ['2000', '2001-00', '2001-01', '2001-02-00', '2001-02-01', '2001-02-02']
    """
    text = day.isoformat()
    for position in range(len(_FIRST_YEAR), len(text)):
        if text[position].isdigit():
            for digit in range(int(text[position])):
                yield f"{text[:position]}{digit}"
