"""The bucket policy: who may do what below a destination's path, and nothing else.

Amplitude shows its own text under "Copy Bucket Policy" and publishes none. This one is ours:
the fewest actions that each purpose sends, each on nothing but the destination's path.
Everything here is pure; ``access`` puts a policy in force and tries what it allows.

Rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html (the permissions
of multipart uploads) and
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.
"""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from .._arguments import check_kind
from .._html import html_table
from ..errors import ConfigurationError, PolicyFormatError, PolicyTooLargeError
from ..settings.destination import Destination, check_is_destination
from ._merge import (
    MAX_POLICY_BYTES,
    PolicyChange,
    compact_json,
    merged_statements,
    normal,
    parse_policy,
)
from ._principals import check_key, check_origin, check_place, check_principals
from ._purposes import OBJECT_ACTIONS, Purpose
from ._scope import Scope, literal, statement_family
from ._statements import PolicyStatement

AMPLITUDE_ACCOUNTS: Final[Mapping[str, str]] = MappingProxyType(
    {"US": "358203115967", "EU": "202493300829"}
)
"""Amplitude's AWS accounts by its data region, for ``principal``.

Source: Amplitude's page on importing from S3, and for US those on Kinesis too. An account
trusts every role in it: the form of destinations made before 2025. Newer ones have a role
of their own, whose ARN Amplitude shows beside its policy; prefer it."""


