"""The bucket policy for one purpose below a destination's path.

Amplitude shows its own policy under "Copy Bucket Policy", but does not publish it. The policy of
this module allows only the actions that a purpose needs, and only below the destination's path.
The module sends no requests; ``access`` applies a policy and tries the permissions.

The actions, resources and condition keys are those of
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from .._arguments import check_kind, choice_faults, kind_faults
from .._display import html_table
from ..errors import ConfigurationError
from ..settings.destination import Destination, check_is_destination
from ._checks import (
    expand_principals,
    key_faults,
    option_faults,
    origin_conditions,
    origin_faults,
    partition_of,
    place_faults,
    principal_faults,
)
from ._merge import PolicyChange, merge_statements
from ._statement_builder import StatementBuilder, sid_prefix
from ._statements import PolicyStatement
from .purposes import PURPOSES, Purpose

AMPLITUDE_ACCOUNTS: Final[Mapping[str, str]] = MappingProxyType(
    {"US": "358203115967", "EU": "202493300829"}
)
"""Amplitude's AWS accounts by data region, for ``principal``.

Source: Amplitude's page on importing from S3 and, for US, also its page on Kinesis. The policies
of destinations that were created before 2025 allow the whole account, and therefore every role in
it. A newer destination has its own role, whose ARN Amplitude shows next to its policy. Prefer
that ARN."""


@frozen(kw_only=True, repr=False)
class BucketPolicy:
    """The statements for one purpose below one path: see :func:`bucket_policy`.

    Attributes:
        bucket: The bucket's name.
        path: The folder prefix, as in ``Destination.path``.
        purpose: The policy's purpose.
        statements: The statements for the bucket's policy.
        key_statement: The statement for the KMS key's policy, if a key was given.
    """

    bucket: str
    path: str
    purpose: Purpose
    statements: tuple[PolicyStatement, ...]
    key_statement: PolicyStatement | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a policy that consists of these statements alone, as JSON values."""
        return self.merge_into(None)

    def to_json(self) -> str:
        """Return the same policy as ASCII text. Equal policies have equal texts."""
        return json.dumps(self.to_dict(), indent=2)

    def merge_into(self, policy: Mapping[str, Any] | str | None) -> dict[str, Any]:
        """Return a policy with these statements added and all others unchanged.

        Statements of an earlier policy for the same path and purpose are replaced, so principals
        and options that are no longer named have no effect any more. Merging is idempotent:
        ``p.merge_into(p.merge_into(x)) == p.merge_into(x)``.

        Args:
            policy: The bucket's policy as ``GetBucketPolicy`` returns it, as text or parsed, or
                None if the bucket has no policy.

        Raises:
            InvalidPolicyError: The argument is not a policy; or the path needs policy variables,
                which the policy's version does not have; or the result is larger than the 20 KB
                that S3 accepts.
        """
        return dict(self.compare(policy).after)

    def compare(self, policy: Mapping[str, Any] | str | None) -> PolicyChange:
        """Return the changes that :meth:`merge_into` would make, for the same arguments."""
        return merge_statements(policy, self.statements, sid_prefix(self.purpose, self.path))

    def __repr__(self) -> str:
        return "\n".join([self._title, *(f"  {s}" for s in self.statements)])

    def _repr_html_(self) -> str:
        return html_table(
            self._title,
            ("Effect", "Principal", "Action", "Resource", "Condition"),
            [
                (s.effect, s.principals, s.actions, s.resources, s.conditions)
                for s in self.statements
            ],
        )

    @property
    def _title(self) -> str:
        folder = f"{self.path}/" if self.path else ""
        return f"BucketPolicy to {self.purpose} s3://{self.bucket}/{folder}"


