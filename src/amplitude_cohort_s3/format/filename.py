"""The codec of file names such as ``123_26umsb5_2026-11-23T14:05_entering_key.csv``."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Literal, Self

from attrs import field, fields, frozen

from .._arguments import check_kind, choice_faults
from .._display import short_repr
from .._time import to_utc
from ..errors import ConfigurationError, InvalidFileNameError
from ..storage.keys import MAX_KEY_BYTES
from . import _grammar

SecondGroup = Literal["minutes", "seconds"]

_SHORT = MAX_KEY_BYTES // 4
"""A name of at most this many characters fits, because a character has at most four bytes."""


class DiffType(StrEnum):
    """One of the three files of a sync, in the order of publication."""

    ENTERING = "entering"
    """Users who are in the cohort now and were not at the previous sync."""
    EXITING = "exiting"
    """Users who were in the cohort at the previous sync and are not now."""
    EXISTING = "existing"
    """Users chosen by the destination: see ``ExistingMeaning``."""


@frozen(kw_only=True, repr=False)
class NameStyle:
    """The spelling of a file name: with the parts of a name, it determines the exact text.

    Attributes:
        separator: The separator between hours and minutes: ``:`` as in Amplitude's pattern, or
            ``-`` for tools in which a colon has a meaning (Spark, Windows). ``_``, which browsers
            write in place of a colon, is accepted in existing names, but a destination can't have
            it.
        seconds: True if the time has seconds.
        second_group: The meaning of the second group of two digits. Amplitude's page has
            ``HH:SS``, but with hours and seconds only, times could not be sorted or
            distinguished. It is therefore read as minutes unless you choose ``"seconds"``, which
            a destination can't have.
        zulu: True if a ``Z`` follows the time.
        empty_routing_key: True if the name has an empty routing key (``_entering_.csv``),
            which occurs in some buckets.
        extension: ``.csv`` or ``.csv.gz``.

    Raises:
        ConfigurationError: A value is not allowed.
    """

    separator: Literal[":", "-", "_"] = ":"
    seconds: bool = False
    second_group: SecondGroup = "minutes"
    zulu: bool = False
    empty_routing_key: bool = False
    extension: Literal[".csv", ".csv.gz"] = ".csv"

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        faults = list[str]()
        if self.separator not in (":", "-", "_"):
            allowed = "':' or '-', or '_' in names that are only read"
            faults.append(f"separator must be {allowed}, not {self.separator!r}")
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
        """The smallest difference of two times in this style.

        >>> NameStyle(seconds=True).step
        datetime.timedelta(seconds=1)
        """
        fine = self.seconds or self.second_group == "seconds"
        return timedelta(seconds=1) if fine else timedelta(minutes=1)

    def floor(self, when: datetime) -> datetime:
        """Return the latest time not after ``when`` that this style can write, in UTC.

        Args:
            when: A timezone-aware datetime.

        Raises:
            NaiveDatetimeError: ``when`` has no time zone.

        >>> from datetime import UTC, datetime
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
        """Return the text of a time in a name, such as ``2026-11-23T14:05``, in UTC."""
        when = to_utc(when, "when")
        second_group = when.minute if self.second_group == "minutes" else when.second
        groups = [when.isoformat()[: len("YYYY-MM-DDTHH")], f"{second_group:02}"]
        if self.seconds:
            groups.append(f"{when.second:02}")
        return self.separator.join(groups) + "Z" * self.zulu


def _converted_time(when: datetime) -> datetime:
    return to_utc(when, "synced_at")


def _diff_type(word: DiffType | str) -> DiffType:
    # With the class itself as the converter, type checkers would accept any argument.
    if faults := choice_faults("diff_type", word, [one.value for one in DiffType]):
        raise ConfigurationError("CohortFileName", tuple(faults))
    return DiffType(word)


