"""The S3 actions that each purpose needs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Purpose = Literal["write", "amplitude", "read", "maintain"]
"""What a policy is for: ``"write"`` a sync of this library, its recovery included;
``"amplitude"`` Amplitude writes; ``"read"`` a consumer; ``"maintain"`` aborting stale uploads."""


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
KEY_ACTIONS: Final[Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {
        "write": ("kms:Decrypt", "kms:GenerateDataKey"),
        "amplitude": ("kms:Decrypt", "kms:GenerateDataKey"),
        "read": ("kms:Decrypt",),
        "maintain": (),
    }
)
