"""The bucket policy: who may do what below a destination's path, and nothing else.

Amplitude shows its own text under "Copy Bucket Policy" and publishes none. This one is ours:
the fewest actions that each purpose sends, each on nothing but the destination's path.
Everything here is pure; ``access`` puts a policy in force and tries what it allows.

Rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html (the permissions
of multipart uploads) and
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from attrs import field, frozen

from .._arguments import check_kind
from .._html import html_table
from ..errors import ConfigurationError, PolicyFormatError, PolicyTooLargeError
from ..settings.destination import Destination, check_is_destination
from ._bucket_names import bucket_name_faults, is_access_point

Purpose = Literal["write", "amplitude", "read", "maintain"]
"""What a policy is for: ``"write"`` a sync of this library, its recovery included;
``"amplitude"`` Amplitude writes; ``"read"`` a consumer; ``"maintain"`` aborting stale uploads."""

AMPLITUDE_ACCOUNTS: Final[Mapping[str, str]] = MappingProxyType(
    {"US": "358203115967", "EU": "202493300829"}
)
"""Amplitude's AWS accounts by its data region, for ``principal``.

Source: Amplitude's page on importing from S3, and for US those on Kinesis too. An account
trusts every role in it: the form of destinations made before 2025. Newer ones have a role
of their own, whose ARN Amplitude shows beside its policy; prefer it."""

MAX_POLICY_BYTES = 20 * 1024
"""The largest policy that S3 takes:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html. Whether S3 counts
spaces is not said; we send none."""

# AWS has no list of what an operation needs, but
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
# for uploads: creating, filling and completing one is s3:PutObject. A HEAD is s3:GetObject.
# What Amplitude sends is not published; writing, and aborting what failed, is the least.
OBJECT_ACTIONS: Final[Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {
        "write": (
            "s3:AbortMultipartUpload",
            "s3:GetObject",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
        ),
        "amplitude": ("s3:AbortMultipartUpload", "s3:PutObject"),
        "read": ("s3:GetObject",),
        "maintain": ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
    }
)
"""What each purpose does to objects below the path."""

BUCKET_ACTIONS: Final[Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {
        "write": ("s3:ListBucket",),
        "amplitude": (),
        "read": ("s3:ListBucket",),
        "maintain": ("s3:ListBucketMultipartUploads",),
    }
)
"""What each purpose asks of the bucket itself."""

# S3 uses the key itself to put the parts of an upload together, so writers decrypt too:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
_KEY_ACTIONS: Final[Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {
        "write": ("kms:Decrypt", "kms:GenerateDataKey"),
        "amplitude": ("kms:Decrypt", "kms:GenerateDataKey"),
        "read": ("kms:Decrypt",),
        "maintain": (),
    }
)

_ACL = "s3:x-amz-acl"
_OWNER_ACL = "bucket-owner-full-control"
_SSE = "s3:x-amz-server-side-encryption"
_SSE_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"
_EVERYONE = ("*",)

# The partition is compared by itself. An account may be empty: Ceph's users have none.
_PRINCIPAL_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):(?:iam|sts)::[0-9A-Za-z$_-]*:"
    r"(?:root|(?:user|role|assumed-role|federated-user)/[^\s*]+)"
)
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.(?:com(?:\.cn)?|eu)")
_ACCOUNT = re.compile(r"[0-9]{12}")
_ORGANISATION = re.compile(r"o-[a-z0-9]{10,32}")
_KMS_KEY = re.compile(r"arn:(?P<partition>[a-z-]+):kms:(?P<region>[a-z0-9-]+):[0-9]{12}:key/[\w-]+")


@frozen
class Condition:
    """One condition of a statement.

    Attributes:
        operator: Such as ``StringLike``.
        key: Such as ``s3:prefix``.
        values: Of which one must match.
    """

    operator: str
    key: str
    values: tuple[str, ...] = field(converter=tuple[str, ...])

    def __str__(self) -> str:
        return f"{self.key} {self.operator} {' or '.join(map(repr, self.values))}"


@frozen(kw_only=True)
class PolicyStatement:
    """One statement of a policy.

    Attributes:
        sid: Its id within the policy.
        effect: ``"Allow"`` or ``"Deny"``.
        principals: ARNs and services; ``("*",)`` is everyone.
        actions: Such as ``s3:GetObject``.
        resources: ARNs; ``*`` and ``?`` are wildcards.
        conditions: All of them must hold.
    """

    sid: str
    effect: Literal["Allow", "Deny"]
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The statement as JSON values."""
        services = [p for p in self.principals if _SERVICE.fullmatch(p)]
        arns = [p for p in self.principals if p not in services]
        principal: Any = "*"
        if self.principals != _EVERYONE:
            principal = {
                kind: _plain(names)
                for kind, names in (("AWS", arns), ("Service", services))
                if names
            }
        statement: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": self.effect,
            "Principal": principal,
            "Action": _plain(self.actions),
            "Resource": _plain(self.resources),
        }
        conditions = dict[str, dict[str, Any]]()
        for condition in self.conditions:
            conditions.setdefault(condition.operator, {})[condition.key] = _plain(condition.values)
        if conditions:
            statement["Condition"] = conditions
        return statement

    def __str__(self) -> str:
        """The statement as one line."""
        who = "everyone" if self.principals == _EVERYONE else ", ".join(self.principals)
        line = f"{self.effect} {who}: {', '.join(self.actions)} on {', '.join(self.resources)}"
        if self.conditions:
            line += f" if {' and '.join(map(str, self.conditions))}"
        return line


