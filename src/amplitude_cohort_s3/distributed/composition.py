"""Syncs of files whose parts many writers have written, and which the storage composes.

Each writer calls :func:`write_part` for its rows. From the descriptions of the parts,
:meth:`ComposedDiff.of_parts` makes a diff that ``plan_sync`` and ``commit`` accept like any
other. No process reads all rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Self

from attrs import field, frozen

from .._bytes import Hashed
from ..diff.protocol import DiffSummary
from ..errors import ConfigurationError, MalformedCsvError
from ..format.columns import Row
from ..format.content import ContentPart, FileContent, parts_digest
from ..format.digests import members_digest
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import DiffType
from ..format.filled import add_counts, count_filled
from ..format.schema import RowSchema
from ..storage.capabilities import require_compose
from ..storage.protocol import ObjectInfo, StagedObject, Storage
from ._encoded_rows import EncodedRows, encode_rows

_BATCH_ROWS = 1 << 14


@frozen(kw_only=True)
class StoredPart:
    """Consecutive rows of one file, stored as a separate object without a header.

    The repr does not show the keys.

    Attributes:
        stored: The object.
        rows: The number of rows, at least one.
        sha256: The SHA-256 of the bytes, in hex.
        rows_digest: The sum of the rows' :func:`row_digest`.
        first_key: The key of the first member.
        last_key: The key of the last member.
        filled: The number of rows with a value, for each property of the schema.
    """

    stored: ObjectInfo
    rows: int
    sha256: str
    rows_digest: int = field(repr=False)
    first_key: str = field(repr=False)
    last_key: str = field(repr=False)
    filled: tuple[int, ...]


@frozen(kw_only=True, repr=False)
class ComposedDiff:
    """The diff of two sets of members, as parts that are already in the storage.

    Attributes:
        schema: The columns and the key.
        existing_meaning: The users that the file ``existing`` contains.
        report: The counts, and the contents of the three files.
        parts: The objects that each file consists of, after its header.
        origin: The ``origin`` of the current members: see ``CsvSource``.
    """

    schema: RowSchema
    existing_meaning: ExistingMeaning
    report: DiffSummary = field(repr=False)
    parts: Mapping[DiffType, Sequence[ObjectInfo]] = field(repr=False)
    origin: Mapping[str, str] = field(factory=dict[str, str])

    def __repr__(self) -> str:
        return f"ComposedDiff(<{self.report.describe(self.schema.key)}>)"

    @classmethod
    def of_parts(
        cls,
        parts: Mapping[DiffType, Sequence[StoredPart]],
        *,
        schema: RowSchema,
        existing: ExistingMeaning = ExistingMeaning.MEMBERS,
        skipped: int = 0,
        collapsed: int = 0,
        ignored_columns: Iterable[str] = (),
        origin: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the diff that consists of these parts.

        Args:
            parts: The parts of each of the three files, in the order of the key. A file without
                rows has no parts.
            schema: The columns and the key of the rows.
            existing: The users that the parts of ``existing`` contain.
            skipped: The number of current rows that were left out because they had no key.
            collapsed: The number of current rows that repeated another row.
            ignored_columns: The columns of the source that the schema does not have.
            origin: A description of the source, which is written to the record. It must not
                contain secrets.

        Raises:
            MalformedCsvError: The parts of a file are not in the order of the key.

        >>> from amplitude_cohort_s3 import MemoryStorage
        >>> schema = RowSchema()
        >>> part = write_part(MemoryStorage(), "_staging/0-0", [("1", "ann")], schema=schema)
        >>> parts = {DiffType.ENTERING: [part], DiffType.EXITING: [], DiffType.EXISTING: [part]}
        >>> ComposedDiff.of_parts(parts, schema=schema)
        ComposedDiff(<0 to 1 members: 1 entering, 0 exiting, 1 existing>)
        """
        files = {t: _composed_content(parts[t], schema) for t in DiffType}
        rows = {t.value: files[t].rows for t in DiffType}
        digests = {t.value: sum(part.rows_digest for part in parts[t]) for t in DiffType}
        now = existing.member_total(**rows)
        filled = {
            name: existing.member_total(
                **{t.value: sum(part.filled[place] for part in parts[t]) for t in DiffType}
            )
            for place, name in enumerate(schema.properties)
        }
        return cls(
            schema=schema,
            existing_meaning=existing,
            report=DiffSummary(
                files=files,
                members_before=now - rows["entering"] + rows["exiting"],
                members_now=now,
                members_sha256=members_digest(schema, existing.member_total(**digests)),
                skipped=skipped,
                collapsed=collapsed,
                filled=filled,
                ignored_columns=tuple(sorted(ignored_columns)),
            ),
            parts={t: tuple(part.stored for part in parts[t]) for t in DiffType},
            origin=dict(origin or {}),
        )

    def stage(self, diff_type: DiffType, storage: Storage, key: str) -> StagedObject:
        """Compose one of the files from its parts: see ``StageableDiff``.

        Raises:
            MissingCapabilityError: The storage can't compose.
            ConfigurationError: The key ends with ``.gz``, but the parts are not compressed.
        """
        if key.endswith(".gz"):
            fault = "files that are composed of parts can't be compressed: set compression=None"
            raise ConfigurationError("the destination", (fault,))
        header = self.schema.header_line
        return require_compose(storage).compose(key, self.parts[diff_type], header=header)


