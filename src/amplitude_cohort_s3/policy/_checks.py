"""Checks of the arguments of a bucket policy: bucket, principals, origins and key.

Each ``..._faults`` function yields a sentence for every broken rule.
"""

import re
from collections.abc import Iterable, Iterator

from .._arguments import check_kind
from ..settings.destination import Destination
from ._bucket_names import bucket_name_faults, is_access_point
from ._statements import SERVICE, Condition
from .purposes import ACTIONS, Purpose

# The account may be empty, because users of Ceph do not have one.
_PRINCIPAL_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):(?:iam|sts)::[0-9A-Za-z$_-]*:"
    r"(?:root|(?:user|role|assumed-role|federated-user)/[^\s*]+)"
)
_ACCOUNT = re.compile(r"[0-9]{12}")
_ORGANISATION = re.compile(r"o-[a-z0-9]{10,32}")
_KMS_KEY = re.compile(r"arn:(?P<partition>[a-z-]+):kms:(?P<region>[a-z0-9-]+):[0-9]{12}:key/[\w-]+")

# A test compares this with botocore's table of regions. Importing botocore costs 0.2 s.
_PARTITIONS = {
    "cn": "aws-cn",
    "eu-isoe": "aws-iso-e",
    "eusc-de": "aws-eusc",
    "us-gov": "aws-us-gov",
    "us-iso": "aws-iso",
    "us-isob": "aws-iso-b",
    "us-isof": "aws-iso-f",
}
"""The partitions of regions by the first part of their names. All others are in ``aws``."""

_REGION = re.compile(rf"({'|'.join(_PARTITIONS)}|[a-z]{{2}})-[a-z]+-[0-9]+")


def partition_of(region: str | None) -> str | None:
    """Return the partition of a region, or None if the text is not the name of a region.

    >>> partition_of("cn-north-1")
    'aws-cn'
    """
    match = _REGION.fullmatch(region or "")
    return match and _PARTITIONS.get(match[1], "aws")


def place_faults(destination: Destination) -> Iterator[str]:
    """Yield the faults of the destination's bucket and region."""
    bucket, region = destination.bucket, destination.region
    if bucket is None:
        yield f"the destination {destination.name!r} has no bucket: set bucket to its name"
    elif is_access_point(bucket) or bucket.startswith("arn:"):
        yield (
            f"bucket {bucket!r} is an access point, which has a policy of its own: a bucket "
            "policy needs the name of the bucket"
        )
    else:
        yield from bucket_name_faults(bucket)
    if region is None:
        yield (
            f"the destination {destination.name!r} has no region, which the policy needs for "
            "its ARNs: set region, for example to 'eu-west-1'"
        )
    elif partition_of(region) is None:
        yield f"AWS has no region {region!r}: set region to a name such as 'eu-west-1'"


def expand_principals(principal: str | Iterable[str], partition: str | None) -> tuple[str, ...]:
    """Return the principals in order, each once, with ARNs in place of account numbers."""
    given = (principal,) if isinstance(principal, str) else tuple(principal)
    for one in given:
        check_kind("each of principal", one, str, "pass an ARN or a number of 12 digits, as text")
    expanded = {
        f"arn:{partition or 'aws'}:iam::{one}:root" if _ACCOUNT.fullmatch(one) else one
        for one in given
    }
    return tuple(sorted(expanded))


def principal_faults(principals: tuple[str, ...], partition: str | None) -> Iterator[str]:
    """Yield the faults of expanded principals."""
    if not principals:
        yield "principal must have at least one ARN"
    for one in principals:
        arn = _PRINCIPAL_ARN.fullmatch(one)
        if arn is None and not SERVICE.fullmatch(one):
            yield (
                f"principal {one!r} must be an ARN without wildcards of a role, a user or an "
                "account, such as arn:aws:iam::111122223333:role/etl; an account number of 12 "
                "digits; or a service"
            )
        elif arn is not None and partition and arn["partition"] != partition:
            yield (
                f"principal {one!r} is in the partition {arn['partition']}, but the bucket is in "
                f"{partition}: AWS has no access across partitions"
            )


def option_faults(purpose: Purpose, *, create_only: bool, legacy_acl: bool) -> Iterator[str]:
    """Yield the faults of options that do not fit the purpose."""
    if create_only and purpose != "write":
        yield f'create_only is for purpose "write", not {purpose!r}'
    if legacy_acl and purpose not in ("write", "amplitude"):
        yield f"legacy_acl is for purposes that write, not {purpose!r}"


def origin_faults(
    principals: tuple[str, ...], organisation: str | None, source_account: str | None
) -> Iterator[str]:
    """Yield the faults of the options that limit the origin of a request."""
    services = len(list(filter(SERVICE.fullmatch, principals)))
    if organisation is not None:
        if not _ORGANISATION.fullmatch(organisation):
            yield f"organisation must look like o-a1b2c3d4e5, not {organisation!r}"
        if 0 < services < len(principals):
            yield "organisation: make one policy for the services and another one for the ARNs"
    if source_account is not None:
        if not _ACCOUNT.fullmatch(source_account):
            yield f"source_account must be 12 digits, not {source_account!r}"
        if services < len(principals):
            yield "source_account: AWS sends it only if the principal is a service"


def origin_conditions(
    principals: tuple[str, ...], organisation: str | None, source_account: str | None
) -> Iterator[Condition]:
    """Yield the conditions on the origin of a request."""
    if organisation is not None:
        # A service does not belong to an organisation, but acts on behalf of one.
        service = any(map(SERVICE.fullmatch, principals))
        key = "aws:SourceOrgID" if service else "aws:PrincipalOrgID"
        yield Condition("StringEquals", key, (organisation,))
    if source_account is not None:
        yield Condition("StringEquals", "aws:SourceAccount", (source_account,))


def key_faults(
    kms_key: str, region: str | None, partition: str | None, purpose: Purpose
) -> Iterator[str]:
    """Yield the faults of the KMS key."""
    if not ACTIONS[purpose].key:
        yield f"kms_key: purpose {purpose!r} uses no key"
    arn = _KMS_KEY.fullmatch(kms_key)
    if arn is None:
        yield (
            f"kms_key {kms_key!r} must be the ARN of a key "
            "(arn:…:kms:<region>:<account>:key/<id>): an alias names different keys in different "
            "accounts"
        )
    elif partition and (arn["partition"], arn["region"]) != (partition, region):
        yield f"kms_key {kms_key!r} must be in the bucket's region, {region}"