@frozen(kw_only=True)
class PolicyChange:
    """What merging does to a policy, by the ids of our statements.

    Attributes:
        before: The policy as it was; None where there was none.
        after: The policy as it becomes.
        added: Ids that are new.
        replaced: Ids whose statements change.
        removed: Ids that an earlier policy for the same path and purpose had.
    """

    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.replaced or self.removed)

    def __repr__(self) -> str:
        lines = [
            f"  {sign} {sid}"
            for sign, sids in (("+", self.added), ("~", self.replaced), ("-", self.removed))
            for sid in sids
        ]
        return "\n".join(["PolicyChange: " + ("" if lines else "nothing to change"), *lines])


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
        before = _parse_policy(policy)
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
        theirs = _statements(after)
        family = _family(self.purpose, self.path)
        merged, replaced, removed = list[Any](), list[str](), list[str]()
        for statement in theirs:
            sid = str(statement.get("Sid", ""))
            if not sid.startswith(family):
                merged.append(statement)
            elif sid not in ours:
                removed.append(sid)
            elif _normal(statement) == _normal(ours[sid]):
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
    partition = _check_place(destination, faults)
    principals = _check_principals(principal, partition, faults)
    only_for = _check_origin(principals, organisation, source_account, faults)
    if create_only and purpose != "write":
        faults.append(f'create_only is for purpose "write", not {purpose!r}')
    if legacy_acl and purpose not in ("write", "amplitude"):
        faults.append(f"legacy_acl is for purposes that write, not {purpose!r}")
    if kms_key is not None:
        _check_key(kms_key, destination, partition, purpose, faults)
    if faults:
        raise ConfigurationError("bucket_policy", tuple(faults))
    scope = _Scope(
        family=_family(purpose, destination.path),
        purpose=purpose,
        region=str(destination.region),
        bucket=f"arn:{partition}:s3:::{destination.bucket}",
        below=f"{_literal(destination.path)}/*" if destination.path else "*",
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


@frozen(kw_only=True)
class _Scope:
    """Whom and what a policy is about: what all of its statements share."""

    family: str
    purpose: Purpose
    region: str
    bucket: str
    """Its ARN."""
    below: str
    """The pattern of all keys that belong to the destination."""
    principals: tuple[str, ...]
    only_for: tuple[Condition, ...]
    """Conditions of everything that is allowed."""

    @property
    def objects(self) -> str:
        return f"{self.bucket}/{self.below}"

    def limits(self, action: str) -> tuple[Condition, ...]:
        """The conditions that keep an action on the bucket below the path, if S3 has any."""
        if action != "s3:ListBucket" or self.below == "*":
            return ()
        return (Condition("StringLike", "s3:prefix", (self.below,)),)

    def allow(
        self, name: str, actions: tuple[str, ...], where: str, *conditions: Condition
    ) -> PolicyStatement:
        return PolicyStatement(
            sid=self.family + name,
            effect="Allow",
            principals=self.principals,
            actions=actions,
            resources=(where,),
            conditions=(*conditions, *self.only_for),
        )

    def deny(
        self, name: str, action: str, *conditions: Condition, where: str = ""
    ) -> PolicyStatement:
        # What can't be limited to the path is denied to our principals only.
        limited = not where or self.limits(action) or self.below == "*"
        return PolicyStatement(
            sid=self.family + name,
            effect="Deny",
            principals=_EVERYONE if limited else self.principals,
            actions=(action,),
            resources=(where or self.objects,),
            conditions=conditions,
        )

    def grants(self) -> Iterator[PolicyStatement]:
        yield self.allow("Objects", OBJECT_ACTIONS[self.purpose], self.objects)
        for action in BUCKET_ACTIONS[self.purpose]:
            name = action.removeprefix("s3:")
            yield self.allow(name, (action,), self.bucket, *self.limits(action))

    def owner_acl(self) -> Iterator[PolicyStatement]:
        owner = Condition("StringEquals", _ACL, (_OWNER_ACL,))
        yield self.allow("OwnerAcl", ("s3:PutObjectAcl",), self.objects, owner)
        yield self.deny("OtherAcl", "s3:PutObject", *_given_but_not(_ACL, _OWNER_ACL))

    def no_plain_http(self) -> Iterator[PolicyStatement]:
        plain = Condition("Bool", "aws:SecureTransport", ("false",))
        yield self.deny("PlainObjects", "s3:*", plain)
        for action in BUCKET_ACTIONS[self.purpose]:
            name = "Plain" + action.removeprefix("s3:")
            yield self.deny(name, action, plain, *self.limits(action), where=self.bucket)

    def no_overwrite(self) -> Iterator[PolicyStatement]:
        # Beginning an upload and filling it takes no condition; only completing it does.
        creates = Condition("Bool", "s3:ObjectCreationOperation", ("true",))
        unconditional = Condition("Null", "s3:if-none-match", ("true",))
        yield self.deny("Overwrite", "s3:PutObject", unconditional, creates)

    def no_other_key(self, kms_key: str) -> Iterator[PolicyStatement]:
        yield self.deny("OtherEncryption", "s3:PutObject", *_given_but_not(_SSE, "aws:kms"))
        other_key = _given_but_not(_SSE_KEY, kms_key, "ArnNotEquals")
        yield self.deny("OtherKey", "s3:PutObject", *other_key)

    def key_use(self) -> PolicyStatement:
        return self.allow(
            "Key",
            _KEY_ACTIONS[self.purpose],
            "*",
            # The end of the name differs by partition, and AWS's pages on China disagree.
            Condition("StringLike", "kms:ViaService", (f"s3.{self.region}.*",)),
            # The bucket itself is the context where the bucket has a Bucket Key:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
            Condition(
                "StringLike", "kms:EncryptionContext:aws:s3:arn", (self.bucket, self.objects)
            ),
        )


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


def compact_json(policy: Mapping[str, Any]) -> str:
    """A policy in the fewest bytes, as it is sent and measured."""
    return json.dumps(policy, separators=(",", ":"))


def _check_place(destination: Destination, faults: list[str]) -> str:
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


def _check_principals(
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
        if arn is None and not _SERVICE.fullmatch(one):
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


def _check_origin(
    principals: tuple[str, ...],
    organisation: str | None,
    source_account: str | None,
    faults: list[str],
) -> tuple[Condition, ...]:
    """The conditions on where a request comes from."""
    services = [p for p in principals if _SERVICE.fullmatch(p)]
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


def _check_key(
    kms_key: str, destination: Destination, partition: str, purpose: Purpose, faults: list[str]
) -> None:
    if not _KEY_ACTIONS[purpose]:
        faults.append(f"kms_key: purpose {purpose!r} uses no key")
    arn = _KMS_KEY.fullmatch(kms_key)
    if arn is None:
        faults.append(
            f"kms_key {kms_key!r} must be a key's ARN (arn:…:kms:<region>:<account>:key/<id>): "
            "an alias means another key in another account"
        )
    elif partition and (arn["partition"], arn["region"]) != (partition, destination.region):
        faults.append(f"kms_key {kms_key!r} must be in the bucket's region, {destination.region}")


def _family(purpose: Purpose, path: str) -> str:
    """How the ids of all statements for a purpose and a path begin.

    Ids are letters and digits only, so the path is represented by its digest.
    """
    digest = hashlib.sha256(path.encode()).hexdigest()[:10]
    return f"AmplitudeCohort{purpose.capitalize()}{digest}"


def _literal(path: str) -> str:
    """A path in which no character is a wildcard or begins a variable.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", path)


def _given_but_not(
    key: str, value: str, differs: Literal["StringNotEquals", "ArnNotEquals"] = "StringNotEquals"
) -> tuple[Condition, ...]:
    """Holds where a header is sent with another value; not where it is left out."""
    return (Condition(differs, key, (value,)), Condition("Null", key, ("false",)))


def _parse_policy(policy: Mapping[str, Any] | str | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    parsed: object = policy
    if isinstance(policy, str):
        try:
            parsed = json.loads(policy)
        except ValueError:
            raise PolicyFormatError("it is not JSON") from None
    if not isinstance(parsed, Mapping):
        raise PolicyFormatError("it is not a JSON object")
    return dict(cast("Mapping[str, Any]", parsed))


def _statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statements of a policy, which may be a single one."""
    found: Any = policy.get("Statement", [])
    listed = list[Any]()
    if isinstance(found, Mapping):
        listed.append(found)
    elif isinstance(found, list):
        listed += found
    else:
        raise PolicyFormatError("its Statement is neither an object nor a list")
    if not all(isinstance(statement, Mapping) for statement in listed):
        raise PolicyFormatError("one of its statements is not an object")
    return listed


def _normal(value: Any) -> Any:
    """A statement regardless of order, and of whether one value stands in a list."""
    if isinstance(value, Mapping):
        return {k: _normal(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, str):
        return (value,)
    return tuple(sorted(map(str, value)))


def _plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
