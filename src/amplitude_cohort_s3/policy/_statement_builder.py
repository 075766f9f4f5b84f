"""The statements that make up the policy for one purpose and one path."""

import hashlib
import re
from collections.abc import Iterator

from attrs import evolve, frozen

from ._statements import EVERYONE, Condition, PolicyStatement
from .purposes import ACTIONS, Purpose

_ACL = "s3:x-amz-acl"
_OWNER_ACL = "bucket-owner-full-control"
_ENCRYPTION = "s3:x-amz-server-side-encryption"
_ENCRYPTION_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@frozen(kw_only=True)
class StatementBuilder:
    """The facts that all statements of a policy share, and a method for each of its options."""

    purpose: Purpose
    path: str
    region: str
    bucket_arn: str
    principals: tuple[str, ...]
    origin_conditions: tuple[Condition, ...]

    def allow_purpose(self) -> Iterator[PolicyStatement]:
        actions = ACTIONS[self.purpose]
        yield self._allow("Objects", actions.objects, self._objects)
        for action in actions.bucket:
            name = action.removeprefix("s3:")
            yield self._allow(name, (action,), self.bucket_arn, *self._below_path(action))

    def allow_owner_acl_only(self) -> Iterator[PolicyStatement]:
        owner = Condition("StringEquals", _ACL, (_OWNER_ACL,))
        yield self._allow("OwnerAcl", ("s3:PutObjectAcl",), self._objects, owner)
        yield self._deny("OtherAcl", "s3:PutObject", *_sent_and_not("String", _ACL, _OWNER_ACL))

    def deny_plain_http(self) -> Iterator[PolicyStatement]:
        plain = Condition("Bool", "aws:SecureTransport", ("false",))
        yield self._deny("PlainObjects", "s3:*", plain)
        for action in ACTIONS[self.purpose].bucket:
            name = "Plain" + action.removeprefix("s3:")
            below_path = self._below_path(action)
            statement = self._deny(name, action, plain, *below_path, resource=self.bucket_arn)
            if self.path and not below_path:
                # S3 can't limit the action to the path, so it is denied only to the principals of
                # this policy. Others may need it for the rest of the bucket.
                statement = evolve(statement, principals=self.principals)
            yield statement

    def deny_overwriting(self) -> Iterator[PolicyStatement]:
        # S3 accepts no condition when an upload is created or a part is uploaded, but only when
        # the upload is completed.
        creates = Condition("Bool", "s3:ObjectCreationOperation", ("true",))
        unconditional = Condition("Null", "s3:if-none-match", ("true",))
        yield self._deny("Overwrite", "s3:PutObject", unconditional, creates)

    def deny_other_keys(self, kms_key: str) -> Iterator[PolicyStatement]:
        other_encryption = _sent_and_not("String", _ENCRYPTION, "aws:kms")
        yield self._deny("OtherEncryption", "s3:PutObject", *other_encryption)
        other_key = _sent_and_not("Arn", _ENCRYPTION_KEY, kms_key)
        yield self._deny("OtherKey", "s3:PutObject", *other_key)

    def allow_key(self) -> PolicyStatement:
        """Return the statement that the KMS key's own policy needs."""
        # With a Bucket Key, the context is the bucket itself:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
        contexts = (self.bucket_arn, self._objects)
        return self._allow(
            "Key",
            ACTIONS[self.purpose].key,
            "*",
            # The end of the name depends on the partition, and AWS's pages on China contradict
            # each other.
            Condition("StringLike", "kms:ViaService", (f"s3.{self.region}.*",)),
            Condition("StringLike", "kms:EncryptionContext:aws:s3:arn", contexts),
        )

    @property
    def _keys(self) -> str:
        """The pattern that all keys below the path match."""
        # Characters of the path that are wildcards or begin a variable are escaped:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
        literal = re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", self.path)
        return f"{literal}/*" if literal else "*"

    @property
    def _objects(self) -> str:
        return f"{self.bucket_arn}/{self._keys}"

    def _below_path(self, action: str) -> tuple[Condition, ...]:
        """Return the condition that limits an action on the bucket to the path, if one exists."""
        if action != "s3:ListBucket" or not self.path:
            return ()
        return (Condition("StringLike", "s3:prefix", (self._keys,)),)

    def _allow(
        self, name: str, actions: tuple[str, ...], resource: str, *conditions: Condition
    ) -> PolicyStatement:
        return PolicyStatement(
            sid=sid_prefix(self.purpose, self.path) + name,
            effect="Allow",
            principals=self.principals,
            actions=actions,
            resources=(resource,),
            conditions=(*conditions, *self.origin_conditions),
        )

    def _deny(
        self, name: str, action: str, *conditions: Condition, resource: str = ""
    ) -> PolicyStatement:
        return PolicyStatement(
            sid=sid_prefix(self.purpose, self.path) + name,
            effect="Deny",
            principals=EVERYONE,
            actions=(action,),
            resources=(resource or self._objects,),
            conditions=conditions,
        )


def sid_prefix(purpose: Purpose, path: str) -> str:
    """Return the prefix of the ids of all statements for a purpose and a path.

    Ids may contain only letters and digits, so the prefix has a digest of the path.
    """
    digest = hashlib.sha256(path.encode()).hexdigest()[:10]
    return f"AmplitudeCohort{purpose.capitalize()}{digest}"


def _sent_and_not(kind: str, header: str, value: str) -> tuple[Condition, ...]:
    """Return conditions that hold if a header is sent with another value.

    The second condition is necessary because the first also holds if the header is missing.
    """
    other = Condition(f"{kind}NotEquals", header, (value,))
    return (other, Condition("Null", header, ("false",)))
