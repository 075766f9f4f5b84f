"""The purposes of bucket policies, and the actions of S3 and KMS that each one needs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from attrs import frozen

Purpose = Literal["write", "amplitude", "read", "maintain"]
"""``"write"``: this library syncs and recovers. ``"amplitude"``: Amplitude syncs. ``"read"``:
a consumer reads. ``"maintain"``: a job that also reads calls ``clean_up`` or ``forget``."""

PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
"""All purposes."""


@frozen(kw_only=True)
class Actions:
    """The actions on the objects below the path, on the bucket and on the objects' KMS key."""

    objects: tuple[str, ...]
    bucket: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


# AWS does not list the permissions of each operation. For uploads, see
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions:
# creating, filling and completing one is s3:PutObject. S3 itself uses the key to put the parts
# together, so writers must decrypt too. A HEAD request is s3:GetObject.
# Amplitude does not publish its requests; writing and aborting are the least it can need.
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
