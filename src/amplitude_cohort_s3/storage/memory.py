"""A storage in memory: the reference implementation, and a template for your own.

Copy it, replace the two dictionaries with your store, and test the result with
``amplitude_cohort_s3.testing.storage_contract.StorageContract``.
"""

import hashlib
import io
import threading
import uuid
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NoReturn

from ..errors import ArgumentTypeError, ObjectExistsError, ObjectNotFoundError, StagedGoneError
from ._compose import ComposeByReading
from .keys import check_key
from .protocol import ObjectInfo, StagedObject, StagedState


class MemoryStorage(ComposeByReading):
    r"""A storage in the memory of this process, for tests, previews and examples.

    >>> storage = MemoryStorage()
    >>> staged = storage.stage("a/b.csv", [b"amplitudeID\n"])
    >>> list(storage.list_objects())
    []
    >>> storage.publish(staged).size
    12
    """

    def __init__(self) -> None:
        # The bytes of each visible object, and the token of the staged object that it was, if
        # any.
        self._visible: dict[str, tuple[bytes, str | None]] = {}
        self._staged: dict[str, bytes] = {}
        # The lock makes each method atomic. A real store has other means, such as conditional
        # writes.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MemoryStorage(<{len(self._visible)} objects>)"

    def __reduce__(self) -> NoReturn:
        hint = "its objects are in the memory of one process; use LocalStorage to share them"
        raise ArgumentTypeError("a storage that is pickled or copied", "MemoryStorage", hint)

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        with self._lock:
            found = [
                _info(k, data) for k, (data, _) in self._visible.items() if k.startswith(prefix)
            ]
        for info in sorted(found, key=lambda info: info.key.encode()):
            if start_after is None or info.key.encode() > start_after.encode():
                yield info

    def open(self, key: str, /) -> BinaryIO:
        with self._lock:
            if key not in self._visible:
                raise ObjectNotFoundError(key)
            return io.BytesIO(self._visible[key][0])

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        check_key(key)
        with self._lock:
            there, _ = self._visible.setdefault(key, (bytes(data), None))
        if there != data:
            raise ObjectExistsError(key)
        return _info(key, there)

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        check_key(key)
        data = b"".join(chunks)
        token = uuid.uuid4().hex
        with self._lock:
            self._staged[token] = data
        return StagedObject(
            key=key,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            handle={"token": token},
        )

    def inspect(self, staged: StagedObject, /) -> StagedState:
        token = staged.detail("token")
        with self._lock:
            if staged.key in self._visible:
                ours = self._visible[staged.key][1] == token
                return StagedState.PUBLISHED if ours else StagedState.TAKEN
            return StagedState.STAGED if token in self._staged else StagedState.GONE

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        token = staged.detail("token")
        with self._lock:
            if token in self._staged:
                self._visible.setdefault(staged.key, (self._staged[token], token))
            if staged.key not in self._visible:
                raise StagedGoneError(staged.key)
            data, published = self._visible[staged.key]
            if published != token:
                raise ObjectExistsError(staged.key)
            self._staged.pop(token, None)
        return _info(staged.key, data)

    def discard(self, staged: StagedObject, /) -> None:
        with self._lock:
            self._staged.pop(staged.detail("token"), None)

    # --- Optional capabilities --------------------------------------------------------

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        token = staged.detail("token")
        with self._lock:
            if token in self._staged:
                self._visible[staged.key] = self._staged.pop(token), token
            data, published = self._visible.get(staged.key, (b"", None))
        if published != token:
            raise StagedGoneError(staged.key)
        return _info(staged.key, data)

    def delete(self, key: str, /) -> None:
        with self._lock:
            self._visible.pop(key, None)


def _info(key: str, data: bytes) -> ObjectInfo:
    return ObjectInfo(key=key, size=len(data), url=f"memory:///{key}")
