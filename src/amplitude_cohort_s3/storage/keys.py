"""The rules for keys, which are the same for every storage."""

import unicodedata

from ..errors import InvalidKeyError

MAX_KEY_BYTES = 1024
"""The length of the longest key in bytes of UTF-8: the limit of S3, used for every storage."""


def check_key(key: str) -> str:
    """Return the key if every storage accepts it.

    S3 itself allows more keys. This function also refuses keys that cause errors in other tools
    (an empty segment, a slash at the end), that lead out of a folder (``..``), or that can't be
    printed (control characters).

    Args:
        key: The key of an object.

    Raises:
        InvalidKeyError: The key breaks a rule.

    >>> check_key("cohorts/1_a_2026-11-23T14:05_entering.csv")
    'cohorts/1_a_2026-11-23T14:05_entering.csv'
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError(key, "it can't be encoded as UTF-8") from None
    if size > MAX_KEY_BYTES:
        raise InvalidKeyError(key, f"it has {size} bytes of UTF-8")
    if any(unicodedata.category(c) == "Cc" for c in key):
        raise InvalidKeyError(key, "it contains a control character")
    segments = key.split("/")
    if "" in segments:
        raise InvalidKeyError(key, "a segment is empty")
    if "." in segments or ".." in segments:
        raise InvalidKeyError(key, "a segment is . or ..")
    return key
