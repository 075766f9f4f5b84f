"""Arrays of Arrow as text, by the rules of ``to_text``."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from .._optional import load
from ..errors import InvalidCellError
from ..format.cells import to_texts


@frozen
class Column:
    """A column that is converted: its place in the table, and its name in the schema."""

    place: int
    name: str


def text_array(
    pa: Any, array: Any, column: str, metadata: Mapping[bytes, bytes] | None = None
) -> Any:
    """Return the cells of an array as text; null is an empty cell.

    Args:
        pa: The module ``pyarrow``.
        array: The cells, of any type.
        column: The name of the column, for errors.
        metadata: The metadata of the array's field. If no installed package has registered the
            extension type of the array, Arrow shows only its storage, and this names the type.

    Raises:
        InvalidCellError: A cell has no text by the rules of ``to_text``; or the array has an
            extension type, whose storage can differ from the text that people see.
    """
    types, kind = pa.types, array.type
    if array.null_count == len(array):
        return empty_texts(pa, len(array))
    extension = (metadata or {}).get(b"ARROW:extension:name", b"").decode(errors="replace")
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return _converted(pa, array, column)
        extension, array = kind.extension_name, array.storage
        kind = array.type
    if extension and not _is_text(types, kind):
        raise InvalidCellError(column, f"is of the type {extension!r}", "convert it to text")
    if types.is_dictionary(kind):
        return text_array(pa, array.dictionary, column).take(array.indices)
    if types.is_run_end_encoded(kind):
        texts = text_array(pa, array.values, column)
        encoded = pa.RunEndEncodedArray.from_arrays(array.run_ends, texts)
        compute = load("pyarrow.compute", "arrow")
        return compute.run_end_decode(encoded.slice(array.offset, len(array)))
    if is_plain(pa, kind):
        return array.cast(pa.large_string())
    return _converted(pa, array, column)


def is_plain(pa: Any, kind: Any) -> bool:
    """Return whether Arrow and ``to_text`` make the same text of a type: of text and integers."""
    types = pa.types
    is_whole = types.is_decimal(kind) and kind.scale == 0
    return _is_text(types, kind) or types.is_integer(kind) or is_whole


def empty_texts(pa: Any, rows: int) -> Any:
    """Return an array of empty texts."""
    return pa.repeat(pa.scalar("", pa.large_string()), rows)


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _converted(pa: Any, array: Any, column: str) -> Any:
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError, LookupError, TypeError, pa.ArrowException):
        # For example a time outside the range of datetime, or in an unknown time zone.
        raise InvalidCellError(column, f"is of type {array.type}", "format it as text") from None
    return pa.array(to_texts(values, column), pa.large_string())
