"""The purposes of bucket policies, and the actions of S3 and KMS that each one needs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from attrs import frozen

Purpose = Literal["write", "amplitude", "read", "maintain"]
"""``"write"`` is for syncs and recoveries by this library, ``"amplitude"`` for syncs by
Amplitude, and ``"read"`` for consumers. ``"maintain"`` is for jobs that call ``clean_up`` or
``forget``; they need ``"read"`` too."""

PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
"""All purposes."""


@frozen(kw_only=True)
class Actions:
    """The actions on the objects below the path, on the bucket and on the objects' KMS key."""

    objects: tuple[str, ...]
    bucket: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


# AWS has no list of the permissions that each operation needs. For uploads, see
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions:
# creating an upload, uploading its parts and completing it need s3:PutObject. S3 itself uses the
# KMS key to join the parts, so writers need kms:Decrypt too. A HEAD request needs s3:GetObject.
# Amplitude does not publish its requests. It needs at least to write and to abort uploads.
ACTIONS: Final[Mapping[Purpose, Actions]] = MappingProxyType(
    {
        "write": Actions(
            objects=(
                "s3:AbortMultipartUpload",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ),
            bucket=("s3:ListBucket",),
            key=("kms:Decrypt", "kms:GenerateDataKey"),
        ),
        "amplitude": Actions(
            objects=("s3:AbortMultipartUpload", "s3:PutObject"),
            key=("kms:Decrypt", "kms:GenerateDataKey"),
        ),
        "read": Actions(objects=("s3:GetObject",), bucket=("s3:ListBucket",), key=("kms:Decrypt",)),
        "maintain": Actions(
            objects=("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
            bucket=("s3:ListBucketMultipartUploads",),
        ),
    }
)
