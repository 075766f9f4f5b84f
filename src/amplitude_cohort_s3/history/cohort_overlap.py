"""The overlap of two cohorts: the users who are members of one or of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Literal, get_args

from attrs import field, frozen

from .._arguments import check_kind
from .._display import html_table, text_table
from ..errors import ConfigurationError
from ..format.cells import encode_lines
from ..format.filename import DiffType
from ..log.listing import BucketSync
from ..sources.protocol import CsvSource
from ._key_blocks import count_sides, file_keys
from ._merged_lines import line_parts
from .history import CohortHistory, check_is_history
from .members import Members

OverlapGroup = Literal["only_first", "both", "only_second"]
"""The members of the first cohort alone, of both cohorts, or of the second one alone."""

_FIRST, _SECOND, _BOTH = 1, 2, 3
"""The combinations of sides: see ``count_sides``."""


@frozen(kw_only=True)
class Overlap:
    """The numbers of users who are members of one cohort or of both.

    The text is a small table. The repr and the table show no user.

    Attributes:
        only_first: The number of members of the first cohort who are not in the second.
        both: The number of users who are members of both.
        only_second: The number of members of the second cohort who are not in the first.
    """

    only_first: int
    both: int
    only_second: int
    _first: Members = field(repr=False, alias="first")
    _second: Members = field(repr=False, alias="second")

    @property
    def share_of_first(self) -> float:
        """The share of the first cohort's members who are also in the second; 0 without members."""
        return _share(self.both, self.only_first + self.both)

    @property
    def share_of_second(self) -> float:
        """The share of the second cohort's members who are also in the first; 0 without members."""
        return _share(self.both, self.only_second + self.both)

    @property
    def jaccard(self) -> float:
        """The share of the members of either cohort who are in both; 0 without members."""
        return _share(self.both, self.only_first + self.both + self.only_second)

    def members(self, group: OverlapGroup) -> Members:
        """Return the members in one of the groups, as rows that are also a data frame.

        Each iteration reads the files of both cohorts again. The rows of ``"both"`` are those of
        the first cohort.

        Args:
            group: ``"only_first"``, ``"both"`` or ``"only_second"``.

        Raises:
            ConfigurationError: There is no such group.
        """
        if group not in get_args(OverlapGroup):
            fault = f"group must be one of {', '.join(get_args(OverlapGroup))}, not {group!r}"
            raise ConfigurationError("Overlap.members", (fault,))
        of, other = self._first, self._second
        if group == "only_second":
            of, other = other, of
        rows: int = getattr(self, group)
        chunks = partial(_chunks_of_group, of, other, are_common=group == "both")
        source = CsvSource(chunks=chunks, canonical=True, rows=rows)
        return Members(schema=of.schema, rows=rows, sources={DiffType.EXISTING: source})

    def __str__(self) -> str:
        return f"{text_table(_COLUMNS, self._rows)}\nJaccard index: {self.jaccard:.1%}"

    def _repr_html_(self) -> str:
        return html_table(f"Jaccard index: {self.jaccard:.1%}", _COLUMNS, self._rows)

    @property
    def _rows(self) -> list[tuple[str, int, str, str]]:
        of_first, of_second = self.share_of_first, self.share_of_second
        return [
            ("only first", self.only_first, _shown(1 - of_first, self.only_first), ""),
            ("both", self.both, _shown(of_first, self.both), _shown(of_second, self.both)),
            ("only second", self.only_second, "", _shown(1 - of_second, self.only_second)),
        ]


_COLUMNS = ("group", "members", "of first", "of second")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _shown(share: float, members: int) -> str:
    return f"{share if members else 0:.1%}"


def overlap(
    history: CohortHistory, other: CohortHistory, at: datetime | BucketSync | None = None
) -> Overlap:
    """Count the users who are members of one cohort or of both, in bounded memory.

    The keys of both cohorts are read side by side, from their files at the newest syncs that are
    not after the time.

    Args:
        history: The history of the first cohort.
        other: The history of the second cohort, in any bucket.
        at: An aware datetime, or a sync of either history for its time. Default: the newest
            sync of each.

    Raises:
        ConfigurationError: The histories match members by different columns.
        NaiveDatetimeError, NoSyncYetError, UnknownMembersError: As ``members_at``.
        MalformedCsvError, ObjectChangedError: A file can't be read.
        ArgumentTypeError: An argument has the wrong type.
        ValueError: The sync is in neither history.

    >>> from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage
    >>> from amplitude_cohort_s3 import read_history, sync_cohort
    >>> bucket, destination = MemoryStorage(), Destination("d")
    >>> buyers = CohortSync(destination=destination, project_id=1, cohort_id="buyers")
    >>> readers = CohortSync(destination=destination, project_id=1, cohort_id="readers")
    >>> _ = sync_cohort(buyers, [("1", "ann"), ("2", "bob"), ("3", "cy")], bucket)
    >>> _ = sync_cohort(readers, [("3", "cy"), ("4", "dee")], bucket)
    >>> found = overlap(read_history(bucket, buyers), read_history(bucket, readers))
    >>> print(found)
    group        members  of first  of second
    only first         2  66.7%
    both               1  33.3%     50.0%
    only second        1            50.0%
    Jaccard index: 25.0%
    >>> [row["user_id"] for row in found.members("only_second")]
    ['dee']
    """
    check_is_history(history)
    check_is_history(other, "other")
    check_kind("at", at, datetime | BucketSync | None, "pass an aware datetime, or a sync")
    if history.match_by != other.match_by:
        fault = (
            f"the first matches members by {history.match_by!r}, the second by {other.match_by!r}"
        )
        raise ConfigurationError("overlap of two histories", (fault,))
    if isinstance(at, BucketSync):
        at = (history if at in history else other).sync_at(at).synced_at
    sides = history.members_at(at), other.members_at(at)
    counts = Counter[int]()
    for found in count_sides(*(file_keys(m.csv_source(m.schema), m.schema) for m in sides)):
        counts.update(found)
    return Overlap(
        only_first=counts[_FIRST],
        both=counts[_BOTH],
        only_second=counts[_SECOND],
        first=sides[0],
        second=sides[1],
    )


def _chunks_of_group(of: Members, other: Members, *, are_common: bool) -> Iterator[bytes]:
    """Yield the rows of members who are also in another set, or are not, as canonical CSV."""
    yield of.schema.header_line
    sides = [(members.csv_source(members.schema), members.schema) for members in (of, other)]
    for mine, theirs in line_parts(sides):
        keys = theirs.without_lines().keys()
        lines = [line for key, line in mine.items() if (key in keys) is are_common]
        if lines:
            yield encode_lines(lines)
