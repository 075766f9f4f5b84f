"""What S3 takes as a bucket: names, access points, their aliases.

Rules of https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-restrictions-limitations-naming-rules.html
as of 2026. Buckets made before 2018 in us-east-1 may break them; AWS has refused to make
such ones since, and nothing here is asked about a bucket that is only read or written.
"""

import re

_ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:s3:"
    r"(?:[a-z0-9-]+:[0-9]{12}:accesspoint[/:](?!xn--)[a-z0-9](?:[a-z0-9-]{1,48}[a-z0-9])"
    r"|:[0-9]{12}:accesspoint[/:][a-z0-9]+\.mrap)"
)
"""One region's access point, or a Multi-Region Access Point. Those of Object Lambda only
read, and those of Outposts are another service: neither can hold a sync."""

_ALIAS_SUFFIX = "-s3alias"
_ALIAS = re.compile(rf"[a-z0-9][a-z0-9-]{{1,54}}{_ALIAS_SUFFIX}")

_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = {
    _ALIAS_SUFFIX: "that of access point aliases",
    "--ol-s3": "that of Object Lambda aliases",
    ".mrap": "that of Multi-Region Access Points",
    "--x-s3": "that of directory buckets, whose listings are in no order",
    "--table-s3": "that of table buckets",
}
_ACCOUNT_REGIONAL = re.compile(r".+-[0-9]{12}-[a-z0-9-]+-an")


def bucket_name_faults(name: str) -> tuple[str, ...]:
    """By which rules a text is not the name of a general-purpose bucket; none if it is one.

    >>> bucket_name_faults("My_bucket")
    ("bucket 'My_bucket': only a-z, 0-9, - and . are allowed",)
    """
    rules = list[str]()
    if not 3 <= len(name) <= 63:  # noqa: PLR2004  the rule itself
        rules.append(f"it must have 3 to 63 characters, and has {len(name)}")
    if not re.fullmatch(r"[a-z0-9.-]*", name):
        rules.append("only a-z, 0-9, - and . are allowed")
    elif not re.fullmatch(r"[a-z0-9](.*[a-z0-9])?", name):
        rules.append("it must begin and end with a letter or digit")
    if ".." in name:
        rules.append("two dots must not be adjacent")
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", name):
        rules.append("it must not look like an IP address")
    rules += [f"AWS reserves the prefix {p}" for p in _RESERVED_PREFIXES if name.startswith(p)]
    rules += [
        f"AWS reserves the suffix {suffix}, {whose}"
        for suffix, whose in _RESERVED_SUFFIXES.items()
        if name.endswith(suffix)
    ]
    if name.endswith("-an") and not _ACCOUNT_REGIONAL.fullmatch(name):
        rules.append(
            "a name that ends with -an belongs to an account's own namespace and "
            "ends with -<account>-<region>-an"
        )
    return tuple(f"bucket {name!r}: {rule}" for rule in rules)


def is_access_point(bucket: str) -> bool:
    """Whether a text stands for an access point: its ARN, or its alias.

    >>> is_access_point("arn:aws:s3:eu-central-1:123456789012:accesspoint/cohorts")
    True
    """
    return any(pattern.fullmatch(bucket) for pattern in (_ACCESS_POINT, _ALIAS))
