"""The codec of file names: ``123_26umsb5_2026-11-23T14:05_entering_key.csv`` and its parts."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, Self

from attrs import field, frozen

from . import _grammar
from .errors import ConfigurationError, InvalidFileNameError, NaiveDatetimeError

SecondGroup = Literal["minutes", "seconds"]

MAX_NAME_BYTES = 1024
"""The longest name in bytes of UTF-8: S3 has no longer keys."""


class DiffType(StrEnum):
    """Which of a sync's three files it is; the order is the order of publication."""

    ENTERING = "entering"
    """In the cohort now, and not at the previous sync."""
    EXITING = "exiting"
    """In the cohort at the previous sync, and not now."""
    EXISTING = "existing"
    """By choice of the destination: see ``ExistingMeaning``."""


@frozen(kw_only=True)
class NameStyle:
    """How a name spells its time, and what else it needs to come back as it was.

    Attributes:
        separator: Between hours and minutes: ``:`` as Amplitude's pattern has it,
            or ``-`` for tools that take a colon for something else (Spark, Windows).
        seconds: Whether the time is spelled to the second.
        second_group: What the second group of two digits means. Amplitude's page
            says ``HH:SS``; hours and seconds without minutes could not be sorted
            and not be told apart, so they are read as minutes unless you ask for
            ``"seconds"``. Nothing is written that way.
        zulu: Whether a ``Z`` follows the time.
        empty_routing_key: Whether an empty routing key stands in the name
            (``_entering_.csv``), as some readers have seen it.
        extension: ``.csv`` or ``.csv.gz``.

    Raises:
        ConfigurationError: Values outside of these.
    """

    separator: Literal[":", "-"] = ":"
    seconds: bool = False
    second_group: SecondGroup = "minutes"
    zulu: bool = False
    empty_routing_key: bool = False
    extension: Literal[".csv", ".csv.gz"] = ".csv"

    def __attrs_post_init__(self) -> None:
        faults = list[str]()
        if self.separator not in (":", "-"):
            faults.append(f"separator must be ':' or '-', not {self.separator!r}")
        if self.second_group not in ("minutes", "seconds"):
            faults.append(f"second_group must be 'minutes' or 'seconds', not {self.second_group!r}")
        if self.seconds and self.second_group == "seconds":
            faults.append("a time with seconds has minutes as its second group")
        if self.extension not in (".csv", ".csv.gz"):
            faults.append(f"extension must be '.csv' or '.csv.gz', not {self.extension!r}")
        if faults:
            raise ConfigurationError("NameStyle", tuple(faults))

    @property
    def step(self) -> timedelta:
        """The distance of two times that follow each other in this style.

        >>> NameStyle(seconds=True).step
        datetime.timedelta(seconds=1)
        """
        fine = self.seconds or self.second_group == "seconds"
        return timedelta(seconds=1) if fine else timedelta(minutes=1)

    def floor(self, when: datetime) -> datetime:
        """The newest time, not after ``when``, that this style can spell; in UTC.

        Args:
            when: An aware datetime of any time zone.

        Raises:
            NaiveDatetimeError: ``when`` has no time zone.

        >>> NameStyle().floor(datetime(2026, 11, 23, 14, 5, 59, tzinfo=UTC)).isoformat()
        '2026-11-23T14:05:00+00:00'
        """
        utc = to_utc(when, "when").replace(microsecond=0)
        if self.seconds:
            return utc
        if self.second_group == "minutes":
            return utc.replace(second=0)
        return utc if utc.minute == 0 else utc.replace(minute=0, second=59)

    def format_time(self, when: datetime) -> str:
        """The time as it stands in a name: ``2026-11-23T14:05``."""
        second_group = when.minute if self.second_group == "minutes" else when.second
        groups = [when.isoformat()[: len("YYYY-MM-DDTHH")], f"{second_group:02}"]
        if self.seconds:
            groups.append(f"{when.second:02}")
        return self.separator.join(groups) + "Z" * self.zulu


def to_utc(when: datetime, argument: str) -> datetime:
    """The same instant in UTC.

    Args:
        when: An aware datetime of any time zone.
        argument: Its name, for the error.

    Raises:
        NaiveDatetimeError: It has no time zone.
    """
    if when.tzinfo is None or when.utcoffset() is None:
        raise NaiveDatetimeError(argument)
    return when.astimezone(UTC)


def _converted_time(when: datetime) -> datetime:
    return to_utc(when, "synced_at")


