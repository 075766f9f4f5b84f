"""The native kernel: the inner loops of the library in C, if it was built.

The package also works without it, but slower. An installation from source without a compiler has
no kernel. The environment variable ``AMPLITUDE_COHORT_S3_KERNEL=0`` disables it, for example to
find out whether a fault is in the kernel.

The functions return None for input that the Python code must process instead: see
``_kernel.pyi``. They must be called only if the kernel is in use.
"""

from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, BinaryIO

from attrs import frozen
from typing_extensions import Buffer

from ._kernel_loading import KernelState, load_kernel
from .existing_meaning import ExistingMeaning

_MODULE, _STATE = load_kernel()
if TYPE_CHECKING:
    from . import _kernel
else:
    _kernel = _MODULE


def kernel_state() -> KernelState:
    """Return whether the native kernel is in use, and if not, the reason.

    The environment variable is read once, when the package is imported.

    Returns:
        ``"in use"``; ``"disabled"`` by the environment variable
        ``AMPLITUDE_COHORT_S3_KERNEL=0``; ``"not built"``, if the package was installed from
        source without a C compiler, or as a wheel without the kernel; or ``"outdated"``, if
        the sources of an editable installation have changed: install it again.

    >>> kernel_state() in ("in use", "disabled", "not built", "outdated")
    True
    """
    return _STATE


HAS_KERNEL = _STATE == "in use"
"""True if the functions below may be called."""

_NO_CELL = 255
_MAX_COLUMNS = (1 << 16) - 1
_MIN_CELLS, _MAX_CELLS = 2, 254
_OFFSET_BYTES = 4
_VIEW_BYTES = 16


@frozen
class PartitionedLines:
    """The counts of lines that were written range by range.

    Attributes:
        rows: The number of rows.
        skipped: The number of rows without a key, which are left out.
        lengths: The number of bytes of each range, in the order of the ranges.
    """

    rows: int
    skipped: int
    lengths: "array[int]"


def partition_lines(
    lines: Buffer, out: bytearray, *, columns: int, key: int, prefix: bytes, heads: bytes
) -> PartitionedLines | None:
    """Write the lines of each key range to ``out``, or return None.

    Each splitter of the ranges is ``prefix`` and 8 bytes of ``heads``, padded with NUL.
    """
    found = _kernel.partition(lines, out, columns, key, prefix, heads)
    if found is None:
        return None
    rows, skipped, lengths = found
    return PartitionedLines(rows, skipped, array("I", lengths))


@frozen
class JoinedRange:
    """The join of a key range: see ``RangeResult`` of the diff for the counts.

    Attributes:
        members_before: The number of previous members.
        arrived: The number of current rows.
        members_now: The number of current members.
        conflicts: The number of keys with different current rows.
        conflicting_keys: Some of these keys.
        members: The lines of all current members.
        entering: The lines of the file ``entering``.
        exiting: The lines of the file ``exiting``.
        existing: The lines of the file ``existing``.
        entering_rows: The number of lines of ``entering``.
        exiting_rows: The number of lines of ``exiting``.
        existing_rows: The number of lines of ``existing``.
        filled: The number of current members with a value for each property.
        has_float_ids: True if Amplitude ids in new or changed rows are the texts of floats.
        changed: The number of members who stayed with other cells.
    """

    members_before: int
    arrived: int
    members_now: int
    conflicts: int
    conflicting_keys: list[str]
    members: bytes
    entering: bytes
    exiting: bytes
    existing: bytes
    entering_rows: int
    exiting_rows: int
    existing_rows: int
    filled: tuple[int, ...]
    has_float_ids: bool
    changed: int


def join_range(
    before: Buffer,
    now: Buffer,
    *,
    columns: int,
    key: int,
    begin: str | None,
    end: str | None,
    before_is_sorted: bool,
    existing: ExistingMeaning,
    max_conflicts: int,
    lacking: int,
) -> JoinedRange | None:
    """Join the lines of both sides of a key range, or return None."""
    meaning = 0 if existing.contains_entering else 2 if existing.contains_exiting else 1
    found = _kernel.join(
        before, now, columns, key, begin, end, before_is_sorted, meaning, max_conflicts, lacking
    )
    return None if found is None else JoinedRange(*found)


