"""The capability to compose, for storages from which this process can read at a low cost."""

import sys
from collections.abc import Iterator, Sequence

from .._bytes import read_chunks
from ..errors import ObjectChangedError
from .protocol import ObjectInfo, StagedObject, Storage


class ComposeByReading:
    """A mix-in that adds ``SupportsCompose`` to a storage by reading and staging the parts."""

    @property
    def max_object_bytes(self) -> int:
        # The file system or the memory has its own limit, and raises an error if it is reached.
        return sys.maxsize

    def compose(
        self: Storage,
        key: str,
        parts: Sequence[ObjectInfo],
        /,
        *,
        header: bytes = b"",
        content_type: str = "text/csv",
    ) -> StagedObject:
        return self.stage(key, _concatenate(self, parts, header), content_type=content_type)


def _concatenate(storage: Storage, parts: Sequence[ObjectInfo], header: bytes) -> Iterator[bytes]:
    yield header
    for part in parts:
        size = 0
        for chunk in read_chunks(storage.open(part.key)):
            size += len(chunk)
            yield chunk
        if size != part.size:
            raise ObjectChangedError(part.key)
