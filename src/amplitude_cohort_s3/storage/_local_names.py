"""File names for keys, on platforms that forbid some characters."""

import re
from urllib.parse import unquote

# Windows reserves these names in every folder, with any extension.
_WINDOWS_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")


def encode_segment(segment: str, *, windows: bool) -> str:
    """Return the file name for one segment of a key.

    Windows forbids some characters, a dot or space at the end, and the names of devices. They are
    percent-encoded. On other platforms, the segment itself is the name. Law:
    ``decode_segment(encode_segment(s)) == s``.

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
    """Return the segment of a key that :func:`encode_segment` encoded."""
    return unquote(name) if windows else name