@frozen
class CohortFileName:
    """The name of one of the three files of a sync.

    Laws: ``CohortFileName.parse(str(n), second_group=n.style.second_group) == n`` for
    every name that can be constructed, and ``str(CohortFileName.parse(s)) == s`` for
    every text that parses.

    Attributes:
        project_id: The number of the Amplitude project, 0 if there is no project;
            None if the name has no project id.
        cohort_id: Letters, digits and ``-``.
        synced_at: The time of the sync in UTC; other time zones are converted.
        diff_type: One of the three files.
        routing_key: The user's own text after the difftype, without ``/`` and control
            characters, or None.
        style: The spelling of the name.

    Raises:
        InvalidFileNameError: A part breaks its rule, or the style can't write the time
            (``style.floor(synced_at)`` is a time that it can write).
        NaiveDatetimeError: ``synced_at`` has no time zone.
        ArgumentTypeError: A part has the wrong type.

    >>> name = CohortFileName.parse("123_26umsb5_2026-11-23T14:05_entering_vip_eu.csv")
    >>> name.routing_key, name.diff_type.value, name.synced_at.isoformat()
    ('vip_eu', 'entering', '2026-11-23T14:05:00+00:00')
    >>> str(name)
    '123_26umsb5_2026-11-23T14:05_entering_vip_eu.csv'
    """

    project_id: int | None
    cohort_id: str
    synced_at: datetime = field(converter=_converted_time)
    diff_type: DiffType = field(converter=_diff_type)
    routing_key: str | None = None
    style: NameStyle = NameStyle()

    def __attrs_post_init__(self) -> None:
        check_kind("project_id", self.project_id, int | None, "pass a number or None")
        check_kind("cohort_id", self.cohort_id, str, "pass text")
        check_kind("routing_key", self.routing_key, str | None, "pass text or None")
        text = str(self)
        rule = self._broken_rule()
        if rule is None and (_is_too_long(text) or not _grammar.FILE_NAME.fullmatch(text)):
            rule = _broken_rule_of_text(text)
        if rule is not None:
            raise InvalidFileNameError(text, rule)

    def _broken_rule(self) -> str | None:
        """Return the first broken rule that the formatted name alone does not show, or None."""
        if self.project_id is not None and self.project_id < 0:
            return "a project id is 0 or more, or None"
        if not re.fullmatch(_grammar.COHORT_ID, self.cohort_id):
            return "a cohort id consists of letters, digits and -"
        if self.routing_key == "":
            return "a routing key can't be empty; use None"
        if self.routing_key is not None and self.style.empty_routing_key:
            return "the style has an empty routing key, but there is one"
        if self.style.floor(self.synced_at) != self.synced_at:
            return "the style can't write this time; use style.floor(synced_at)"
        return None

    def __str__(self) -> str:
        """Return the name, without the path."""
        parts = [self.cohort_id, self.style.format_time(self.synced_at), self.diff_type.value]
        if self.project_id is not None:
            parts.insert(0, str(self.project_id))
        if self.routing_key is not None:
            parts.append(self.routing_key)
        elif self.style.empty_routing_key:
            parts.append("")
        return "_".join(parts) + self.style.extension

    @classmethod
    def parse(cls, name: str, *, second_group: SecondGroup = "minutes") -> Self:
        """Parse a name.

        Args:
            name: The last segment of a key.
            second_group: The meaning of the second of two groups: see ``NameStyle``.

        Raises:
            InvalidFileNameError: The text is not the name of a cohort file. The error has the
                rule that the text breaks.
        """
        if type(name) is not str:  # the check takes as long as the rest
            check_kind("name", name, str, "pass the last segment of a key, as text")
        match = _match(name)
        if match is None or (len(name) > _SHORT and _is_too_long(name)):
            raise InvalidFileNameError(name, _broken_rule_of_text(name))
        project_id, cohort_id, time, diff_type, routing_key, extension = match.groups()
        try:
            synced_at, style = _read_time(time, extension, routing_key == "", second_group)
        except ValueError as error:
            raise InvalidFileNameError(name, f"there is no such time: {error}") from None
        # The constructor would check all rules again. Without it, a listing of 100,000
        # names takes a fifth of the time.
        parsed = object.__new__(cls)
        _put_project_id(parsed, None if project_id is None else int(project_id))
        _put_cohort_id(parsed, cohort_id)
        _put_synced_at(parsed, synced_at)
        _put_diff_type(parsed, _DIFF_TYPES[diff_type])
        _put_routing_key(parsed, routing_key or None)
        _put_style(parsed, style)
        return parsed

    def key(self, path: str = "") -> str:
        """Return the key of the file: the path, a slash and the name.

        Law: ``CohortFileName.from_key(n.key(path)) == (path, n)`` for every path that
        has no slash at its end.

        >>> from datetime import UTC, datetime
        >>> CohortFileName(1, "a", datetime(2026, 1, 1, tzinfo=UTC), "existing").key("x/y")
        'x/y/1_a_2026-01-01T00:00_existing.csv'
        """
        return f"{path}/{self}" if path else str(self)

    @classmethod
    def from_key(cls, key: str, *, second_group: SecondGroup = "minutes") -> tuple[str, Self]:
        """Split a key into the path and the name; the inverse of :meth:`key`.

        Raises:
            InvalidFileNameError: The last segment is not the name of a cohort file, or
                more than one slash comes before it.
        """
        if type(key) is not str:  # the check takes as long as the rest
            check_kind("key", key, str, "pass it as text, such as info.key of an ObjectInfo")
        path, slash, name = key.rpartition("/")
        if slash and (not path or path[-1] == "/"):
            raise InvalidFileNameError(key, "there must be one slash between the path and the name")
        return path, cls.parse(name, second_group=second_group)