def _composed_content(parts: Sequence[StoredPart], schema: RowSchema) -> FileContent:
    """Return the content of the file that consists of a header and these parts.

    Raises:
        MalformedCsvError: The first key of a part is not greater than the last key of the part
            before it.
    """
    for before, part in pairwise(parts):
        if part.first_key <= before.last_key:
            rule = f"its keys are not all greater than those of the part {before.stored.key!r}"
            raise _not_sorted(rule, part.stored.key)
    content = [ContentPart.of(schema.header_line)]
    content += [ContentPart(part.stored.size, part.sha256) for part in parts]
    return FileContent(
        rows=sum(part.rows for part in parts),
        size=sum(part.size for part in content),
        sha256=parts_digest(content),
        parts=tuple(content),
    )


def write_part(storage: Storage, key: str, rows: Iterable[Row], *, schema: RowSchema) -> StoredPart:
    """Store rows as one part of a file, in canonical bytes.

    Call it on the machine that has the rows, for each partition of an engine.

    Args:
        storage: The storage of the data.
        key: The key of the part, below a prefix that consumers do not read. If the engine may run
            a task twice, include the number of the attempt.
        rows: The rows, at least one, in ascending order of the UTF-8 bytes of the sync's key.
        schema: The columns and the key of the rows.

    Returns:
        The part, visible under its key.

    Raises:
        MalformedCsvError: The rows are not in ascending order of their key.
        InvalidCellError: A cell contains a NUL or a lone surrogate.
        ObjectExistsError: An object already has the key.
        ValueError: There is no row.

    >>> from amplitude_cohort_s3 import MemoryStorage
    >>> part = write_part(MemoryStorage(), "_staging/0-0", [("1", "ann"), ("2", "bob")],
    ...                   schema=RowSchema())
    >>> part.rows, part.stored.size
    (2, 12)
    """
    remaining = iter(rows)
    batches = iter(lambda: list(islice(remaining, _BATCH_ROWS)), [])
    encoded = (encode_rows(batch, schema=schema) for batch in batches)
    return write_encoded_part(storage, key, encoded, schema=schema)


def write_encoded_part(
    storage: Storage, key: str, batches: Iterable[EncodedRows], *, schema: RowSchema
) -> StoredPart:
    """Store rows that are already encoded: see :func:`write_part`."""
    count = total = 0
    first = last = ""
    filled = [0] * len(schema.properties)

    def chunks() -> Iterator[bytes]:
        nonlocal count, total, first, last, filled
        for batch in batches:
            if not batch.is_ascending or (count and batch.first_key <= last):
                rule = "the keys of its rows are not in strictly ascending order"
                raise _not_sorted(rule, key)
            first = first if count else batch.first_key
            last = batch.last_key
            count += batch.rows
            total += batch.digest
            counts = count_filled(batch.lines, batch.rows, len(schema.columns))
            filled = add_counts(filled, counts)
            yield batch.lines

    content = Hashed(chunks())
    staged = storage.stage(key, content)
    if not count:
        storage.discard(staged)
        msg = "a part needs at least one row: write no part for an empty partition"
        raise ValueError(msg)
    return StoredPart(
        stored=storage.publish(staged),
        rows=count,
        sha256=content.sha256,
        rows_digest=total,
        first_key=first,
        last_key=last,
        filled=tuple(filled),
    )


def _not_sorted(rule: str, key: str) -> MalformedCsvError:
    hint = "Sort all rows by the UTF-8 bytes of the key, and remove repeated keys"
    return MalformedCsvError(None, rule, hint, key)