@frozen
class CohortFileName:
    """The name of one of the three files of a sync.

    Laws: ``CohortFileName.parse(str(n), second_group=n.style.second_group) == n`` for
    every name that can be constructed, and ``str(CohortFileName.parse(s)) == s`` for
    every text that parses.

    Attributes:
        project_id: The number of the Amplitude project, 0 where there is none;
            None where the name lacks it.
        cohort_id: Letters, digits and ``-``.
        synced_at: When the cohort was synced, in UTC; other time zones are converted.
        diff_type: Which of the three files it is.
        routing_key: The user's own text behind the difftype, or None. No ``/`` and
            no control characters.
        style: How the name is spelled.

    Raises:
        InvalidFileNameError: A part breaks its rule, or the style can't spell the
            time; ``style.floor(synced_at)`` is the cure for that.
        NaiveDatetimeError: ``synced_at`` has no time zone.

    >>> name = CohortFileName.parse("123_26umsb5_2026-11-23T14:05_entering_vip_eu.csv")
    >>> name.routing_key, name.diff_type.value, name.synced_at.isoformat()
    ('vip_eu', 'entering', '2026-11-23T14:05:00+00:00')
    >>> str(name)
    '123_26umsb5_2026-11-23T14:05_entering_vip_eu.csv'
    """

    project_id: int | None
    cohort_id: str
    synced_at: datetime = field(converter=_converted_time)
    diff_type: DiffType = field(converter=DiffType)
    routing_key: str | None = None
    style: NameStyle = NameStyle()

    def __attrs_post_init__(self) -> None:
        text = str(self)
        rule = self._broken_rule() or _broken_rule_of_text(text)
        if rule is not None:
            raise InvalidFileNameError(text, rule)

    def _broken_rule(self) -> str | None:
        """What of the parts does not show in the text, or not clearly."""
        if self.project_id is not None and self.project_id < 0:
            return "a project id is 0 or more, or None"
        if not re.fullmatch(_grammar.COHORT_ID, self.cohort_id):
            return "a cohort id consists of letters, digits and -"
        if self.routing_key == "":
            return "a routing key is never empty; leave it None"
        if self.routing_key is not None and self.style.empty_routing_key:
            return "the style says that the routing key is empty, and there is one"
        if self.style.floor(self.synced_at) != self.synced_at:
            return "the style can't spell this time; style.floor(synced_at) is one that it can"
        return None

    def __str__(self) -> str:
        """The name, without the path."""
        parts = [
            self.cohort_id,
            self.style.format_time(self.synced_at),
            self.diff_type.value,
        ]
        if self.project_id is not None:
            parts.insert(0, str(self.project_id))
        if self.routing_key is not None:
            parts.append(self.routing_key)
        elif self.style.empty_routing_key:
            parts.append("")
        return "_".join(parts) + self.style.extension

    @classmethod
    def parse(cls, name: str, *, second_group: SecondGroup = "minutes") -> Self:
        """The parts of a name.

        Args:
            name: The last segment of a key.
            second_group: What the second of two groups means: see ``NameStyle``.

        Raises:
            InvalidFileNameError: It is no cohort file's name; the error says by which rule.
        """
        match = _grammar.FILE_NAME.fullmatch(name)
        rule = _broken_rule_of_text(name)
        if match is None or rule is not None:
            raise InvalidFileNameError(name, rule or "it does not have the form of one")
        project_id, routing_key = match["project_id"], match["routing_key"]
        has_seconds = match["third_group"] is not None
        style = NameStyle(
            separator=":" if match["separator"] == ":" else "-",
            seconds=has_seconds,
            second_group="minutes" if has_seconds else second_group,
            zulu=match["zulu"] is not None,
            empty_routing_key=routing_key == "",
            extension=".csv" if match["extension"] == ".csv" else ".csv.gz",
        )
        minutes, seconds = match["second_group"], match["third_group"] or "00"
        if style.second_group == "seconds":
            minutes, seconds = "00", minutes
        try:
            # Not fromisoformat: newer Pythons read 24:00 as the next day's 00:00.
            year, month, day = map(int, match["date"].split("-"))
            synced_at = datetime(
                year, month, day, int(match["hour"]), int(minutes), int(seconds), tzinfo=UTC
            )
        except ValueError as error:
            raise InvalidFileNameError(name, f"there is no such time: {error}") from None
        return cls(
            project_id=None if project_id is None else int(project_id),
            cohort_id=match["cohort_id"],
            synced_at=synced_at,
            diff_type=DiffType(match["diff_type"]),
            routing_key=routing_key or None,
            style=style,
        )

    def key(self, path: str = "") -> str:
        """The key of the file: the path, one slash, the name.

        Law: ``CohortFileName.from_key(n.key(path)) == (path, n)`` for every path that
        has no slash at its end.

        >>> CohortFileName(1, "a", datetime(2026, 1, 1, tzinfo=UTC), "existing").key("x/y")
        'x/y/1_a_2026-01-01T00:00_existing.csv'
        """
        return f"{path}/{self}" if path else str(self)

    @classmethod
    def from_key(cls, key: str, *, second_group: SecondGroup = "minutes") -> tuple[str, Self]:
        """The path and the name of a key; the inverse of :meth:`key`.

        Raises:
            InvalidFileNameError: The last segment is no cohort file's name, or the
                path ends in a slash, which no name of ours would have.
        """
        path, slash, name = key.rpartition("/")
        if slash and (not path or path.endswith("/")):
            raise InvalidFileNameError(key, "one slash stands between the path and the name")
        return path, cls.parse(name, second_group=second_group)


def _broken_rule_of_text(name: str) -> str | None:
    """By which rule a text is no name, or None if it is one."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it must be encodable as UTF-8"
    if size > MAX_NAME_BYTES:
        return f"it may have {MAX_NAME_BYTES} bytes of UTF-8, and has {size}"
    if "/" in name:
        return "it holds a /, which belongs to the path"
    if not name.isprintable() and any(unicodedata.category(c) == "Cc" for c in name):
        return "it holds a control character"
    if _grammar.FILE_NAME.fullmatch(name):
        return None
    for pattern, rule in _grammar.RULES:
        if not pattern.fullmatch(name):
            return rule
    return "behind the difftype comes the extension, or _ and a routing key"
