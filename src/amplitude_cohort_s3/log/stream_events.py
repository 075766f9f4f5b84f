"""Events that report the steps of syncs, for logging and for monitoring."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Literal

from attrs import frozen

from ..errors import ArgumentTypeError
from .stream import CohortStream

logger = logging.getLogger("amplitude_cohort_s3")

EventKind = Literal[
    "began",
    "read",
    "diffed",
    "staged",
    "recorded",
    "published",
    "recovered",
    "voided",
    "forgot",
    "pruned",
    "applied",
]
"""The step that an event reports: the end of one step of a sync, or of maintenance."""


@frozen(kw_only=True)
class StreamEvent:
    """A step of a sync, or of maintenance, that has ended. It never contains a user.

    Attributes:
        kind: The step.
        stream: The stream.
        synced_at: The time in the file names of the sync, or None.
        facts: The counts, bytes and outcomes of the step, by name.
        seconds: The time that the step took.

    >>> event = StreamEvent(kind="diffed", stream=CohortStream(project_id=1, cohort_id="a"),
    ...                     facts={"members": 1200, "entered": 3}, seconds=1.25)
    >>> print(event)
    diffed 1_a: members=1200 entered=3 (1.25 s)
    """

    kind: EventKind
    stream: CohortStream
    synced_at: datetime | None = None
    facts: Mapping[str, int | str]
    seconds: float

    def __str__(self) -> str:
        """Return the line of the log. A fact with a space, such as a cause, is in quotes."""
        key = self.stream.routing_key
        name = self.stream.data_prefix.removesuffix("_") + ("" if key is None else f" {key}")
        when = "" if self.synced_at is None else f" {self.synced_at.isoformat()}"
        facts = "".join(f" {name}={_quoted(value)}" for name, value in self.facts.items())
        return f"{self.kind} {name}{when}:{facts} ({self.seconds:.2f} s)"


def _quoted(value: int | str) -> str:
    text = str(value)
    return text if re.fullmatch(r'[^\s"=]+', text) else json.dumps(text, ensure_ascii=False)


Observer = Callable[[StreamEvent], object]
"""A function that is called with each event, in the thread of the call. If it raises, the error is
logged and the sync goes on."""


def report(event: StreamEvent, observer: Observer | None) -> None:
    """Log an event, and pass it to an observer. A failure of monitoring must not stop a sync."""
    with suppress(Exception):  # a handler may raise, and then nobody is left to report it to
        logger.info("%s", event)
    if observer is None:
        return
    try:
        observer(event)
    except Exception as error:  # noqa: BLE001 -- it may be any
        with suppress(Exception):
            # Only the type: this error is not ours, and its text may contain anything.
            logger.warning("the observer raised %s at %s", type(error).__name__, event.kind)


def is_observed(observer: Observer | None) -> bool:
    """Return whether somebody receives the events."""
    return observer is not None or logger.isEnabledFor(logging.INFO)


def check_is_observer(value: object) -> None:
    """Raise ArgumentTypeError unless the argument ``observer`` is a function or None."""
    if value is not None and (isinstance(value, type) or not callable(value)):
        hint = "pass a function of a StreamEvent, such as print"
        raise ArgumentTypeError("observer", type(value).__name__, hint)
