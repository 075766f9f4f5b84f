"""A storage that fails at a chosen call, to test a program with a failure at each of its calls.

Count the calls of a run, then repeat the run once for each of them::

    counting = Fault()
    work(FaultyStorage(MemoryStorage(), counting))
    for call in range(len(counting.calls)):
        store = MemoryStorage()
        with suppress(Death):
            work(FaultyStorage(store, Fault(at=call, when="after")))
        ...  # check the contents of the store
"""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Literal, TypeVar, cast

from attrs import define, field

from ..errors import MissingCapabilityError, UnknownOutcomeError
from ..storage import (
    ObjectInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsDelete,
    SupportsReplace,
    SupportsStageFile,
)

T = TypeVar("T")

When = Literal["before", "midway", "after", "cut short", "flipped"]
"""The moment at which a call fails: before or after it reaches the store, or midway, after half
of the bytes are stored or read. With ``"cut short"`` and ``"flipped"``, the call does not fail,
but ``open`` returns half of the bytes, or all bytes with one bit changed."""


class Death(BaseException):
    """A simulated death of the process, which ``except Exception`` does not catch."""


def unknown_outcome(key: str) -> UnknownOutcomeError:
    """Return the error of a write whose response was lost, for ``Fault.error``."""
    return UnknownOutcomeError(key, "the response was lost")


@define(kw_only=True, eq=False)
class Fault:
    """The call that fails, and the calls so far. All storages of a run can share one fault.

    Attributes:
        at: The number of the call that fails, from 0; with None, no call fails.
        when: The moment at which the call fails.
        error: A function that makes the exception from the key (or prefix) of the call.
        forever: True if every later call fails too, before it reaches the store. True simulates
            the death of the process, after which ``finally`` blocks and context managers have no
            effect. False simulates a failure that the process survives.
        calls: The names of the calls so far.
    """

    at: int | None = None
    when: When = "before"
    error: Callable[[str], BaseException] = Death
    forever: bool = True
    calls: list[str] = field(factory=list[str], init=False)
    _lock: Lock = field(factory=Lock, init=False, repr=False)

    @property
    def happened(self) -> bool:
        """True if the call that fails was made."""
        return self.at is not None and len(self.calls) > self.at

    def begin(self, name: str, key: str) -> When | None:
        """Count a call. Raise if it fails now, else return the moment at which it will, or None."""
        with self._lock:
            number = len(self.calls)
            self.calls.append(name)
        if self.at is None or number < self.at or (number > self.at and not self.forever):
            return None
        if number > self.at or self.when == "before":
            raise self.error(key)
        return self.when

    def end(self, when: When | None, key: str) -> None:
        """Raise if the call fails now."""
        if when in ("midway", "after"):
            raise self.error(key)


class FaultyStorage:
    """A storage that forwards calls to another storage, and fails at a chosen call.

    Args:
        inner: The other storage.
        fault: The call that fails.

    >>> from amplitude_cohort_s3 import MemoryStorage
    >>> store = MemoryStorage()
    >>> faulty = FaultyStorage(store, Fault(at=0, when="after", error=unknown_outcome))
    >>> try:
    ...     faulty.create("a", b"")
    ... except UnknownOutcomeError:
    ...     [info.key for info in store.list_objects()]
    ['a']
    """

    def __init__(self, inner: Storage, fault: Fault) -> None:
        self.inner = inner
        self.fault = fault

    def __repr__(self) -> str:
        return f"FaultyStorage({self.inner!r}, {self.fault!r})"

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        """See ``Storage``. The listing is eager: a caller may not read a lazy one to its end."""
        return self._call(
            "list_objects",
            prefix,
            lambda: iter([*self.inner.list_objects(prefix, start_after=start_after)]),
        )

    def open(self, key: str, /) -> BinaryIO:
        """See ``Storage``. With ``"midway"``, it fails while the stream is read."""
        when = self.fault.begin("open", key)
        stream = self.inner.open(key)
        if when is None:
            return stream
        with stream:
            data = stream.read()
        if when == "midway":
            return cast("BinaryIO", _Breaking(data[: len(data) // 2], self.fault.error(key)))
        self.fault.end(when, key)
        middle = len(data) // 2
        rest = b""
        if when == "flipped" and data:
            rest = bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return io.BytesIO(data[:middle] + rest)

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        """See ``Storage``."""
        return self._call("create", key, lambda: self.inner.create(key, data))

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        """See ``Storage``. With ``"midway"``, it stages half of the bytes."""
        when = self.fault.begin("stage", key)
        if when == "midway":
            data = b"".join(chunks)
            chunks = [data[: len(data) // 2]]
        staged = self.inner.stage(key, chunks, content_type=content_type)
        self.fault.end(when, key)
        return staged

    def inspect(self, staged: StagedObject, /) -> StagedState:
        """See ``Storage``."""
        return self._call("inspect", staged.key, lambda: self.inner.inspect(staged))

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        """See ``Storage``."""
        return self._call("publish", staged.key, lambda: self.inner.publish(staged))

    def discard(self, staged: StagedObject, /) -> None:
        """See ``Storage``."""
        self._call("discard", staged.key, lambda: self.inner.discard(staged))

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        """See ``SupportsReplace``."""
        inner = self.inner
        if not isinstance(inner, SupportsReplace):
            raise MissingCapabilityError(type(inner).__name__, "replace", "a test")
        return self._call("replace", staged.key, lambda: inner.replace(staged))

    def delete(self, key: str, /) -> None:
        """See ``SupportsDelete``."""
        inner = self.inner
        if not isinstance(inner, SupportsDelete):
            raise MissingCapabilityError(type(inner).__name__, "delete", "a test")
        self._call("delete", key, lambda: inner.delete(key))

    def _call(self, name: str, key: str, act: Callable[[], T]) -> T:
        when = self.fault.begin(name, key)
        result = act()
        self.fault.end(when, key)
        return result


class FaultyFileStorage(FaultyStorage):
    """A faulty storage that forwards calls to one with ``SupportsStageFile``.

    Args:
        inner: The other storage.
        fault: The call that fails.
    """

    def __init__(self, inner: Storage, fault: Fault) -> None:
        super().__init__(inner, fault)
        self._files = cast("SupportsStageFile", inner)

    def work_folder(self, key: str, /) -> AbstractContextManager[Path]:
        """See ``SupportsStageFile``. It never fails, because a sync does not depend on it."""
        return self._files.work_folder(key)

    def stage_file(
        self,
        key: str,
        path: str | PathLike[str],
        /,
        *,
        sha256: str,
        content_type: str = "text/csv",
    ) -> StagedObject:
        """See ``SupportsStageFile``. With ``"midway"``, it stages half of the bytes."""
        when = self.fault.begin("stage_file", key)
        if when == "midway":
            data = Path(path).read_bytes()
            staged = self.inner.stage(key, [data[: len(data) // 2]], content_type=content_type)
        else:
            staged = self._files.stage_file(key, path, sha256=sha256, content_type=content_type)
        self.fault.end(when, key)
        return staged


def with_fault(inner: Storage, fault: Fault) -> FaultyStorage:
    """Return a faulty storage that supports ``stage_file`` if the inner one does."""
    kind = FaultyFileStorage if isinstance(inner, SupportsStageFile) else FaultyStorage
    return kind(inner, fault)


class _Breaking(io.RawIOBase):
    """A stream that raises an error at its end, however it is read."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        self._data = io.BytesIO(data)
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._data.readinto(buffer)
        if not count and len(buffer):
            raise self._error
        return count
