"""Spark's tasks: how they open the storage, and how their errors reach the driver."""

import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import cast

from attrs import AttrsInstance, astuple

from .. import errors
from ..errors import CohortS3Error
from ..storage.protocol import Storage

OpenStorage = Callable[[], Storage]
"""A function that opens the storage, on the driver and in each task. It must be picklable,
such as ``functools.partial(open_storage, "s3://my-bucket")``."""

_NOTE = "amplitude_cohort_s3 raised "


def error_note(error: CohortS3Error) -> str:
    """Return a line from which :func:`errors_from_notes` makes the error on the driver."""
    fields = astuple(cast(AttrsInstance, error))
    return f"\n{_NOTE}{json.dumps([type(error).__name__, fields])}"


@contextmanager
def errors_to_notes() -> Generator[None]:
    """In a task: note the class and the fields of an error of this library on it.

    Spark brings only the text of a task's traceback to the driver; it includes the notes.
    """
    try:
        yield
    except CohortS3Error as error:
        error.add_note(error_note(error))
        raise


@contextmanager
def errors_from_notes() -> Generator[None]:
    """On the driver: raise the error of this library that failed a task at every try."""
    try:
        yield
    except Exception as error:  # its class depends on Spark's version and on the call
        note = re.search(rf"^{_NOTE}(.+)$", str(error), re.MULTILINE)
        if note is None:
            raise
        # Spark may append a code of its own to the line.
        found, _ = json.JSONDecoder().raw_decode(note[1])
        name, fields = cast(tuple[str, list[str | list[str]]], found)
        # JSON turned the tuples of the errors into lists; they have no lists themselves.
        values = (tuple(value) if isinstance(value, list) else value for value in fields)
        raise getattr(errors, name)(*values) from error
