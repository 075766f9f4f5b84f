"""The formats of files that are often mistaken for CSV, recognized by their first bytes."""

import re

HEAD_BYTES = 512
"""The number of bytes that are enough to recognize a format."""

_SAVE_AS_CSV = "Save it as CSV (UTF-8)"
_DECOMPRESS = "Decompress it, or compress it with gzip"
_TWICE = "Decompress it: a file may be compressed only once"
_SAVE_AS_UTF8 = "Save it as UTF-8"

_BINARY: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "it is compressed with gzip", _TWICE),
    (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard", _TWICE),
    (b"BZh", "it is compressed with bzip2", _DECOMPRESS),
    (b"\xfd7zXZ\0", "it is compressed with xz", _DECOMPRESS),
    (b"\x5d\0\0", "it is compressed with LZMA", _DECOMPRESS),
    (b"\x04\x22\x4d\x18", "it is compressed with LZ4", _DECOMPRESS),
    (b"\x1f\x9d", "it is compressed with compress", _DECOMPRESS),
    (b"\xff\x06\0\0sNaPpY", "it is compressed with Snappy", _DECOMPRESS),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "Unpack it first"),
    (b"Rar!\x1a\x07", "it is a RAR archive", "Unpack it first"),
    (b"\xd0\xcf\x11\xe0", "it is a workbook of an old Excel", _SAVE_AS_CSV),
    (b"PAR1", "it is a Parquet file", "Pass it to a sync as MemberFile, or save it as CSV (UTF-8)"),
    (b"ARROW1", "it is an Arrow file", _SAVE_AS_CSV),
    (b"Obj\x01", "it is an Avro file", _SAVE_AS_CSV),
    (b"SQLite format 3\0", "it is a SQLite database", _SAVE_AS_CSV),
    (b"%PDF-", "it is a PDF", _SAVE_AS_CSV),
    (b"\xff\xfe\0\0", "it is UTF-32", _SAVE_AS_UTF8),
    (b"\0\0\xfe\xff", "it is UTF-32", _SAVE_AS_UTF8),
    (b"\xff\xfe", "it is UTF-16", _SAVE_AS_UTF8),
    (b"\xfe\xff", "it is UTF-16", _SAVE_AS_UTF8),
)

# A CSV header could begin with the letters ``BZh`` too, so the bytes after them are compared: the
# magic number of the first block or, in an empty bzip2 file, that of the end.
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")

_PARQUET = re.compile(rb"PAR1[\0-\x1f]")

_WEB_PAGE = re.compile(
    rb"(?i)\s*<(?:!doctype|!--|\?xml|(?:html|head|body|title|meta|script|svg|error|h[1-6])\b)"
)

_JSON = re.compile(rb'\s*(?:\{\s*["}]|\[\s*[{"])')


def other_format(head: bytes) -> tuple[str, str] | None:
    """Return a sentence about a file that is not CSV, and a hint; None if it may be CSV.

    Args:
        head: The first ``HEAD_BYTES`` of the file, or fewer if it is shorter.

    >>> other_format(b"amplitude_id,user_id") is None, other_format(b"BZh91AY&SY")[0]
    (True, 'it is compressed with bzip2')
    """
    if head.startswith(b"PK") and head[2:4] in (b"\x03\x04", b"\x05\x06", b"\x07\x08"):
        is_workbook = b"[Content_Types].xml" in head or b"xl/" in head or b"_rels/" in head
        if is_workbook:
            return "it is a workbook", _SAVE_AS_CSV
        return "it is a workbook or another zip", f"{_SAVE_AS_CSV}, or unpack it"
    for magic, rule, hint in _BINARY:
        if head.startswith(magic) and _is_certain(head, magic):
            return rule, hint
    if head[257:262] == b"ustar":
        return "it is a tar archive", "Unpack it with unpack_archive(), or by hand"
    if _WEB_PAGE.match(head):
        return "it is a web page or XML", "Download the file itself, and check the login"
    if _JSON.match(head):
        return "it is JSON", _SAVE_AS_CSV
    return _wide_text(head)


def _is_certain(head: bytes, magic: bytes) -> bool:
    """Return False if the same letters could also begin the header of a CSV file."""
    patterns = {b"BZh": _BZIP2, b"PAR1": _PARQUET}
    return magic not in patterns or patterns[magic].match(head) is not None


def _wide_text(head: bytes) -> tuple[str, str] | None:
    """Recognize UTF-16 and UTF-32 without a byte order mark by the NULs of ASCII letters."""
    sample = head[:32]
    for size, name in ((4, "UTF-32"), (2, "UTF-16")):
        whole = sample[: len(sample) // size * size]
        units = [whole[place : place + size] for place in range(0, len(whole), size)]
        nuls = b"\0" * (size - 1)
        if len(units) > 1 and (
            all(unit.endswith(nuls) and unit[0] for unit in units)
            or all(unit.startswith(nuls) and unit[-1] for unit in units)
        ):
            return f"it is {name}", _SAVE_AS_UTF8
    return None
