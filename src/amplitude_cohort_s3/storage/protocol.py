"""The interface of a storage. ``testing.storage_contract`` tests it sentence by sentence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, BinaryIO, Protocol, Self, runtime_checkable

from attrs import asdict, frozen

from ..errors import UnsuitableStorageError


@frozen(kw_only=True)
class ObjectInfo:
    """The description of a visible object.

    Attributes:
        key: The whole key, from the root of the storage.
        size: The number of bytes as stored.
        url: The address for other tools (pandas, DuckDB) and for ``MemberFile``: ``s3://…``,
            ``file://…``. The key is not percent-encoded, because DuckDB does not decode ``%3A``.
        last_modified: The time at which the object became visible, by the store's clock; None if
            the store does not report it.
    """

    key: str
    size: int
    url: str
    last_modified: datetime | None = None


@frozen(kw_only=True)
class StagedObject:
    """A stored object that is not visible yet, with all that is needed to publish or discard it.

    It can be written as JSON, and after a crash another process can publish or discard the object
    with this JSON alone. Law: ``StagedObject.from_json(staged.to_json()) == staged``.

    Attributes:
        key: The key under which the object will become visible.
        size: The number of bytes as stored.
        sha256: The SHA-256 of the bytes as stored, in hex. None if the store composed the
            object itself, so that no process has read all of it.
        handle: The values with which the storage finds the staged bytes again. They are written
            to the log, so they must not contain secrets.
    """

    key: str
    size: int
    sha256: str | None
    handle: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the staged object that :meth:`to_json` described.

        Raises:
            TypeError: The fields are not those of a staged object.
        """
        return cls(**value)

    def detail(self, name: str) -> str:
        """Return one entry of the handle.

        Raises:
            UnsuitableStorageError: The handle does not have this entry, because another kind of
                storage made it.
        """
        if name not in self.handle:
            raise UnsuitableStorageError(
                f"the handle of the staged object for {self.key!r}",
                f"the entry {name!r}",
                "Finish the sync with the kind of storage that it was begun with",
            )
        return self.handle[name]


@frozen(kw_only=True)
class StagedInfo:
    """A staged object that the storage found without a record.

    Attributes:
        staged: The key and the handle, as an argument for ``discard``. The size is 0 if the
            storage does not know it, and the digest is None.
        begun: The time at which the object was staged, by the storage's clock.
    """

    staged: StagedObject
    begun: datetime

    def is_same(self, named: StagedObject) -> bool:
        """Return whether these are the staged bytes that a record names."""
        handle = self.staged.handle
        return self.staged.key == named.key and handle.items() <= named.handle.items()


class StagedState(Enum):
    """The state of a staged object.

    ``PUBLISHED`` and ``GONE`` are final: after either, the object never becomes publishable
    again. ``GONE`` changes to ``TAKEN`` if another object is then written under the key.
    """

    STAGED = "staged"
    """The object is stored and invisible, and can be discarded. It can be published if its key is
    still free. If another object is visible under the key, a storage may return ``STAGED`` or
    ``TAKEN``, because checking the key too may cost a second request."""
    PUBLISHED = "published"
    """The object is visible under its key. A store that can't keep a token with each object may
    report an equal object of another writer as this one, because readers see no difference."""
    GONE = "gone"
    """The object can never be published, and its key is free."""
    TAKEN = "taken"
    """Another object is visible under the key."""


