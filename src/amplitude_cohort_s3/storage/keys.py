"""The rules for keys that every storage and every path follow."""

import unicodedata

from ..errors import InvalidKeyError

MAX_KEY_BYTES = 1024
"""The longest key in bytes of UTF-8, S3's own limit; it holds for every storage."""


def check_key(key: str) -> str:
    """Returns a key that every storage takes, or says by which rule it is none.

    S3 itself allows more. What is refused here breaks other tools (an empty
    segment, a trailing slash), climbs out of a folder (``..``) or can't be
    printed (control characters).

    Raises:
        InvalidKeyError: The key breaks a rule.

    >>> check_key("cohorts/1_a_2026-11-23T14:05_entering.csv")
    'cohorts/1_a_2026-11-23T14:05_entering.csv'
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError(key, "it must be encodable as UTF-8") from None
    if size > MAX_KEY_BYTES:
        raise InvalidKeyError(key, f"it has {size} bytes")
    if any(unicodedata.category(c) == "Cc" for c in key):
        raise InvalidKeyError(key, "it holds a control character")
    segments = key.split("/")
    if "" in segments:
        raise InvalidKeyError(key, "a segment is empty")
    if "." in segments or ".." in segments:
        raise InvalidKeyError(key, "a segment is . or ..")
    return key