_match = _grammar.FILE_NAME.fullmatch
_cached_style = lru_cache(NameStyle)
_SEPARATORS: dict[str, Literal[":", "-", "_"]] = {":": ":", "-": "-", "_": "_"}
_DIFF_TYPES = {diff_type.value: diff_type for diff_type in DiffType}

# The setters of the slots. A frozen class refuses assignments, but not calls of these.
(
    _put_project_id,
    _put_cohort_id,
    _put_synced_at,
    _put_diff_type,
    _put_routing_key,
    _put_style,
) = (vars(CohortFileName)[attribute.name].__set__ for attribute in fields(CohortFileName))


@lru_cache(maxsize=1024)
def _read_time(
    text: str,
    extension: str,
    empty_routing_key: bool,  # noqa: FBT001 -- a cache is slower by keyword
    second_group: SecondGroup,
) -> tuple[datetime, NameStyle]:
    """Return the time and the style of a name.

    The result is cached, because the three names of a sync share both.

    Raises:
        ValueError: The time does not exist.
    """
    zulu = text.endswith("Z")
    has_seconds = len(text) - zulu > len("YYYY-MM-DDTHH:MM")
    style = _cached_style(
        separator=_SEPARATORS[text[13]],
        seconds=has_seconds,
        second_group="minutes" if has_seconds else second_group,
        zulu=zulu,
        empty_routing_key=empty_routing_key,
        extension=".csv" if extension == ".csv" else ".csv.gz",
    )
    hour, second = text[:13], text[14:16]
    if has_seconds:
        iso = f"{hour}:{second}:{text[17:19]}+00:00"
    elif second_group == "minutes":
        iso = f"{hour}:{second}+00:00"
    else:
        iso = f"{hour}:00:{second}+00:00"
    if text[11:13] == "24":
        # Since Python 3.13, fromisoformat reads 24:00 as 00:00 of the next day.
        msg = "hour must be in 0..23"
        raise ValueError(msg)
    return datetime.fromisoformat(iso), style


def _is_too_long(name: str) -> bool:
    return len(name) > _SHORT and len(name.encode()) > MAX_KEY_BYTES


def _broken_rule_of_text(name: str) -> str:
    """Return the first rule that a text breaks."""
    for pattern, rule in _grammar.RULES:
        if not pattern.fullmatch(name):
            return rule
    return f"it may have at most {MAX_KEY_BYTES} bytes of UTF-8"
