"""The work of the diff that the native kernel does.

The kernel reads canonical lines. It refuses a few of them, and everything that breaks a rule: see
``format.kernel``. The classes here then return None, or call the Python code.
"""

from attrs import frozen

from .._bytes import common_length
from ..format.kernel import (
    PartitionedLines,
    canonical_lines,
    join_range,
    partition_lines,
)
from ..format.reader import LineReader
from ._boundaries import Boundaries
from ._join import MAX_CONFLICTS, Job, RangeJoin, RangeOutput, RangeResult, SortedPrevious
from ._spill import RangeRows

_HEAD_BYTES = 8
"""The size of the part of each splitter that the kernel compares."""


@frozen
class LineShape:
    """The number of cells of a schema's canonical lines, and the position of their key.

    Attributes:
        columns: The number of cells.
        key: The position of the key.
    """

    columns: int
    key: int


@frozen
class _Splitters:
    """The splitters of key ranges in the form of the kernel.

    Attributes:
        prefix: The bytes that all splitters share.
        heads: The other bytes of each splitter, padded with NUL to 8 bytes.
    """

    prefix: bytes
    heads: bytes

    @classmethod
    def of(cls, splitters: tuple[str, ...]) -> "_Splitters | None":
        """Return the splitters, or None if more than their last 8 bytes differ."""
        texts = [splitter.encode() for splitter in splitters]
        # The splitters ascend, so all share what the first and the last one share.
        prefix = texts[0][: common_length(texts[0], texts[-1])] if texts else b""
        rests = [text[len(prefix) :] for text in texts]
        if any(len(rest) > _HEAD_BYTES for rest in rests):
            return None
        return cls(prefix, b"".join(rest.ljust(_HEAD_BYTES, b"\0") for rest in rests))


class NativePartition:
    """The function that sorts lines into key ranges.

    It has a buffer, so each thread needs its own.
    """

    def __init__(self, shape: LineShape, boundaries: Boundaries) -> None:
        self._shape = shape
        self._splitters = _Splitters.of(boundaries.splitters)
        self._out = bytearray()

    def lines(self, text: bytes | memoryview) -> tuple[memoryview, PartitionedLines] | None:
        """Return canonical lines, range by range, and their counts; None if they are refused.

        The lines are valid until the next call.
        """
        if self._splitters is None:
            return None
        if len(self._out) < len(text):
            self._out = bytearray(len(text))
        found = partition_lines(
            text,
            self._out,
            columns=self._shape.columns,
            key=self._shape.key,
            prefix=self._splitters.prefix,
            heads=self._splitters.heads,
        )
        if found is None:
            return None
        return memoryview(self._out)[: sum(found.lengths)], found

    def rows(self, data: bytes, reader: LineReader) -> tuple[memoryview, PartitionedLines] | None:
        """Return the rows of a file as canonical lines: see :meth:`lines`."""
        if not _is_readable(data, reader):
            return None
        found = self.lines(data) if reader.places is None else None
        if found is None:
            text = _canonical(data, reader)
            found = None if text is None else self.lines(text)
        return found


@frozen
class NativeJoin:
    """The function that joins a key range.

    Attributes:
        join: The join in Python, for ranges that the kernel refuses.
    """

    join: RangeJoin

    def __call__(self, job: Job) -> RangeResult:
        """Join one range."""
        return self._join(job) or self.join(job)

    def _join(self, job: Job) -> RangeResult | None:
        if job.current.keyed or job.current.size > job.max_bytes:
            return None
        before = _previous_lines(job)
        if before is None:
            return None
        found = join_range(
            before,
            job.current.text(),
            columns=self.join.columns,
            key=self.join.key,
            begin=job.begin,
            end=job.end,
            before_is_sorted=isinstance(job.previous, SortedPrevious),
            existing=self.join.existing,
            max_conflicts=MAX_CONFLICTS,
            compared=self.join.compared,
        )
        if found is None:
            return None
        members = RangeOutput(found.members_now, found.members)
        return RangeResult(
            entering=RangeOutput(found.entering_rows, found.entering),
            exiting=RangeOutput(found.exiting_rows, found.exiting),
            existing=RangeOutput(found.existing_rows, found.existing),
            members=None if self.join.existing.contains_entering else members,
            members_before=found.members_before,
            members_now=found.members_now,
            collapsed=found.arrived - found.members_now,
            conflicts=found.conflicts,
            conflicting_keys=found.conflicting_keys,
            filled=found.filled,
            has_float_ids=found.has_float_ids,
            changed=found.changed,
        )


def _previous_lines(job: Job) -> bytes | memoryview | None:
    """Return the previous rows of a range as canonical lines, or None."""
    previous = job.previous
    if isinstance(previous, RangeRows):
        return None if previous.keyed or previous.size > job.max_bytes else previous.text()
    data = b"".join([block.data for block in previous.blocks])
    if not _is_readable(data, previous.reader):
        return None
    return data if previous.reader.places is None else _canonical(data, previous.reader)


def _is_readable(data: bytes, reader: LineReader) -> bool:
    """Return whether the rows of a file follow from the rules of CSV alone."""
    header = reader.reader.header
    needs_more = header.tabs or header.repeated_ids or len(header.names) == 1
    return not (needs_more or header.may_repeat_in(data))


def _canonical(data: bytes, reader: LineReader) -> memoryview | None:
    columns = len(reader.reader.header.names)
    return canonical_lines(data, columns=columns, places=reader.places)
