"""A Storage as someone else would write it from the documentation: files in a dict of folders.

It inherits from nothing of the library. Type checkers prove here that it fits the
protocol; `tests/storage/test_storage_contract.py` runs the contract against it.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from threading import RLock
from typing import BinaryIO

from amplitude_cohort_s3 import ObjectInfo, Storage
from amplitude_cohort_s3.errors import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StagedGoneError,
)
from amplitude_cohort_s3.storage import (
    StagedObject,
    StagedState,
    SupportsCompose,
    SupportsDelete,
    SupportsReplace,
    check_key,
)


class DictStorage:
    """Objects and their tickets in two dictionaries."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._tickets: dict[str, bytes] = {}
        self._count = 0
        self._lock = RLock()

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        with self._lock:
            found = [self._info(key) for key in self._objects if key.startswith(prefix)]
        found.sort(key=lambda info: info.key.encode())
        after = b"" if start_after is None else start_after.encode()
        return (info for info in found if info.key.encode() > after)

    def open(self, key: str, /) -> BinaryIO:
        with self._lock:
            try:
                return io.BytesIO(self._objects[key][0])
            except KeyError:
                raise ObjectNotFoundError(key) from None

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        with self._lock:
            there, _ = self._objects.setdefault(check_key(key), (data, ""))
            if there != data:
                raise ObjectExistsError(key)
            return self._info(key)

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        check_key(key)
        data = b"".join(chunks)
        with self._lock:
            self._count += 1
            ticket = f"{self._count}"
            self._tickets[ticket] = data
        digest = hashlib.sha256(data).hexdigest()
        return StagedObject(key=key, size=len(data), sha256=digest, handle={"ticket": ticket})

    def inspect(self, staged: StagedObject, /) -> StagedState:
        ticket = staged.handle["ticket"]
        with self._lock:
            if staged.key in self._objects:
                ours = self._objects[staged.key][1] == ticket
                return StagedState.PUBLISHED if ours else StagedState.TAKEN
            return StagedState.STAGED if ticket in self._tickets else StagedState.GONE

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        ticket = staged.handle["ticket"]
        with self._lock:
            match self.inspect(staged):
                case StagedState.TAKEN:
                    raise ObjectExistsError(staged.key)
                case StagedState.GONE:
                    raise StagedGoneError(staged.key)
                case StagedState.STAGED:
                    self._objects[staged.key] = (self._tickets.pop(ticket), ticket)
                case StagedState.PUBLISHED:
                    pass
            return self._info(staged.key)

    def discard(self, staged: StagedObject, /) -> None:
        with self._lock:
            self._tickets.pop(staged.handle["ticket"], None)

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        ticket = staged.handle["ticket"]
        with self._lock:
            if ticket in self._tickets:
                self._objects[staged.key] = (self._tickets.pop(ticket), ticket)
            if staged.key not in self._objects or self._objects[staged.key][1] != ticket:
                raise StagedGoneError(staged.key)
            return self._info(staged.key)

    def delete(self, key: str, /) -> None:
        with self._lock:
            self._objects.pop(key, None)

    max_object_bytes = 1 << 40

    def compose(
        self,
        key: str,
        parts: Sequence[ObjectInfo],
        /,
        *,
        header: bytes = b"",
        content_type: str = "text/csv",
    ) -> StagedObject:
        data = header
        for part in parts:
            with self.open(part.key) as stream:
                found = stream.read()
            if len(found) != part.size:
                raise ObjectChangedError(part.key)
            data += found
        return self.stage(key, [data], content_type=content_type)

    def _info(self, key: str) -> ObjectInfo:
        return ObjectInfo(key=key, size=len(self._objects[key][0]), url=f"dict:{key}")


STORAGE: Storage = DictStorage()
DELETES: SupportsDelete = DictStorage()
COMPOSES: SupportsCompose = DictStorage()
REPLACES: SupportsReplace = DictStorage()
