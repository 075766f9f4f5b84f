"""What a Storage promises; ``testing.StorageContract`` checks each word of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, BinaryIO, Protocol, Self, runtime_checkable

from attrs import asdict, frozen

from ..errors import ForeignHandleError


@frozen(kw_only=True)
class ObjectInfo:
    """A visible object: what a listing can honestly say about it.

    Attributes:
        key: The whole key, from the root of the storage.
        size: Bytes as stored.
        url: Where other tools (pandas, DuckDB) open it: ``s3://…``, ``file://…``.
        last_modified: When it became visible by the store's clock, if the store says so.
    """

    key: str
    size: int
    url: str
    last_modified: datetime | None = None


@frozen(kw_only=True)
class StagedObject:
    """A stored object that nobody can see yet: the handle to publish or discard it.

    The handle is all that another process needs, after any crash; so it is JSON.
    Law: ``StagedObject.from_json(staged.to_json()) == staged``.

    Attributes:
        key: The key under which it will become visible.
        size: Bytes as stored.
        sha256: Of the bytes as stored, in hex; None where the store composed them and
            no process has seen them all.
        handle: What the backend needs to find it again. No secrets: records hold it.
    """

    key: str
    size: int
    sha256: str | None
    handle: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The handle as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            TypeError: The fields are not those of a handle.
        """
        return cls(**value)

    def detail(self, name: str) -> str:
        """One entry of the handle.

        Raises:
            ForeignHandleError: It has none of this name: another kind of storage made it.
        """
        if name not in self.handle:
            raise ForeignHandleError(self.key, name)
        return self.handle[name]


class StagedState(Enum):
    """What became of a staged object.

    ``PUBLISHED`` and ``GONE`` are final: no later answer says that it could be
    published still. Only a stranger's object can turn ``GONE`` into ``TAKEN``.
    """

    STAGED = "staged"
    """Stored and invisible; it can be published or discarded. Whether its key is still
    free is only settled by ``publish``: a store that would have to be asked twice says
    ``STAGED`` as long as it can be discarded, one that sees both says ``TAKEN``."""
    PUBLISHED = "published"
    """Visible under its key. (Where a store keeps no token beside its objects, another
    object of equal bytes may count as this one: no reader could tell them apart.)"""
    GONE = "gone"
    """It can never be published, and no object is under its key."""
    TAKEN = "taken"
    """Another object is under its key, whatever became of this one."""


@runtime_checkable
class Storage(Protocol):
    """A whole bucket or root folder of immutable objects.

    Seven verbs, and none that overwrites. Every method may be called from any
    thread and any process. Keys are relative paths: see ``check_key``.
    Where the store refuses access or fails, the backend's own error comes out
    (a ``PermissionError`` or another ``OSError``); it never reads as "not there".
    Where a write may have happened although its answer was lost, the error is
    ``UnknownOutcomeError``, unless asking the store settles it.
    """

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        """Every visible object whose key starts with ``prefix``.

        ``prefix`` is a string and not a folder: ``a/b`` also finds ``a/bc``.
        Keys come in the order of their UTF-8 bytes, only those greater than
        ``start_after``. Lazy: the first key of a million costs one request.
        An object that was visible before the call is listed. What a backend keeps
        for itself (a folder for staged files, a probe) is not.
        """
        ...

    def open(self, key: str, /) -> BinaryIO:
        """A stream over the bytes of the object, from its start; the caller closes it.

        Raises:
            ObjectNotFoundError: No object is visible under the key.
        """
        ...

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        """Makes a small object visible, whole and at once, if its key is free.

        Of any number of racing creators one wins. The same bytes already there
        are a success, so that a creator may try again.

        Raises:
            ObjectExistsError: Other bytes are under the key.
            UnknownOutcomeError: It may have been written.
        """
        ...

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        """Stores an object of any size, zero bytes too, that no listing and no ``open`` shows.

        The storage pulls the chunks. When they raise, or anything else does,
        nothing stays behind but what the store itself cleans up. That another
        object is under the key already does not matter until it is published.
        """
        ...

    def inspect(self, staged: StagedObject, /) -> StagedState:
        """What became of a staged object, asked of the store and never remembered."""
        ...

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        """Makes a staged object visible, whole and at once, if its key is free.

        Idempotent, from any process: publishing what is published succeeds.

        Raises:
            StagedGoneError: It was discarded.
            ObjectExistsError: Another object is under the key; the staged one stays.
            UnknownOutcomeError: It may have been published.
        """
        ...

    def discard(self, staged: StagedObject, /) -> None:
        """Revokes a staged object: once this returns, no ``publish`` by anyone can succeed.

        Idempotent. What is published already stays published.
        """
        ...


@runtime_checkable
class SupportsDelete(Protocol):
    """An optional power, needed only to forget people and to prune old syncs."""

    def delete(self, key: str, /) -> None:
        """Removes a visible object; that it is not there is a success."""
        ...


@runtime_checkable
class SupportsCompose(Protocol):
    """An optional power: one object out of many, put together where they are stored.

    It is what engines of many machines lack, which write a file as many parts.
    """

    @property
    def max_object_bytes(self) -> int:
        """The size of the largest object that the store takes."""
        ...

    def compose(
        self,
        key: str,
        parts: Sequence[ObjectInfo],
        /,
        *,
        header: bytes = b"",
        content_type: str = "text/csv",
    ) -> StagedObject:
        """Stages an object that consists of a header and the bytes of visible objects.

        It is staged like any other: ``inspect``, ``publish`` and ``discard`` take its
        handle. The parts stay as they are, and may be deleted once this returns.

        Args:
            key: The key under which it will become visible.
            parts: The objects in order, with the sizes that they had when they were
                written or listed; none at all is possible.
            header: What goes in front of them.
            content_type: As for ``stage``.

        Raises:
            ObjectNotFoundError: A part is not visible.
            ObjectChangedError: A part has another size than it had, or is replaced
                meanwhile.
            ObjectTooLargeError: Together they are larger than the store takes. It shows
                before anything is written.
            TooManyPartsError: The store can't put so many together; as early.
        """
        ...


@runtime_checkable
class SupportsReplace(Protocol):
    """An optional power, needed only to forget people: the one write that overwrites."""

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        """Makes a staged object visible, whole and at once, in place of what is there.

        There is no moment at which its key is free, and readers see the old bytes or
        the new. Idempotent, from any process: what is published already stays as it is.

        Raises:
            StagedGoneError: It was discarded.
            UnknownOutcomeError: It may have been published.
        """
        ...
