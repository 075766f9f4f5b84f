"""The statements that a purpose grants on a bucket and a path."""

import hashlib
import re
from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from ._purposes import BUCKET_ACTIONS, KEY_ACTIONS, OBJECT_ACTIONS, Purpose
from ._statements import EVERYONE, Condition, PolicyStatement

_ACL = "s3:x-amz-acl"


_OWNER_ACL = "bucket-owner-full-control"


_SSE = "s3:x-amz-server-side-encryption"


_SSE_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@frozen(kw_only=True)
class Scope:
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
            principals=EVERYONE if limited else self.principals,
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
        yield self.deny("OtherAcl", "s3:PutObject", *given_but_not(_ACL, _OWNER_ACL))

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
        yield self.deny("OtherEncryption", "s3:PutObject", *given_but_not(_SSE, "aws:kms"))
        other_key = given_but_not(_SSE_KEY, kms_key, "ArnNotEquals")
        yield self.deny("OtherKey", "s3:PutObject", *other_key)

    def key_use(self) -> PolicyStatement:
        return self.allow(
            "Key",
            KEY_ACTIONS[self.purpose],
            "*",
            # The end of the name differs by partition, and AWS's pages on China disagree.
            Condition("StringLike", "kms:ViaService", (f"s3.{self.region}.*",)),
            # The bucket itself is the context where the bucket has a Bucket Key:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
            Condition(
                "StringLike", "kms:EncryptionContext:aws:s3:arn", (self.bucket, self.objects)
            ),
        )


def statement_family(purpose: Purpose, path: str) -> str:
    """How the ids of all statements for a purpose and a path begin.

    Ids are letters and digits only, so the path is represented by its digest.
    """
    digest = hashlib.sha256(path.encode()).hexdigest()[:10]
    return f"AmplitudeCohort{purpose.capitalize()}{digest}"


def literal(path: str) -> str:
    """A path in which no character is a wildcard or begins a variable.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", path)


def given_but_not(
    key: str, value: str, differs: Literal["StringNotEquals", "ArnNotEquals"] = "StringNotEquals"
) -> tuple[Condition, ...]:
    """Holds where a header is sent with another value; not where it is left out."""
    return (Condition(differs, key, (value,)), Condition("Null", key, ("false",)))
