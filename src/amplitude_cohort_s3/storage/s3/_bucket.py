"""The requests that write to a bucket, one method each.

The methods do not decide what a lost response means: see ``_write_once``.
"""

import base64
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import frozen
from botocore.exceptions import ClientError

from ...errors import ObjectChangedError, UnsuitableStorageError
from ..protocol import ObjectInfo, StagedObject
from ._bucket_reads import STAGE_TOKEN, BucketReads
from ._parts import SourceRange, UploadedPart, digest_of
from .errors import UPLOAD_ENDED, error_code, translated
from .responses import pages

# The arguments about the source of a copy, and the options whose values they get.
_OF_SOURCE = {
    "CopySourceSSECustomerAlgorithm": "SSECustomerAlgorithm",
    "CopySourceSSECustomerKey": "SSECustomerKey",
    "CopySourceSSECustomerKeyMD5": "SSECustomerKeyMD5",
    "ExpectedSourceBucketOwner": "ExpectedBucketOwner",
}


@frozen(kw_only=True, eq=False)
class Bucket(BucketReads):
    """The requests to one bucket.

    Attributes:
        checksums: True if uploads carry a CRC-32 that the store verifies.
    """

    checksums: bool

    def put(self, key: str, data: bytes, *, conditional: bool, token: str | None = None) -> None:
        """Write an object of at most 5 GiB in one request; raise botocore's errors."""
        self.send(
            "put_object",
            **({} if token is None else {"Metadata": {STAGE_TOKEN: token}}),
            **self._checksum(data),
            **_condition(conditional=conditional),
            Key=key,
            Body=data,
        )

    def begin_upload(self, key: str, token: str, content_type: str) -> str:
        """Begin an upload whose object will carry a token, and return its id."""
        with translated(self.name, key):
            begun = self.send(
                "create_multipart_upload",
                **({"ChecksumAlgorithm": "CRC32"} if self.checksums else {}),
                Key=key,
                ContentType=content_type,
                Metadata={STAGE_TOKEN: token},
            )
        upload_id = str(begun["UploadId"])
        ends = begun.get("AbortDate")
        if ends is not None and ends - _time_of(begun) < timedelta(hours=1):
            self.abort(key, upload_id)
            raise UnsuitableStorageError(
                f"the bucket {self.name!r}",
                f"time for the upload of {key!r}, because its lifecycle rule "
                f"{begun.get('AbortRuleId')!r} aborts it at {ends.isoformat()}",
                "Set DaysAfterInitiation of the rule to at least 1",
            )
        return upload_id

    def upload_part(
        self, key: str, upload_id: str, number: int, data: bytes | bytearray
    ) -> UploadedPart:
        """Upload one part; ``number`` counts from 1."""
        checksum = self._checksum(data)
        with translated(self.name, key):
            stored = self.send(
                "upload_part",
                **checksum,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
            )
        return UploadedPart(etag=stored["ETag"].strip('"'), crc32=checksum.get("ChecksumCRC32"))

    def copy_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        source: ObjectInfo,
        piece: SourceRange,
        etag: str,
    ) -> UploadedPart:
        """Let the store copy a range of an object, of the version with this ETag, into a part."""
        whole = piece.size == source.size
        with self.of_one_version(source):
            answer = self.send(
                "upload_part_copy",
                **{own: self.options[of] for own, of in _OF_SOURCE.items() if of in self.options},
                **({} if whole else {"CopySourceRange": piece.header}),
                CopySource={"Bucket": self.name, "Key": source.key},
                CopySourceIfMatch=etag,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
            )["CopyPartResult"]
        # The store computes the checksum, and expects it again when the upload is completed.
        return UploadedPart(etag=answer["ETag"].strip('"'), crc32=answer.get("ChecksumCRC32"))

    def complete(self, staged: StagedObject, *, conditional: bool) -> None:
        """Complete an upload, so that its object appears; raise botocore's errors."""
        parts = [part.to_request(n) for n, part in enumerate(self._parts_of(staged), 1)]
        self.send(
            "complete_multipart_upload",
            **_condition(conditional=conditional),
            Key=staged.key,
            UploadId=staged.detail("upload_id"),
            MultipartUpload={"Parts": parts},
        )

    def _parts_of(self, staged: StagedObject) -> list[UploadedPart]:
        """Return the parts of a staged object, from its handle or from the store."""
        if "parts" in staged.handle:
            return [UploadedPart.parse(text) for text in staged.detail("parts").split(",")]
        upload_id = staged.detail("upload_id")
        parts = [
            UploadedPart(etag=part["ETag"].strip('"'), crc32=part.get("ChecksumCRC32"))
            for page in pages(
                self.client,
                "list_parts",
                **self._options_of("list_parts"),
                Key=staged.key,
                UploadId=upload_id,
            )
            for part in page
        ]
        if digest_of(parts) != staged.detail("parts_digest"):
            raise ObjectChangedError(staged.key)
        return parts

    def abort(self, key: str, upload_id: str) -> bool:
        """Abort an upload; return False if it had ended already."""
        with translated(self.name, key):
            try:
                self.send("abort_multipart_upload", Key=key, UploadId=upload_id)
            except ClientError as error:
                if error_code(error) not in UPLOAD_ENDED:
                    raise
                return False
        return True

    def delete(self, key: str) -> None:
        """Delete an object; succeed if there is none."""
        with translated(self.name, key):
            self.send("delete_object", Key=key)

    def _checksum(self, data: bytes | bytearray) -> dict[str, str]:
        # Computed here: over HTTPS, botocore would send its own after the body, in a form
        # that older stores (Ceph 16) refuse.
        if not self.checksums:
            return {}
        crc32 = zlib.crc32(data).to_bytes(4, "big")
        return {"ChecksumCRC32": base64.b64encode(crc32).decode()}


def _condition(*, conditional: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if conditional else {}


def _time_of(response: dict[str, Any]) -> datetime:
    """Return the time of a response by the store's clock, or by ours if it has no valid time."""
    try:
        sent = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return datetime.now(UTC)
    return sent if sent.tzinfo else sent.replace(tzinfo=UTC)
