"""Staging in S3: uploads that are not completed yet, from bytes or from other objects."""

import uuid
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from ..._bytes import Hashed
from ...errors import CohortS3Error, ObjectTooLargeError
from ..limits import MAX_PARTS
from ..protocol import ObjectInfo, StagedObject
from ..threads import Answer, Threads
from ._bucket import Bucket
from ._parts import PlannedPart, UploadedPart, split_into_parts, upload_handle


def stage_chunks(
    bucket: Bucket,
    key: str,
    chunks: Iterable[bytes],
    *,
    content_type: str,
    part_size: int,
    growing: bool,
    concurrency: int,
    max_bytes: int,
) -> StagedObject:
    """Upload chunks of bytes as parts, and send ``concurrency`` parts at a time."""
    content = Hashed(chunks)
    parts: list[UploadedPart] = []
    underway: deque[Answer[UploadedPart]] = deque()
    threads = Threads(concurrency, "upload")
    with _uploading(bucket, key, content_type, threads) as (upload_id, token):
        for number, data in enumerate(split_into_parts(content, part_size, growing=growing), 1):
            if content.size > max_bytes:
                raise ObjectTooLargeError(key, max_bytes)
            if number > MAX_PARTS:
                raise ObjectTooLargeError(key, MAX_PARTS, "parts")
            if len(underway) == concurrency:
                parts.append(underway.popleft().result())
            underway.append(
                threads.submit(partial(bucket.upload_part, key, upload_id, number, data))
            )
        parts += [answer.result() for answer in underway]
    handle = upload_handle(upload_id, token, parts)
    return StagedObject(key=key, size=content.size, sha256=content.sha256, handle=handle)


def stage_composed(
    bucket: Bucket,
    key: str,
    planned: Sequence[PlannedPart],
    *,
    header: bytes,
    sources: Sequence[ObjectInfo],
    content_type: str,
    concurrency: int,
) -> StagedObject:
    """Upload an object that joins a header and other objects.

    In the plan, source 0 is the header and source n is ``sources[n - 1]``.
    """
    etags: dict[int, str] = {}

    def upload(number: int, part: PlannedPart) -> UploadedPart:
        for piece in part.ranges:
            if piece.source and piece.source not in etags:
                etags[piece.source] = bucket.etag_of(sources[piece.source - 1])
        if part.copied:
            (piece,) = part.ranges
            source = sources[piece.source - 1]
            return bucket.copy_part(key, upload_id, number, source, piece, etags[piece.source])
        data = bytearray()
        for piece in part.ranges:
            if piece.source:
                data += bucket.fetch(sources[piece.source - 1], piece, etags[piece.source])
            else:
                data += header[piece.begin : piece.end]
        return bucket.upload_part(key, upload_id, number, data)

    threads = Threads(concurrency, "compose")
    with _uploading(bucket, key, content_type, threads) as (upload_id, token):
        answers = [threads.submit(partial(upload, n, part)) for n, part in enumerate(planned, 1)]
        parts = [answer.result() for answer in answers]
    size = len(header) + sum(source.size for source in sources)
    handle = upload_handle(upload_id, token, parts)
    return StagedObject(key=key, size=size, sha256=None, handle=handle)


@contextmanager
def _uploading(
    bucket: Bucket, key: str, content_type: str, threads: Threads
) -> Generator[tuple[str, str]]:
    """Begin an upload, yield its id and its token, and abort it if the block fails.

    The threads end with the block: no part may arrive after the abort.
    """
    token = uuid.uuid4().hex
    upload_id = bucket.begin_upload(key, token, content_type)
    try:
        try:
            yield upload_id, token
        finally:
            threads.stop()
            threads.close(cancel=True)
    except BaseException:
        # If the abort fails too, the bucket's lifecycle rule removes the upload later.
        with suppress(CohortS3Error):
            bucket.abort(key, upload_id)
        raise
