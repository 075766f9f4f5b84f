"""Errors of Spark's tasks."""

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
"""Opens the storage, on the driver and in each task: picklable, such as
``functools.partial(open_storage, "s3://my-bucket")``."""


# --- Errors in tasks ---------------------------------------------------------------------

_TOLD = "amplitude_cohort_s3 raised "


@contextmanager
def errors_told() -> Generator[None]:
    """In a task: a note in the trace of an error of ours says which one it is.

    The text of a trace is all that Spark brings from a task to the driver.
    """
    try:
        yield
    except CohortS3Error as error:
        error.add_note(
            _TOLD + json.dumps([type(error).__name__, astuple(cast(AttrsInstance, error))])
        )
        raise


@contextmanager
def errors_of_tasks() -> Generator[None]:
    """On the driver: the error of ours that failed a task as often as Spark tries one.

    Spark may well try again: what a network or a store did once, it may not do twice.
    """
    try:
        yield
    except Exception as error:  # Spark's class for it differs by version and by what was asked
        told = re.search(rf"^{_TOLD}(.+)$", str(error), re.MULTILINE)
        if told is None:
            raise
        name, facts = cast(tuple[str, list[str | list[str]]], json.loads(told[1]))
        # JSON has no tuples, and the errors no lists.
        raise getattr(errors, name)(
            *(tuple(f) if isinstance(f, list) else f for f in facts)
        ) from error