def canonical_lines(
    rows: Buffer, *, columns: int, places: tuple[int, ...] | None
) -> memoryview | None:
    """Return the cells at some positions of each row in canonical form, or None.

    Args:
        rows: Rows in any dialect.
        columns: The number of cells of a row.
        places: The position of each cell to write, or ``columns`` for an empty cell. None for all
            cells in order.
    """
    if columns > _MAX_CELLS:
        return None
    size = memoryview(rows).nbytes
    given = None
    if places is not None:
        given = bytes(_NO_CELL if place == columns else place for place in places)
    # Lines are seldom longer than their rows: only if cells are repeated, or need more quotes.
    out = bytearray(size + size // 4 + 1024)
    written = _kernel.canonize(rows, out, columns, given)
    return None if written is None else memoryview(out)[:written]


@frozen
class ColumnTexts:
    """The texts of the columns of some lines, in one of two layouts of Arrow.

    Attributes:
        rows: The number of rows.
        buffers: The buffers of each column. In the layout ``string``, these are the offsets of
            its texts and the end of the last one, in 32 bits, and then the texts. In the layout
            ``string_view``, they are the views of the texts and, if any text has more than 12
            bytes, a buffer with all such texts of all columns.
    """

    rows: int
    buffers: list[tuple[memoryview, ...]]


def column_texts(
    lines: Buffer, allocate: Callable[[int], Buffer], *, columns: int, as_views: bool
) -> ColumnTexts | None:
    """Return the texts of each column of some lines, or None.

    Args:
        lines: The lines. Cells may contain line ends.
        allocate: A function that returns a writable buffer of the given size.
        columns: The number of cells of a row.
        as_views: True for the layout ``string_view``, False for ``string``.
    """
    if columns < _MIN_CELLS:
        return None
    size = memoryview(lines).nbytes
    entry_bytes = _VIEW_BYTES if as_views else _OFFSET_BYTES
    stride = count_line_ends(lines) + 2  # The last line may lack its line end.
    begin = columns * stride * entry_bytes
    out = memoryview(allocate(begin + size))
    found = _kernel.columns(lines, out, columns, stride, as_views)
    if found is None:
        return None
    rows, sizes = found[0], array("I", found[1])
    used = (rows if as_views else rows + 1) * entry_bytes
    entries = [out[at : at + used] for at in range(0, begin, stride * entry_bytes)]
    if as_views:
        long = out[begin : begin + sum(sizes)]
        return ColumnTexts(
            rows, [(of, long) if n else (of,) for of, n in zip(entries, sizes, strict=True)]
        )
    ends = accumulate(sizes, initial=begin)
    texts = [out[a:b] for a, b in pairwise(ends)]
    return ColumnTexts(rows, [*zip(entries, texts, strict=True)])


def count_line_ends(text: Buffer) -> int:
    """Return the number of LF in any bytes."""
    return _kernel.count_line_ends(text)


@frozen
class MergedStays:
    """Merged stays, in the order of the key.

    Attributes:
        lines: The line of each stay.
        entered: For each stay, 1 plus the number of the sync at which the user entered; 0 if the
            user was a member before the first known sync.
        exited: For each stay, 1 plus the number of the sync at which the user exited; 0 if the
            user is still a member.
        consumed: The number of bytes of each side that were merged.
    """

    lines: bytes
    entered: "array[int]"
    exited: "array[int]"
    consumed: tuple[int, ...]


def merge_stays(
    sides: Sequence[Buffer],
    has_more: Sequence[bool],
    changes: Sequence[tuple[int, int]],
    *,
    columns: int,
    key: int,
) -> MergedStays | None:
    """Merge the lines of sides into stays, up to the key that all sides reach, or return None.

    Args:
        sides: The lines of each side, with one line for each key, in order.
        has_more: True for each side that has more lines than these.
        changes: For each side, the number of its sync, and the kind of change of its rows: 0
            if users exited, 1 if they entered, 2 if they were present.
        columns: The number of cells of a row.
        key: The position of the key.
    """
    numbers = array("I", [number for number, _ in changes])
    kinds = bytes(kind | more << 2 for (_, kind), more in zip(changes, has_more, strict=True))
    # Each line is written once at most, and the last one of a side may lack its line end.
    out = bytearray(sum(memoryview(side).nbytes + 1 for side in sides))
    found = _kernel.stays(tuple(sides), numbers.tobytes(), kinds, out, columns, key)
    if found is None:
        return None
    size, entered, exited, consumed = found
    lines = bytes(memoryview(out)[:size])
    return MergedStays(lines, array("I", entered), array("I", exited), consumed)


def read_spans(file: BinaryIO, spans: "array[int]") -> bytes | None:
    """Read parts of a file and return them separated by LF, or return None.

    Args:
        file: A file that is open for reading. Its position is neither used nor changed.
        spans: An offset and a size for each part, alternating, of the type ``Q``.

    Returns:
        The text. None if the file can't be read this way, is too short, or the text has 4 GiB.
    """
    return _kernel.read_spans(file.fileno(), spans.tobytes())


@frozen(kw_only=True)
class CheckedLines:
    """The facts about lines that should be canonical and in the order of the key.

    Attributes:
        rows: The number of rows.
        filled: The number of rows with a value for each property.
        is_canonical: True if they are in canonical form.
        ascends: True if each key is greater than the one before it.
        last: The last key, in UTF-8; empty if there is no row.
    """

    rows: int
    filled: tuple[int, ...]
    is_canonical: bool = True
    ascends: bool = True
    last: bytes = b""

    def followed_by(self, more: "CheckedLines") -> "CheckedLines":
        """Return the facts about these lines together with the lines that follow them."""
        return CheckedLines(
            rows=self.rows + more.rows,
            filled=tuple([a + b for a, b in zip(self.filled, more.filled, strict=True)]),
            is_canonical=self.is_canonical and more.is_canonical,
            ascends=self.ascends and more.ascends,
            last=more.last,
        )


def check_lines(lines: Buffer, *, columns: int, key: int, after: bytes) -> CheckedLines | None:
    """Return the facts about canonical lines that follow a key, or None."""
    found = None if columns > _MAX_COLUMNS else _kernel.check(lines, columns, key, after)
    if found is None:
        return None
    rows, ascends, filled, last = found
    return CheckedLines(rows=rows, filled=filled, ascends=ascends, last=last)


def take_keys(lines: bytes, *, columns: int, key: int) -> bytes | None:
    """Return the keys of lines, each ended by LF, or None."""
    if columns > _MAX_COLUMNS:
        return None
    out = bytearray(len(lines))
    size = _kernel.keys(lines, out, columns, key)
    return None if size is None else bytes(memoryview(out)[:size])


def count_sides(texts: Sequence[Buffer]) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Merge texts of ascending keys until one has no key left: see ``_kernel.sides``."""
    return _kernel.sides(*texts)
