"""Checks of principals, origins and keys."""

import re
from collections.abc import Iterable
from typing import Any

from ..errors import ConfigurationError
from ..settings.destination import Destination
from ._bucket_names import bucket_name_faults, is_access_point
from ._purposes import KEY_ACTIONS, Purpose
from ._statements import SERVICE, Condition

# The partition is compared by itself. An account may be empty: Ceph's users have none.
_PRINCIPAL_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):(?:iam|sts)::[0-9A-Za-z$_-]*:"
    r"(?:root|(?:user|role|assumed-role|federated-user)/[^\s*]+)"
)


_ACCOUNT = re.compile(r"[0-9]{12}")


_ORGANISATION = re.compile(r"o-[a-z0-9]{10,32}")


_KMS_KEY = re.compile(r"arn:(?P<partition>[a-z-]+):kms:(?P<region>[a-z0-9-]+):[0-9]{12}:key/[\w-]+")


def partition_of(region: str) -> str:
    """The partition that a region belongs to, as botocore knows it: ``aws``, ``aws-cn``, ….

    Raises:
        ConfigurationError: AWS has no such region.

    >>> partition_of("cn-north-1")
    'aws-cn'
    """
    # As late as possible: it costs 0.2 s.
    from botocore.exceptions import UnknownRegionError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    session: Any = Session()
    try:
        return str(session.get_partition_for_region(region))
    except UnknownRegionError as error:
        raise ConfigurationError("Region", (f"AWS has no region {region!r}",)) from error


def check_place(destination: Destination, faults: list[str]) -> str:
    """The partition of the destination; collects what is wrong with its bucket and region."""
    subject = f"the destination {destination.name!r}"
    if destination.bucket is None:
        faults.append(f"{subject} has no bucket")
    elif is_access_point(destination.bucket) or destination.bucket.startswith("arn:"):
        faults.append(
            f"bucket {destination.bucket!r}: a bucket policy is of the bucket itself; name it "
            "instead of an access point, which has a policy of its own"
        )
    else:
        faults.extend(bucket_name_faults(destination.bucket))
    if destination.region is None:
        faults.append(f"{subject} has no region, which decides the partition in every ARN")
        return ""
    try:
        return partition_of(destination.region)
    except ConfigurationError as error:
        faults.extend(error.faults)
        return ""


def check_principals(
    principal: str | Iterable[str], partition: str, faults: list[str]
) -> tuple[str, ...]:
    """The principals as they stand in the policy, each once, in order."""
    given = (principal,) if isinstance(principal, str) else tuple(principal)
    if not given:
        faults.append("principal must name someone")
    principals = list[str]()
    for one in given:
        arn = _PRINCIPAL_ARN.fullmatch(one)
        if _ACCOUNT.fullmatch(one):
            principals.append(f"arn:{partition}:iam::{one}:root")
            continue
        if arn is None and not SERVICE.fullmatch(one):
            faults.append(
                f"principal {one!r}: give the ARN of a role, a user or an account without "
                "wildcards, an account of 12 digits, or a service"
            )
        elif arn is not None and partition and arn["partition"] != partition:
            faults.append(
                f"principal {one!r} is in the partition {arn['partition']}, the bucket in "
                f"{partition}: AWS lets nobody cross over"
            )
        principals.append(one)
    return tuple(sorted(set(principals)))


def check_origin(
    principals: tuple[str, ...],
    organisation: str | None,
    source_account: str | None,
    faults: list[str],
) -> tuple[Condition, ...]:
    """The conditions on where a request comes from."""
    services = [p for p in principals if SERVICE.fullmatch(p)]
    conditions = list[Condition]()
    if organisation is not None:
        if not _ORGANISATION.fullmatch(organisation):
            faults.append(f"organisation must look like o-a1b2c3d4e5, not {organisation!r}")
        if services and len(services) < len(principals):
            faults.append("organisation: services and ARNs need a policy each")
        # A service belongs to no organisation itself; it acts for one.
        key = "aws:SourceOrgID" if services else "aws:PrincipalOrgID"
        conditions.append(Condition("StringEquals", key, (organisation,)))
    if source_account is not None:
        if not _ACCOUNT.fullmatch(source_account):
            faults.append(f"source_account must be 12 digits, not {source_account!r}")
        if len(services) < len(principals):
            faults.append("source_account: AWS sets it only where a service is the principal")
        conditions.append(Condition("StringEquals", "aws:SourceAccount", (source_account,)))
    return tuple(conditions)


def check_key(
    kms_key: str, destination: Destination, partition: str, purpose: Purpose, faults: list[str]
) -> None:
    if not KEY_ACTIONS[purpose]:
        faults.append(f"kms_key: purpose {purpose!r} uses no key")
    arn = _KMS_KEY.fullmatch(kms_key)
    if arn is None:
        faults.append(
            f"kms_key {kms_key!r} must be a key's ARN (arn:…:kms:<region>:<account>:key/<id>): "
            "an alias means another key in another account"
        )
    elif partition and (arn["partition"], arn["region"]) != (partition, destination.region):
        faults.append(f"kms_key {kms_key!r} must be in the bucket's region, {destination.region}")
