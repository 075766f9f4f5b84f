"""The names of buckets and of access points.

The rules, as of 2026:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-restrictions-limitations-naming-rules.html.
A bucket that was created in us-east-1 before 2018 may break them. Therefore only bucket policies
check the name, and not reads and writes.
"""

import re

_ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:s3:"
    r"(?:[a-z0-9-]+:[0-9]{12}:accesspoint[/:](?!xn--)[a-z0-9](?:[a-z0-9-]{1,48}[a-z0-9])"
    r"|:[0-9]{12}:accesspoint[/:][a-z0-9]+\.mrap)"
)
"""The ARN of an access point of one region, or of a Multi-Region Access Point. Access points of
Object Lambda are read-only, and those of Outposts belong to another service, so no sync can write
to them."""

_ALIAS_SUFFIX = "-s3alias"
_ALIAS = re.compile(rf"[a-z0-9][a-z0-9-]{{1,54}}{_ALIAS_SUFFIX}")

_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = {
    _ALIAS_SUFFIX: "aliases of access points",
    "--ol-s3": "aliases of Object Lambda",
    ".mrap": "Multi-Region Access Points",
    "--x-s3": "directory buckets",
    "--table-s3": "table buckets",
}
_ACCOUNT_REGIONAL = re.compile(r".+-[0-9]{12}-[a-z0-9-]+-an")


def bucket_name_faults(name: str) -> tuple[str, ...]:
    """Return a sentence for each rule that the name of a general-purpose bucket breaks.

    >>> bucket_name_faults("My_bucket")
    ("bucket 'My_bucket': only a-z, 0-9, - and . are allowed",)
    """
    rules = list[str]()
    if not 3 <= len(name) <= 63:  # noqa: PLR2004  the rule itself
        rules.append(f"it must have 3 to 63 characters, but has {len(name)}")
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
        f"AWS reserves the suffix {suffix} for {use}"
        for suffix, use in _RESERVED_SUFFIXES.items()
        if name.endswith(suffix)
    ]
    if name.endswith("-an") and not _ACCOUNT_REGIONAL.fullmatch(name):
        rules.append(
            "a name that ends with -an is in the namespace of an account and must end with "
            "-<account>-<region>-an"
        )
    return tuple(f"bucket {name!r}: {rule}" for rule in rules)


def is_access_point(bucket: str) -> bool:
    """Return whether a text is the ARN or the alias of an access point.

    >>> is_access_point("arn:aws:s3:eu-central-1:123456789012:accesspoint/cohorts")
    True
    """
    return any(pattern.fullmatch(bucket) for pattern in (_ACCESS_POINT, _ALIAS))