@frozen(kw_only=True, repr=False)
class BucketPolicy:
    """The statements for one purpose below one path: see :func:`bucket_policy`.

    Attributes:
        bucket: The bucket.
        path: The folder prefix, as ``Destination.path``.
        purpose: What it is for.
        statements: Of the bucket's policy.
        key_statement: Of the KMS key's policy, where a key was given.
    """

    bucket: str
    path: str
    purpose: Purpose
    statements: tuple[PolicyStatement, ...]
    key_statement: PolicyStatement | None = None

    def to_dict(self) -> dict[str, Any]:
        """A whole policy that holds nothing but these statements, as JSON values."""
        return self.merge_into(None)

    def to_json(self) -> str:
        """The same, ready to paste: ASCII, and equal for equal policies."""
        return json.dumps(self.to_dict(), indent=2)

    def merge_into(self, policy: Mapping[str, Any] | str | None) -> dict[str, Any]:
        """A policy with these statements in it, and all others as they were.

        Statements of an earlier policy for the same path and purpose are replaced, so what
        was dropped (a principal, an option) no longer holds. Idempotent:
        ``p.merge_into(p.merge_into(x)) == p.merge_into(x)``.

        Args:
            policy: As ``GetBucketPolicy`` returns it, as text or parsed; None for none.

        Raises:
            PolicyFormatError: It is not a policy, or of a version without policy variables
                where the path needs them.
            PolicyTooLargeError: The result is over S3's 20 KB.
        """
        return dict(self.compare(policy).after)

    def compare(self, policy: Mapping[str, Any] | str | None) -> PolicyChange:
        """What :meth:`merge_into` would change; the arguments and errors are the same."""
        before = parse_policy(policy)
        version = None if before is None else before.get("Version", "2008-10-17")
        ours = {statement.sid: statement.to_dict() for statement in self.statements}
        if version not in (None, "2012-10-17") and any(
            "${" in json.dumps(s) for s in ours.values()
        ):
            raise PolicyFormatError(
                f"its version {version} takes ${{*}}, by which a path with *, ? or $ is named, "
                'word by word; set its Version to "2012-10-17"'
            )
        after: dict[str, Any] = {"Version": "2012-10-17"} if before is None else dict(before)
        theirs = merged_statements(after)
        family = statement_family(self.purpose, self.path)
        merged, replaced, removed = list[Any](), list[str](), list[str]()
        for statement in theirs:
            sid = str(statement.get("Sid", ""))
            if not sid.startswith(family):
                merged.append(statement)
            elif sid not in ours:
                removed.append(sid)
            elif normal(statement) == normal(ours[sid]):
                merged.append(statement)
                del ours[sid]
            else:
                merged.append(ours.pop(sid))
                replaced.append(sid)
        if ours or replaced or removed or before is None:
            after["Statement"] = [*merged, *ours.values()]
        size = len(compact_json(after))
        if size > MAX_POLICY_BYTES:
            raise PolicyTooLargeError(size, MAX_POLICY_BYTES)
        return PolicyChange(
            before=before,
            after=after,
            added=tuple(ours),
            replaced=tuple(replaced),
            removed=tuple(removed),
        )

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
        place = f"s3://{self.bucket}/{self.path}{'/' if self.path else ''}"
        return f"BucketPolicy to {self.purpose} {place}"


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
    """The policy that lets principals do what a purpose needs, below the destination's path.

    What is allowed, is allowed to the principals. What an option denies, it denies to
    everyone, and only below the path. A principal of another account also needs the same
    actions in a policy of its own account.

    With listing limited to the path, S3 answers a question for a missing key with 403 and
    not with 404, as it does to everyone who may not list the whole bucket.

    Args:
        destination: Where to; it needs ``bucket`` and ``region``. The bucket must be named
            itself: an access point has a policy of its own.
        principal: Who, one or several, and all of them: the ARN of a role or user, an account
            of 12 digits (everyone its own policies let), a service such as
            ``logging.s3.amazonaws.com``.
        purpose: What for. ``"maintain"`` lists the unfinished uploads of the whole bucket,
            since S3 has no condition to limit that.
        tls_only: Deny requests without TLS.
        create_only: Deny to overwrite: a write without ``If-None-Match`` fails, and so does
            any copy to below the path. Only for ``"write"``: Amplitude is not known to send it.
            https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        organisation: Allow only to principals of this organisation (``o-…``), or to services
            on its behalf.
        source_account: Allow services only on behalf of this account of 12 digits.
        kms_key: The ARN of the key that encrypts the files. Deny to write with another key or
            without one; a request that leaves it to the bucket's default passes, so set that
            to the same key. The statement for the key's policy is ``key_statement``.
        legacy_acl: Allow to hand objects over to the bucket's owner, by the ACL
            ``bucket-owner-full-control``, and deny any other. Only for buckets that still have
            ACLs. A write without an ACL passes: the parts of an upload never carry one.

    Raises:
        ConfigurationError: Values break rules; all of them are named.
        WrongArgumentError: ``destination`` or ``principal`` is of another type.

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
    check_kind("principal", principal, Iterable, "give one ARN or several, as text")
    faults = list[str]()
    if purpose not in OBJECT_ACTIONS:
        raise ConfigurationError(
            "bucket_policy", (f"purpose must be one of {', '.join(OBJECT_ACTIONS)}: {purpose!r}",)
        )
    partition = check_place(destination, faults)
    principals = check_principals(principal, partition, faults)
    only_for = check_origin(principals, organisation, source_account, faults)
    if create_only and purpose != "write":
        faults.append(f'create_only is for purpose "write", not {purpose!r}')
    if legacy_acl and purpose not in ("write", "amplitude"):
        faults.append(f"legacy_acl is for purposes that write, not {purpose!r}")
    if kms_key is not None:
        check_key(kms_key, destination, partition, purpose, faults)
    if faults:
        raise ConfigurationError("bucket_policy", tuple(faults))
    scope = Scope(
        family=statement_family(purpose, destination.path),
        purpose=purpose,
        region=str(destination.region),
        bucket=f"arn:{partition}:s3:::{destination.bucket}",
        below=f"{literal(destination.path)}/*" if destination.path else "*",
        principals=principals,
        only_for=only_for,
    )
    return BucketPolicy(
        bucket=str(destination.bucket),
        path=destination.path,
        purpose=purpose,
        statements=(
            *scope.grants(),
            *(scope.owner_acl() if legacy_acl else ()),
            *(scope.no_plain_http() if tls_only else ()),
            *(scope.no_overwrite() if create_only else ()),
            *(scope.no_other_key(kms_key) if kms_key and purpose != "read" else ()),
        ),
        key_statement=scope.key_use() if kms_key else None,
    )
