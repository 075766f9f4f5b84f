"""Syncs whose files an engine of many machines wrote as parts, to be composed in the storage.

Each writer calls :func:`write_part` for its rows; what the parts say of themselves makes
a :class:`ComposedDiff`, which ``plan_sync`` and ``commit`` take like any other diff. No
process sees all rows.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Self

from attrs import field, frozen

from ..diff.protocol import DiffSummary
from ..errors import ConfigurationError, MalformedCsvError, MissingCapabilityError
from ..format.columns import Row
from ..format.content import ContentPart, FileContent
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.schema import RowSchema
from ..storage.protocol import ObjectInfo, StagedObject, Storage, SupportsCompose

_BATCH_ROWS = 1 << 14


@frozen(kw_only=True)
class Part:
    """Consecutive rows of one file, stored as an object of their own without a header.

    The repr does not show the keys.

    Attributes:
        stored: The object.
        rows: How many, at least one.
        sha256: Of the bytes, in hex.
        rows_digest: The sum of the rows' :func:`row_digest`.
        first_key: The key of the first member.
        last_key: The key of the last member.
    """

    stored: ObjectInfo
    rows: int
    sha256: str
    rows_digest: int = field(repr=False)
    first_key: str = field(repr=False)
    last_key: str = field(repr=False)


@frozen(kw_only=True)
class ComposedFile(FileContent):
    """One of the three files before it is composed.

    Attributes:
        stored: The objects that follow the header, in order.
    """

    stored: tuple[ObjectInfo, ...]

    @classmethod
    def of_parts(cls, parts: Sequence[Part], schema: RowSchema) -> Self:
        """Return the file that a header and these parts make.

        Raises:
            MalformedCsvError: A part does not begin after the end of the one before it.
        """
        for before, part in pairwise(parts):
            if part.first_key <= before.last_key:
                raise _not_in_order(part.stored.key)
        header = schema.header_line
        content = [ContentPart(len(header), hashlib.sha256(header).hexdigest())]
        content += [ContentPart(part.stored.size, part.sha256) for part in parts]
        listed = "".join(f"{part.size} {part.sha256}\n" for part in content)
        return cls(
            rows=sum(part.rows for part in parts),
            size=sum(part.size for part in content),
            sha256=hashlib.sha256(listed.encode()).hexdigest(),
            parts=tuple(content),
            stored=tuple(part.stored for part in parts),
        )


@frozen(kw_only=True)
class ComposedReport(DiffSummary):
    """The summary of a diff whose files will be composed."""

    files: Mapping[DiffType, ComposedFile]


@frozen(kw_only=True)
class ComposedDiff:
    """The difference of two sets of members, as parts that are in the storage already.

    Attributes:
        schema: The columns and the key.
        existing_meaning: The users that the file ``existing`` contains.
        report: The counts and the files.
        origin: The description that the source of the current members gives of itself.
    """

    schema: RowSchema
    existing_meaning: ExistingMeaning
    report: ComposedReport
    origin: Mapping[str, str] = field(factory=dict[str, str])

    @classmethod
    def of_parts(
        cls,
        parts: Mapping[DiffType, Sequence[Part]],
        *,
        schema: RowSchema,
        existing: ExistingMeaning = ExistingMeaning.MEMBERS,
        skipped: int = 0,
        collapsed: int = 0,
        ignored_columns: Iterable[str] = (),
        origin: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the diff that these parts make.

        Args:
            parts: The parts of each of the three files, in the order of the key; none for a
                file without rows.
            schema: The columns and the key of the rows.
            existing: The users that the parts of ``existing`` contain.
            skipped: The number of current rows that were left out because they had no key.
            collapsed: The number of current rows that repeated another.
            ignored_columns: The columns of the source that the schema does not have.
            origin: A description of the source, for the record. No secrets.

        Raises:
            MalformedCsvError: Parts of one file are not in order.
        """
        files = {t: ComposedFile.of_parts(parts[t], schema) for t in DiffType}
        rows = {t.value: files[t].rows for t in DiffType}
        digests = {t.value: sum(part.rows_digest for part in parts[t]) for t in DiffType}
        now = existing.member_total(**rows)
        return cls(
            schema=schema,
            existing_meaning=existing,
            report=ComposedReport(
                files=files,
                members_before=now - rows["entering"] + rows["exiting"],
                members_now=now,
                members_sha256=members_digest(schema, existing.member_total(**digests)),
                skipped=skipped,
                collapsed=collapsed,
                ignored_columns=tuple(sorted(ignored_columns)),
            ),
            origin=dict(origin or {}),
        )

    def stage(self, diff_type: DiffType, storage: Storage, key: str) -> StagedObject:
        """Compose one of the files of its parts: see ``StageableDiff``.

        Raises:
            MissingCapabilityError: The storage can't compose.
            ConfigurationError: The file is to be compressed, and its parts are not.
        """
        if key.endswith(".gz"):
            fault = "files that are composed of parts can't be compressed: leave compression out"
            raise ConfigurationError("the destination", (fault,))
        parts = self.report.files[diff_type].stored
        return require_compose(storage).compose(key, parts, header=self.schema.header_line)


