"""The opening of the storage in Spark's tasks, and the transfer of their errors to the driver."""

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
    """Return a line from which :func:`errors_from_notes` restores the error on the driver."""
    fields = astuple(cast(AttrsInstance, error))
    return f"\n{_NOTE}{json.dumps([type(error).__name__, fields])}"


@contextmanager
def errors_to_notes() -> Generator[None]:
    """In a task, add a note with the class and the fields to an error of this library.

    Spark transfers only the text of a task's traceback to the driver. This text includes the
    notes.
    """
    try:
        yield
    except CohortS3Error as error:
        error.add_note(error_note(error))
        raise


@contextmanager
def errors_from_notes() -> Generator[None]:
    """On the driver, raise the error of this library that let a task fail."""
    try:
        yield
    except Exception as error:  # its class depends on Spark's version and on the call
        note = re.search(rf"^{_NOTE}(.+)$", str(error), re.MULTILINE)
        if note is None:
            raise
        # Spark may append its own error code to the line.
        found, _ = json.JSONDecoder().raw_decode(note[1])
        name, fields = cast(tuple[str, list[str | list[str]]], found)
        # JSON has turned tuples into lists. No field of an error is a list.
        values = (tuple(value) if isinstance(value, list) else value for value in fields)
        raise getattr(errors, name)(*values) from error
