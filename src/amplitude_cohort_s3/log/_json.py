"""The JSON of the log: the same bytes for equal values, and a strict parser."""

import hashlib
import json
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from .._time import to_utc
from ..errors import CohortS3Error, RecordFormatError
from ..storage.protocol import StagedObject
from .stream import CohortStream

SCHEMA_VERSION = 1
"""The version of the JSON format of the log. A reader refuses any other version."""


T = TypeVar("T")


def to_bytes(value: dict[str, Any]) -> bytes:
    """Return JSON with a digest of its own, because not every store detects a flipped bit."""
    sha256 = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**value, "sha256": sha256}, indent=1, sort_keys=True) + "\n").encode()


@contextmanager
def as_record_error(key: str) -> Generator[None]:
    """Turn each error that damaged or foreign JSON can cause into a ``RecordFormatError``."""
    try:
        yield
    except (
        CohortS3Error,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
        RecursionError,
    ) as error:
        rule = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RecordFormatError(key, rule) from error


def parse(data: bytes) -> Mapping[str, Any]:
    """Parse a JSON object; raise unless it has the version ``SCHEMA_VERSION``."""
    value: dict[str, Any] = json.loads(data)
    if value["schema_version"] != SCHEMA_VERSION:
        msg = f"its schema_version is {value['schema_version']!r}, not {SCHEMA_VERSION}"
        raise ValueError(msg)
    return value


def check_form(encoded: bytes, data: bytes) -> None:
    """Raise unless the bytes are exactly those that this library writes for the value."""
    if encoded != data:
        msg = "it is not, byte for byte, what this library wrote"
        raise ValueError(msg)


def expect(kind: type[T], value: object) -> T:
    """Return the value; raise unless it has the type. A bool is not a number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        msg = f"{kind.__name__} expected, {type(value).__name__} found"
        raise TypeError(msg)
    return value


def staged_object(value: Mapping[str, Any]) -> StagedObject:
    """Return the handle of a staged object from its JSON value."""
    staged = StagedObject.from_json(value)
    count(staged.size)
    digest_or_none(staged.sha256)
    for found in (staged.key, *staged.handle, *staged.handle.values()):
        expect(str, found)
    return staged


def text_or_none(value: object) -> str | None:
    """Return the value; raise unless it is a text or None."""
    return None if value is None else expect(str, value)


def count(value: object) -> int:
    """Return the value; raise unless it is a number of at least 0."""
    number = expect(int, value)
    if number < 0:
        msg = f"a number is negative: {number}"
        raise ValueError(msg)
    return number


def filled_counts(value: Mapping[str, Any], properties: Iterable[str]) -> Mapping[str, int]:
    """Return the number of values of each property, in the order of the properties."""
    if set(value) != {*properties}:
        msg = "it counts the values of other properties"
        raise ValueError(msg)
    return {name: count(value[name]) for name in properties}


def digest(value: object) -> str:
    """Return the value; raise unless it is a SHA-256 in hex."""
    text = expect(str, value)
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        msg = "a sha256 is not 64 hexadecimal digits"
        raise ValueError(msg)
    return text


def digest_or_none(value: object) -> str | None:
    """Return the value; raise unless it is a SHA-256 in hex or None."""
    return None if value is None else digest(value)


def instant(value: object) -> datetime:
    """Return the time of an ISO 8601 text, in UTC."""
    return to_utc(datetime.fromisoformat(expect(str, value)), "a time of the record")


def stream_to_json(stream: CohortStream) -> dict[str, Any]:
    """Return a stream as a JSON object."""
    return {
        "project_id": stream.project_id,
        "cohort_id": stream.cohort_id,
        "path": stream.path,
        "routing_key": stream.routing_key,
    }


def stream_from_json(value: Mapping[str, Any]) -> CohortStream:
    """Return the inverse of :func:`stream_to_json`."""
    return CohortStream(
        project_id=None if value["project_id"] is None else count(value["project_id"]),
        cohort_id=expect(str, value["cohort_id"]),
        path=expect(str, value["path"]),
        routing_key=text_or_none(value["routing_key"]),
    )