def require_compose(storage: Storage) -> SupportsCompose:
    """Return the storage as one that can compose.

    Raises:
        MissingCapabilityError: It can't.
    """
    if not isinstance(storage, SupportsCompose):
        raise MissingCapabilityError(type(storage).__name__, "compose", "a sync of parts")
    return storage


def write_part(storage: Storage, key: str, rows: Iterable[Row], *, schema: RowSchema) -> Part:
    """Stores rows as one part of a file, in canonical bytes.

    Call it where the rows are: for each partition of an engine, on its machine.

    Args:
        storage: Where the files of the sync will be.
        key: Where the part goes; below a prefix that consumers do not look at, and with
            the number of the attempt in it where an engine may try twice.
        rows: At least one, in ascending order of the key's UTF-8 bytes.
        schema: The columns and the key.

    Returns:
        The part, visible under its key.

    Raises:
        MalformedCsvError: The keys are not in ascending order.
        InvalidCellError: A cell holds a NUL or a lone surrogate.
        ObjectExistsError: Something is under the key.
        ValueError: There is no row.

    >>> from amplitude_cohort_s3 import MemoryStorage
    >>> part = write_part(MemoryStorage(), "_staging/0-0", [("1", "ann"), ("2", "bob")],
    ...                   schema=RowSchema())
    >>> part.rows, part.stored.size
    (2, 12)
    """
    digest, count, total = hashlib.sha256(), 0, 0
    first = last = ""

    def chunks() -> Iterator[bytes]:
        nonlocal count, total, first, last
        place, header = schema.key_index, len(schema.header_line)
        remaining = iter(rows)
        while batch := list(islice(remaining, _BATCH_ROWS)):
            keys = [row[place] for row in batch]
            if not count:
                first = keys[0]
            elif keys[0] <= last:
                raise _not_in_order(key)
            if any(after <= before for before, after in pairwise(keys)):
                raise _not_in_order(key)
            last = keys[-1]
            data = b"".join(schema.encode(batch))[header:]
            count += len(batch)
            total += sum(map(row_digest, batch))
            digest.update(data)
            yield data

    staged = storage.stage(key, chunks())
    if not count:
        storage.discard(staged)
        msg = "a part needs a row: leave out the parts of divisions that are empty"
        raise ValueError(msg)
    return Part(
        stored=storage.publish(staged),
        rows=count,
        sha256=digest.hexdigest(),
        rows_digest=total,
        first_key=first,
        last_key=last,
    )


def row_digest(row: Row) -> int:
    """The sha256 of a row as a number. Digests of sets of rows are sums of these.

    A sum does not depend on how an engine divided the rows, so a repeated run is known
    by it.

    Args:
        row: Cells in the order of the schema's columns.
    """
    # No cell holds a NUL.
    return int.from_bytes(hashlib.sha256("\0".join(row).encode()).digest(), "big")


def members_digest(schema: RowSchema, rows_digest: int) -> str:
    """The digest of members of whom no process has seen all.

    Args:
        schema: The columns; their header is part of it.
        rows_digest: The sum of the members' :func:`row_digest`.

    Returns:
        A sha256, in hex, of the header and of the sum modulo 2**256.

    >>> rows = [("1", "ann"), ("2", "bob")]
    >>> one = members_digest(RowSchema(), sum(map(row_digest, rows)))
    >>> one == members_digest(RowSchema(), sum(map(row_digest, reversed(rows))))
    True
    """
    total = (rows_digest % (1 << 256)).to_bytes(32, "big")
    return hashlib.sha256(schema.header_line + total).hexdigest()


def _not_in_order(key: str) -> MalformedCsvError:
    return MalformedCsvError(
        None,
        "the rows are not in strictly ascending order of their key, after those of the part before",
        "Sort all rows by the bytes of the key",
        key,
    )
