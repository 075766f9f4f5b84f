"""The rules by which each write to S3 happens once, although responses get lost.

A write is one HTTP request, and its response can get lost: the connection breaks, or a proxy
answers 503 after S3 has carried the request out. Then nobody knows if the object exists.
Repeating the request does not show it either. ``412 PreconditionFailed`` means that the key is
taken, but perhaps by our own first request, and botocore repeats requests by itself without
any sign. So a failure alone proves nothing, and each write follows these steps
(``_write_once``):

1. **Write**, with the condition ``If-None-Match: *`` ("only if the key is free"). If S3
   reports a success, the write is done. If it plainly refuses the first and only request
   (403, for example), nothing was written, and the error is raised. The same holds for any
   request if S3 refuses the object itself (``InvalidPart``).
2. **Look** what is under the key, after any other failure. If it is our object, the write is
   done. If it is another one, raise ``ObjectExistsError``.
3. **Wait and begin again** if nothing is there: the request may still be on its way.
   Repeating it is safe, because of the condition and because an upload can be completed
   only once. The waits double, and add up to the settling time.
4. **Give up** with ``UnknownOutcomeError`` if looking fails, or if nothing has appeared
   within the settling time. The caller leaves everything as it is, and the next sync looks
   again.

An object is ours if it has our bytes (``create``), or if its metadata contains the token that
``stage`` put into the upload (``publish``, ``replace``). An upload ends when its object
appears. So the storage looks for the upload first, and for the object only after the upload
was found to have ended: in the other order, it could see neither if the object was published
in between. An upload that has ended without an object was discarded. But some stores show a
new object late, so it counts as gone only if the object stays absent for the settling time.

Some stores ignore the condition: Ceph before version 18 does for uploads, and others are used
only if the caller accepts it. With them the storage looks before the first step. This protects
objects that were written earlier, but not those of writers at the same time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from attrs import frozen

from ...errors import (
    CohortS3Error,
    InvalidResponseError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StagedGoneError,
    StoreUnavailableError,
    UnknownOutcomeError,
)
from ..protocol import StagedObject, StagedState
from ._bucket import Bucket
from .errors import (
    UPLOAD_ENDED,
    BotoError,
    NotS3ResponseError,
    error_code,
    is_object_refused,
    is_refusal,
    translate,
)

# The failures of a conditional write after which the key may have our object or another one.
# 409 ConditionalRequestConflict means that another request interfered.
_CONTESTED = {"PreconditionFailed", "ConditionalRequestConflict", *UPLOAD_ENDED}


@frozen
class WriteOnce:
    """The writes to one bucket, each with a certain outcome or ``UnknownOutcomeError``.

    Attributes:
        bucket: The requests to the bucket.
        settling_time: The seconds for which an object must stay absent before it counts as
            gone, and for which a contested write is tried again.
    """

    bucket: Bucket
    settling_time: float

    def create(self, key: str, data: bytes, *, conditional: bool) -> None:
        """Put an object whose key is free."""
        self._write_once(
            key,
            write=lambda: self.bucket.put(key, data, conditional=conditional),
            look=lambda: self._has_bytes(key, data),
            look_first=None if conditional else lambda: self._has_bytes(key, data),
        )

    def publish(self, staged: StagedObject, *, conditional: bool) -> None:
        """Complete the upload of an object whose key is free."""
        self._write_once(
            staged.key,
            write=lambda: self.bucket.complete(staged, conditional=conditional),
            look=lambda: self._is_published_or_pending(staged),
            look_first=None if conditional else lambda: self.bucket.is_published(staged),
        )

    def replace(self, staged: StagedObject) -> None:
        """Complete the upload of an object, whatever is under its key."""
        self._write_once(
            staged.key,
            write=lambda: self.bucket.complete(staged, conditional=False),
            look=lambda: self._has_replaced_or_pending(staged),
        )
        # Some stores report success if an upload is completed a second time, although its
        # object has been replaced since.
        if not self.bucket.is_published(staged):
            raise StagedGoneError(staged.key)

    def discard(self, staged: StagedObject) -> None:
        """Abort an upload until the store confirms that it has ended.

        A part that arrives at the same time can survive one abort:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
        """
        for pause in self.pauses():
            refusal: CohortS3Error | None = None
            try:
                if not self.bucket.abort(staged.key, staged.detail("upload_id")):
                    return
            except (StoreUnavailableError, InvalidResponseError):
                pass  # The abort may have happened.
            except CohortS3Error as error:
                refusal = error
            try:
                if not self.bucket.is_staged(staged):
                    return
            except CohortS3Error as error:
                raise refusal or UnknownOutcomeError(staged.key, _name(error)) from error
            if refusal is not None:
                raise refusal
            time.sleep(pause)
        raise UnknownOutcomeError(staged.key, "its upload does not end though it was aborted")

    def inspect(self, staged: StagedObject) -> StagedState:
        """Return the state of a staged object."""
        if self.bucket.is_staged(staged):
            return StagedState.STAGED
        published = self._is_published_finally(staged)
        if published is None:
            return StagedState.GONE
        return StagedState.PUBLISHED if published else StagedState.TAKEN

    def pauses(self) -> Iterator[float]:
        """Yield six pauses in seconds, which double and add up to the settling time."""
        return (self.settling_time * 2**n / 63 for n in range(6))

    def _write_once(
        self,
        key: str,
        *,
        write: Callable[[], None],
        look: Callable[[], bool | None],
        look_first: Callable[[], bool | None] | None = None,
    ) -> None:
        """Carry out a write by the rules of this module.

        A look returns whether the object under the key is ours, or None if there is none and
        the write may be repeated.
        """
        if look_first is not None:
            ours = look_first()
            if ours:
                return
            if ours is not None:
                raise ObjectExistsError(key)
        failure: Exception | None = None
        for pause in self.pauses():
            try:
                write()
            except BotoError as error:
                contested = error_code(error) in _CONTESTED
                # An earlier request may still arrive, although this one was refused; but it
                # is refused too if the reason is the object.
                first = failure is None and not contested
                if is_object_refused(error) or (first and is_refusal(error)):
                    raise translate(error, self.bucket.name, key) from error
                failure = error
            else:
                return
            try:
                ours = look()
            except StagedGoneError:
                raise
            except (CohortS3Error, OSError) as error:
                raise UnknownOutcomeError(key, f"{_name(failure)}, then {_name(error)}") from error
            if ours:
                return
            if ours is not None:
                raise ObjectExistsError(key) from failure
            time.sleep(pause)
        raise UnknownOutcomeError(key, _name(failure)) from failure

    def _has_bytes(self, key: str, data: bytes) -> bool | None:
        """Return whether the object under the key has these bytes; None if there is none."""

        def read() -> bytes:
            with self.bucket.open(key) as stream:
                return stream.read(len(data) + 1)

        try:
            with suppress(ObjectChangedError):
                if read() == data:
                    return True
            # Read again before blaming another writer: a bit may have flipped on the way.
            return read() == data
        except ObjectNotFoundError:
            return None

    def _is_published_finally(self, staged: StagedObject) -> bool | None:
        """Return the result of ``is_published``, but None only if the absence lasts."""
        for pause in self.pauses():
            published = self.bucket.is_published(staged)
            if published is not None:
                return published
            time.sleep(pause)
        return self.bucket.is_published(staged)

    def _is_published_or_pending(self, staged: StagedObject) -> bool | None:
        """Return the result of ``is_published``, but None only if the upload can be completed."""
        published = self.bucket.is_published(staged)
        if published is None and not self.bucket.is_staged(staged):
            published = self._is_published_finally(staged)
            if published is None:
                raise StagedGoneError(staged.key)
        return published

    def _has_replaced_or_pending(self, staged: StagedObject) -> bool | None:
        """Return True if the object is published, and None if its upload can be completed."""
        if self.bucket.is_published(staged):
            return True
        if self.bucket.is_staged(staged):
            return None
        if self._is_published_finally(staged):
            return True
        raise StagedGoneError(staged.key)


def _name(error: BaseException | None) -> str:
    if isinstance(error, NotS3ResponseError | InvalidResponseError):
        return f"the response to {error.operation} is not one of S3"
    return error_code(error) or type(error).__name__ if error else "never tried"