@runtime_checkable
class Storage(Protocol):
    """A store of immutable objects: a whole bucket, or a root folder.

    To use a store of your own, write a class with these seven methods. It need not inherit
    from anything; :class:`~amplitude_cohort_s3.MemoryStorage` is a template to copy, and
    :class:`~amplitude_cohort_s3.testing.storage_contract.StorageContract` tests the result.

    **How a sync uses it.** A sync must make three files visible together, although no store
    writes three objects at once, and the process may die at any moment. Therefore it first
    *stages* the files: their bytes are stored, but not visible. Then it *creates* a small record
    in the log, which names the staged files. Then it *publishes* the files one by one. If the
    process dies before the record is written, nothing visible has changed. If it dies later, any
    other process finds the record, *inspects* the staged files, and publishes or *discards* all
    three.

    **States of an object**::

        stage()  ───►  STAGED  ── publish() ──►  PUBLISHED    visible and final
                         │
                         └────── discard() ──►  GONE          never visible

    **Rules for every method.**

    - It may be called by any thread of any process, even for an object that another process
      staged. Each call reads the present state of the store; nothing is cached.
    - A visible object never changes. Only the optional ``replace`` and ``delete`` of
      :class:`SupportsReplace` and :class:`SupportsDelete` change or remove it.
    - A write is atomic: readers see the whole object or nothing. It is also conditional: of
      several writers of different objects under one key, exactly one succeeds.
    - A change is visible to all readers as soon as the method returns.
    - Keys are relative paths with ``/`` (see :func:`~amplitude_cohort_s3.storage.check_key`). A
      method with a key as its argument raises ``InvalidKeyError`` for an unusable key before it
      writes anything.
    - Report that an object does not exist only if the store responded so. If the store refuses
      access or fails, raise ``PermissionError`` or another ``OSError``.
    - A store may refuse an *object* from every caller, because its name, its size or its parts
      break a rule of the store. Raise ``ObjectRefusedError``, in ``stage`` if possible: the sync
      then becomes void. Never raise it if the store refuses the *caller* (access, expired
      credentials, a key): another process may still be able to publish.
    - If the response to a write is lost, the write may have happened. Read from the store whether
      it has; if that is impossible too, raise ``UnknownOutcomeError``. The caller then leaves
      everything as it is, and the next sync recovers.
    """

    def list_objects(
        self, prefix: str = "", /, *, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        """Yield the visible objects whose key starts with the prefix.

        The prefix is compared as text, so ``a/b`` also finds ``a/bc``. The objects are in the
        order of the UTF-8 bytes of their keys. The listing is lazy: the first of a million keys
        costs one request. Every object that was visible before the call is listed. The storage's
        own objects, such as those in the folder of staged files, are not.

        Args:
            prefix: The beginning of the keys. By default, all objects are listed.
            start_after: The key after which the listing begins. It need not exist.
        """
        ...

    def open(self, key: str, /) -> BinaryIO:
        """Return a stream over the object's bytes; the caller closes it.

        Raises:
            ObjectNotFoundError: No object is visible under the key.
        """
        ...

    def create(self, key: str, data: bytes, /) -> ObjectInfo:
        """Write a small object and make it visible, if its key is free.

        If an object with the same bytes is already visible under the key, the call succeeds, so
        that a writer may retry. When the call returns, the object survives a power cut, even if
        another writer wrote it.

        Raises:
            ObjectExistsError: An object with other bytes is visible under the key.
            UnknownOutcomeError: The object may have been written.
        """
        ...

    def stage(
        self, key: str, chunks: Iterable[bytes], /, *, content_type: str = "text/csv"
    ) -> StagedObject:
        """Store an object of any size, which ``list_objects`` and ``open`` do not show yet.

        The storage iterates over the chunks; there may be none. If the iteration or the store
        raises an exception, nothing of the object is kept. Another object may be visible under
        the key: only ``publish`` checks that.

        Args:
            key: The key under which the object will become visible.
            chunks: The bytes, in pieces of any size.
            content_type: The media type, for stores that record it.
        """
        ...

    def inspect(self, staged: StagedObject, /) -> StagedState:
        """Return the present state of a staged object."""
        ...

    def publish(self, staged: StagedObject, /) -> ObjectInfo:
        """Make a staged object visible, if its key is free.

        Publishing again succeeds and changes nothing.

        Raises:
            StagedGoneError: The staged object was discarded.
            ObjectExistsError: Another object is visible under the key. This one stays staged.
            ObjectRefusedError: The store refuses this object from every caller.
            UnknownOutcomeError: The object may have been published.
        """
        ...

    def discard(self, staged: StagedObject, /) -> None:
        """Revoke a staged object: after this returns, no ``publish`` of it can succeed.

        Discarding again succeeds. A published object stays as it is.
        """
        ...


@runtime_checkable
class SupportsDelete(Protocol):
    """The optional capability to delete, which ``forget`` and ``prune`` need."""

    def delete(self, key: str, /) -> None:
        """Remove a visible object; succeed if it does not exist."""
        ...


@runtime_checkable
class SupportsCompose(Protocol):
    """The optional capability to join objects inside the store.

    Engines that run on several machines, such as Spark, need it: each machine writes parts of a
    file, and no machine has all of its bytes.
    """

    @property
    def max_object_bytes(self) -> int:
        """The size in bytes of the largest object that the store accepts."""
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
        """Stage an object that consists of a header and the bytes of visible objects.

        ``inspect``, ``publish`` and ``discard`` accept the result like any staged object. The
        parts are not changed, and may be deleted as soon as this method returns.

        Args:
            key: The key under which the object will become visible.
            parts: The objects in order, with the sizes that they had when they were written or
                listed. The sequence may be empty.
            header: The bytes before the first part.
            content_type: The media type, for stores that record it.

        Raises:
            ObjectNotFoundError: A part is not visible.
            ObjectChangedError: A part has another size than stated, or was replaced during
                the call.
            ObjectTooLargeError: The result would exceed ``max_object_bytes``, or the store
                can't join this many parts. Nothing has been written.
        """
        ...


@runtime_checkable
class SupportsListStaged(Protocol):
    """The optional capability to list staged objects, which ``clean_up`` needs.

    A writer that dies before its record exists leaves staged objects that no record names.
    """

    @property
    def expires_staged(self) -> bool:
        """True if the store can remove old staged objects by a rule of its own.

        A bucket can have lifecycle rules for this. If the store has no such rules, each sync and
        each recovery removes the leftovers of its stream.
        """
        ...

    def list_staged(self, prefix: str = "", /) -> Iterator[StagedInfo]:
        """Yield the staged objects whose key starts with the prefix, in any order."""
        ...


@runtime_checkable
class SupportsReplace(Protocol):
    """The optional capability to overwrite, which only ``forget`` needs."""

    def replace(self, staged: StagedObject, /) -> ObjectInfo:
        """Make a staged object visible in place of the object under its key, if there is one.

        Readers see the old bytes or the new ones, and the object exists at every moment.
        Replacing again succeeds and changes nothing.

        Raises:
            StagedGoneError: The staged object was discarded, or was visible and has been
                replaced.
            ObjectRefusedError: The store refuses this object from every caller.
            UnknownOutcomeError: The object may have been published.
        """
        ...
