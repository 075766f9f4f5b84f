"""Staging: uploads of parts that are not completed, from bytes or from other objects."""

import hashlib
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

from ...errors import CohortS3Error, ObjectTooLargeError
from ..compose import MAX_PARTS, UploadPart
from ..protocol import ObjectInfo, StagedObject
from ._parts import Part, split_into_parts, upload_handle
from ._requests import Bucket


def stage_chunks(
    bucket: Bucket,
    key: str,
    chunks: Iterable[bytes],
    *,
    content_type: str,
    part_size: int,
    concurrency: int,
    most_bytes: int,
) -> StagedObject:
    """Uploads chunks of bytes, some parts at a time.

    Args:
        bucket: Where.
        key: Under which key the object is to appear.
        chunks: Its bytes.
        content_type: Its type.
        part_size: Bytes of the first parts.
        concurrency: How many parts are under way at a time.
        most_bytes: How large it may be.

    Raises:
        ObjectTooLargeError: It is larger, or has more parts than an upload may have.
    """
    digest = hashlib.sha256()
    size = 0
    parts: list[Part] = []
    underway: deque[Future[Part]] = deque()
    with (
        _uploading(bucket, key, content_type) as (upload_id, token),
        _threads(concurrency, "upload") as pool,
    ):
        for number, data in enumerate(split_into_parts(chunks, part_size), 1):
            size += len(data)
            if number > MAX_PARTS or size > most_bytes:
                raise ObjectTooLargeError(key, most_bytes)
            if len(underway) == concurrency:
                parts.append(underway.popleft().result())
            underway.append(pool.submit(bucket.upload_part, key, upload_id, number, data))
            digest.update(data)
        parts += [future.result() for future in underway]
    handle = upload_handle(upload_id, token, parts)
    return StagedObject(key=key, size=size, sha256=digest.hexdigest(), handle=handle)


def stage_composed(
    bucket: Bucket,
    key: str,
    parts: Sequence[UploadPart],
    *,
    header: bytes,
    sources: Sequence[ObjectInfo],
    content_type: str,
    concurrency: int,
) -> StagedObject:
    """Uploads what the store copies from its own objects; small pieces are fetched and joined.

    Args:
        bucket: Where.
        key: Under which key the object is to appear.
        parts: What it consists of. Source 0 is the header, the others are objects.
        header: The bytes of source 0.
        sources: The objects, the first of them is source 1.
        content_type: Its type.
        concurrency: How many parts are under way at a time.

    Raises:
        ObjectNotFoundError: A source is not visible.
        ObjectChangedError: A source has another size than it had, or is replaced meanwhile.
    """
    etags: dict[int, str] = {}

    def upload(number: int, part: UploadPart) -> Part:
        for piece in part.pieces:
            if piece.source and piece.source not in etags:
                etags[piece.source] = bucket.etag_of(sources[piece.source - 1])
        if part.copied:
            (piece,) = part.pieces
            source = sources[piece.source - 1]
            return bucket.copy_part(key, upload_id, number, source, piece, etags[piece.source])
        data = bytearray()
        for piece in part.pieces:
            if piece.source:
                data += bucket.fetch(sources[piece.source - 1], piece, etags[piece.source])
            else:
                data += header[piece.begin : piece.end]
        return bucket.upload_part(key, upload_id, number, data)

    with (
        _uploading(bucket, key, content_type) as (upload_id, token),
        _threads(concurrency, "compose") as pool,
    ):
        stored = list(pool.map(upload, range(1, len(parts) + 1), parts))
    size = len(header) + sum(source.size for source in sources)
    handle = upload_handle(upload_id, token, stored)
    return StagedObject(key=key, size=size, sha256=None, handle=handle)


@contextmanager
def _uploading(bucket: Bucket, key: str, content_type: str) -> Generator[tuple[str, str]]:
    """A new upload and its token; what fails within aborts it."""
    token = uuid.uuid4().hex
    upload_id = bucket.begin_upload(key, token, content_type)
    try:
        yield upload_id, token
    except BaseException:
        # What can't be aborted now is left to the bucket's rule.
        with suppress(CohortS3Error):
            bucket.abort(key, upload_id)
        raise


@contextmanager
def _threads(number: int, name: str) -> Generator[ThreadPoolExecutor]:
    """Threads, all ended behind it: after a failure no part may arrive behind the abort."""
    pool = ThreadPoolExecutor(number, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
