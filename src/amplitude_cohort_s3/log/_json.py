"""The JSON of the log: one form for equal values, and a strict reading of it."""

import hashlib
import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from .._time import to_utc
from ..errors import CohortS3Error, RecordFormatError
from ..storage.protocol import StagedObject
from .stream import CohortStream

SCHEMA_VERSION = 1
"""The version of the records' form; a reader refuses those of a later one."""


T = TypeVar("T")


def to_bytes(value: dict[str, Any]) -> bytes:
    """JSON that holds its own digest: not every store checks what it reads, and a bit may flip."""
    sha256 = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**value, "sha256": sha256}, indent=1, sort_keys=True) + "\n").encode()


@contextmanager
def reading(key: str) -> Generator[None]:
    """Turns whatever is wrong with foreign JSON into our one error for it."""
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
    """The JSON object, if it is of this version of the form."""
    value: dict[str, Any] = json.loads(data)
    if value["schema_version"] != SCHEMA_VERSION:
        msg = f"its schema_version is {value['schema_version']!r}, not {SCHEMA_VERSION}"
        raise ValueError(msg)
    return value


def check_form(encoded: bytes, data: bytes) -> None:
    """Refuses a change of a single bit, unknown fields and other spellings."""
    if encoded != data:
        msg = "it is not, byte for byte, what this library wrote"
        raise ValueError(msg)


def expect(kind: type[T], value: object) -> T:
    """The value, if it is of the type; a bool is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        msg = f"{kind.__name__} expected, {type(value).__name__} found"
        raise TypeError(msg)
    return value


def staged_object(value: Mapping[str, Any]) -> StagedObject:
    """A handle."""
    staged = StagedObject.from_json(value)
    count(staged.size)
    digest_or_none(staged.sha256)
    for found in (staged.key, *staged.handle, *staged.handle.values()):
        expect(str, found)
    return staged


def text_or_none(value: object) -> str | None:
    """A text, or null."""
    return None if value is None else expect(str, value)


def count(value: object) -> int:
    """A number that is not negative."""
    number = expect(int, value)
    if number < 0:
        msg = f"a number is negative: {number}"
        raise ValueError(msg)
    return number


def digest(value: object) -> str:
    """A sha256 in hex."""
    text = expect(str, value)
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        msg = "a sha256 is not 64 hexadecimal digits"
        raise ValueError(msg)
    return text


def digest_or_none(value: object) -> str | None:
    """A sha256 in hex, or null."""
    return None if value is None else digest(value)


def instant(value: object) -> datetime:
    """A time, in UTC."""
    return to_utc(datetime.fromisoformat(expect(str, value)), "a time of the record")


def stream_to_json(stream: CohortStream) -> dict[str, Any]:
    return {
        "project_id": stream.project_id,
        "cohort_id": stream.cohort_id,
        "path": stream.path,
        "routing_key": stream.routing_key,
    }


def stream_from_json(value: Mapping[str, Any]) -> CohortStream:
    return CohortStream(
        project_id=None if value["project_id"] is None else count(value["project_id"]),
        cohort_id=expect(str, value["cohort_id"]),
        path=expect(str, value["path"]),
        routing_key=text_or_none(value["routing_key"]),
    )