def bucket_policy(
    destination: Destination,
    *,
    principal: str | Iterable[str],
    purpose: Purpose = "write",
    tls_only: bool = True,
    create_only: bool = False,
    organisation: str | None = None,
    source_account: str | None = None,
    kms_key: str | None = None,
    legacy_acl: bool = False,
) -> BucketPolicy:
    """Return the policy that allows principals the actions that a purpose needs.

    Only the principals get permissions, and only below the destination's path. Options that deny
    requests deny them to everyone, but also only below the path; an action that S3 can't limit to
    the path is denied only to the principals. A principal of another account also needs the same
    permissions in a policy of its own account.

    Listing is limited to the path too. S3 therefore responds to a request for a missing key with
    403 instead of 404, unless the path is empty.

    Args:
        destination: The destination, which needs ``bucket`` and ``region``. The bucket can't be
            an access point, which has a policy of its own.
        principal: One or several principals: the ARN of a role or user, an account number of 12
            digits (every role and user that the account's own policies allow), or a service such
            as ``logging.s3.amazonaws.com``.
        purpose: The purpose. ``"maintain"`` may list the unfinished uploads of the whole bucket,
            because S3 has no condition that limits this to a path.
        tls_only: Deny requests without TLS.
        create_only: Deny overwriting: a write without ``If-None-Match`` fails, and so does any
            copy to a key below the path. Only for ``"write"``, because it is not known whether
            Amplitude sends that header.
            https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        organisation: Allow only principals of this organisation (``o-…``), or services that act
            on its behalf.
        source_account: Allow services only if they act on behalf of this account (12 digits).
        kms_key: The ARN of the KMS key that encrypts the files. Writing with another key or
            another encryption is denied. A request without a key uses the bucket's default key,
            so set that to the same key. Add ``key_statement`` to the key's own policy.
        legacy_acl: Allow the ACL ``bucket-owner-full-control``, which makes the bucket's owner
            control the objects, and deny any other ACL. Only for buckets that still have ACLs.
            Writes without an ACL stay allowed, because the parts of an upload never have one.

    Raises:
        ConfigurationError: Arguments break rules; the error lists all of them.
        ArgumentTypeError: ``destination`` or ``principal`` has the wrong type.

    >>> destination = Destination(name="w", bucket="b-1", region="eu-central-1", path="cohorts")
    >>> bucket_policy(
    ...     destination, principal="arn:aws:iam::111122223333:role/etl", purpose="read",
    ...     tls_only=False,
    ... )
    BucketPolicy to read s3://b-1/cohorts/
      Allow arn:aws:iam::111122223333:role/etl: s3:GetObject on arn:aws:s3:::b-1/cohorts/*
      Allow arn:aws:iam::111122223333:role/etl: s3:ListBucket on arn:aws:s3:::b-1 if s3:prefix \
StringLike 'cohorts/*'
    """
    check_is_destination(destination)
    check_kind("principal", principal, Iterable, "pass one ARN or several, as text")
    switches = {"create_only": create_only, "legacy_acl": legacy_acl, "tls_only": tls_only}
    if faults := _type_faults(purpose, kms_key, switches):
        raise ConfigurationError("bucket_policy", tuple(faults))
    partition = partition_of(destination.region)
    principals = expand_principals(principal, partition)
    faults = [
        *place_faults(destination),
        *principal_faults(principals, partition),
        *origin_faults(principals, organisation, source_account),
        *option_faults(purpose, create_only=create_only, legacy_acl=legacy_acl),
    ]
    if kms_key is not None:
        faults += key_faults(kms_key, destination.region, partition, purpose)
    if faults:
        raise ConfigurationError("bucket_policy", tuple(faults))
    builder = StatementBuilder(
        purpose=purpose,
        path=destination.path,
        region=str(destination.region),
        bucket_arn=f"arn:{partition}:s3:::{destination.bucket}",
        principals=principals,
        origin_conditions=tuple(origin_conditions(principals, organisation, source_account)),
    )
    return BucketPolicy(
        bucket=str(destination.bucket),
        path=destination.path,
        purpose=purpose,
        statements=(
            *builder.allow_purpose(),
            *(builder.allow_owner_acl_only() if legacy_acl else ()),
            *(builder.deny_plain_http() if tls_only else ()),
            *(builder.deny_overwriting() if create_only else ()),
            *(builder.deny_other_keys(kms_key) if kms_key and purpose != "read" else ()),
        ),
        key_statement=builder.allow_key() if kms_key else None,
    )


def _type_faults(purpose: object, kms_key: object, switches: Mapping[str, object]) -> list[str]:
    faults = choice_faults("purpose", purpose, PURPOSES)
    for name, value in switches.items():
        faults += kind_faults(name, value, bool)
    return faults + kind_faults("kms_key", kms_key, str | None)
