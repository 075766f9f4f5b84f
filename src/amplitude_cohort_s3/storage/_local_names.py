"""Names of files for keys, on platforms that forbid some characters."""

import re
from urllib.parse import unquote

# Names that Windows refuses in any folder, whatever their extension.
_WINDOWS_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")


def encode_segment(segment: str, *, windows: bool) -> str:
    """The name of a file for one segment of a key.

    Elsewhere than on Windows it is the segment itself. Windows forbids some
    characters, a dot or blank at the end, and the names of devices: these are
    percent-encoded there. Law: ``decode_segment(encode_segment(s)) == s``.

    >>> encode_segment("1_a_2026-11-23T14:05_existing.csv", windows=True)
    '1_a_2026-11-23T14%3A05_existing.csv'
    """
    if not windows:
        return segment
    encoded = re.sub(r'[<>:"|?*\\%]', lambda m: f"%{ord(m[0]):02X}", segment)
    if encoded.endswith((".", " ")):
        encoded = f"{encoded[:-1]}%{ord(encoded[-1]):02X}"
    if _WINDOWS_DEVICE.match(encoded):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    return encoded


def decode_segment(name: str, *, windows: bool) -> str:
    """The inverse of :func:`encode_segment`."""
    return unquote(name) if windows else name
