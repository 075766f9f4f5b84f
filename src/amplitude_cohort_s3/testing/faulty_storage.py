"""A Storage that fails at a chosen call: the tool for proofs by exhaustion.

Count the calls of a run, then repeat the run once for each of them::

    counting = Fault()
    work(FaultyStorage(MemoryStorage(), counting))
    for call in range(len(counting.calls)):
        store = MemoryStorage()
        with suppress(Death):
            work(FaultyStorage(store, Fault(at=call, when="after")))
        ...  # look at what is in the store now
"""

import io
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import BinaryIO, Literal, TypeVar

from attrs import define, field

from ..errors import MissingCapabilityError, UnknownOutcomeError
from ..storage import (
    ObjectInfo,
    StagedObject,
    StagedState,
    Storage,
    SupportsDelete,
    SupportsReplace,
)

T = TypeVar("T")

When = Literal["before", "midway", "after", "cut short", "flipped"]
"""Where a call fails. ``"midway"`` stores or reads half of the bytes first. ``"cut short"``
and ``"flipped"`` do not fail: they are lies of ``open``, which then gives half of the
bytes, or all of them with one bit changed."""


class Death(BaseException):
    """The process died here: no ``except Exception`` sees it, as none would run."""


def unknown_outcome(key: str) -> UnknownOutcomeError:
    """The error of a write whose answer was lost: for ``Fault.error``."""
    return UnknownOutcomeError(key, "the answer was lost")


@define(kw_only=True, eq=False)
class Fault:
    """When to fail, and what was called: one for all storages of a run, which share its count.

    Attributes:
        at: The call that fails, counted from 0; None only counts.
        when: Before the call reaches the store, after it, or in between.
        error: Makes the exception of the key (or prefix) of the call.
        forever: Whether every call from then on fails too, before it reaches the store.
            A dead process is like that: its ``finally`` blocks and context managers do
            nothing. A failure that the process survives is not.
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
        """Whether the call came that was to fail."""
        return self.at is not None and len(self.calls) > self.at

    def begin(self, name: str, key: str) -> When | None:
        """Counts a call, and fails it if it is to fail before; else says how it will."""
        with self._lock:
            number = len(self.calls)
            self.calls.append(name)
        if self.at is None or number < self.at or (number > self.at and not self.forever):
            return None
        if number > self.at or self.when == "before":
            raise self.error(key)
        return self.when

    def end(self, when: When | None, key: str) -> None:
        """Fails the call, unless it only lies."""
        if when in ("midway", "after"):
            raise self.error(key)


class FaultyStorage:
    """A Storage around another one, which it lets fail.

    Args:
        inner: Where the calls go.
        fault: Which of them fails, and how.

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
        """See ``Storage``; it lists at once, as a lazy listing might never get to its end."""

        def listed() -> list[ObjectInfo]:
            return list(self.inner.list_objects(prefix, start_after=start_after))

        return iter(self._call("list_objects", prefix, listed))

    def open(self, key: str, /) -> BinaryIO:
        """See ``Storage``; ``"midway"`` fails while the stream is read."""
        when = self.fault.begin("open", key)
        stream = self.inner.open(key)
        if when is None:
            return stream
        with stream:
            data = stream.read()
        if when == "midway":
            return _Breaking(data[: len(data) // 2], self.fault.error(key))
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
        """See ``Storage``; ``"midway"`` leaves half of the bytes staged, as a dead process may."""
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


class _Breaking(io.BytesIO):
    """A stream that breaks where it should end."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data or size is None or size < 0:
            raise self._error
        return data
