"""The axes of the report's charts, and the thinning of long histories."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Self

from attrs import frozen

from .facts import Counts

MAX_BINS = 100
"""The largest number of bars of a chart."""

_MAX_TICKS = 5
"""The largest number of labels below a chart."""

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, so that steps of a week begin on Mondays
_STEPS = [timedelta(hours=n) for n in (1, 3, 6, 12)] + [timedelta(days=n) for n in (1, 2, 7, 14)]
_STEPS_IN_MONTHS = (1, 2, 3, 6, 12, 24, 60)
# Not those of the locale, because equal histories have equal reports.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@frozen
class TimeAxis:
    """The times that a chart shows, from its left edge to its right edge.

    Attributes:
        begin: The time at the left edge.
        end: The time at the right edge; it is later.
        step: The width of a bar, as a time.
    """

    begin: datetime
    end: datetime
    step: timedelta

    @classmethod
    def of(cls, times: Sequence[datetime]) -> Self:
        """Return the axis of some times in order, with half a bar before and after them."""
        first, last = times[0], times[-1]
        gaps = sorted(later - earlier for earlier, later in pairwise(times))
        usual = gaps[len(gaps) // 2] if gaps else _DAY
        # Many bars would be invisibly thin, and a few of an irregular history too wide.
        step = min(max(usual, (last - first) / MAX_BINS), max((last - first) / 8, _DAY))
        try:
            return cls(first - step / 2, last + step / 2, step)
        except OverflowError:  # a time in the first or the last year of datetime
            return cls(first, max(last, first + timedelta.resolution), step)

    def share(self, when: datetime) -> float:
        """Return the place of a time between the edges, from 0 to 1."""
        return (when - self.begin) / (self.end - self.begin)

    def ticks(self) -> list[tuple[datetime, str]]:
        """Return times at round hours, days or months, with their labels; at most a few."""
        for step in _STEPS:
            count = -(-(self.begin - _EPOCH) // step)
            # The number of ticks is computed first: a long time has millions of hours.
            number = (self.end - _EPOCH) // step - count + 1
            if number <= _MAX_TICKS:
                times = [_EPOCH + (count + n) * step for n in range(number)]
                return [(when, _day_label(when, hours=step < _DAY)) for when in times]
        first, last = (12 * when.year + when.month - 1 for when in (self.begin, self.end))
        years = 12 * count_step((last - first) // 12 + 1, max_steps=_MAX_TICKS - 1)
        steps = (*_STEPS_IN_MONTHS, years)
        months = [range(first + -first % step, last + 1, step) for step in steps]
        fitting = (found for found in months if len(found) <= _MAX_TICKS)
        counts = next(fitting, months[-1])
        whens = (datetime(n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in counts)
        return [
            (when, f"{_MONTHS[when.month - 1]} {when.year}") for when in whens if when >= self.begin
        ]


def _day_label(when: datetime, *, hours: bool) -> str:
    if hours and when.hour:
        return f"{when:%H:%M}"
    return day_name(when.date())


def day_name(day: date) -> str:
    """Return a day without its year, such as ``1 Nov``."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def count_step(largest: int, *, max_steps: int = 4) -> int:
    """Return the distance of round numbers, of which a few steps reach a count.

    >>> [count_step(count) for count in (0, 3, 40, 41, 2_065)]
    [1, 1, 10, 20, 1000]
    """
    magnitude = 1
    while True:
        for factor in (1, 2, 5):
            if factor * magnitude * max_steps >= largest:
                return factor * magnitude
        magnitude *= 10


def short_count(count: int) -> str:
    """Return the label of a round count.

    >>> [short_count(count) for count in (500, 2_500, 25_000, 2_500_000, 3_000_000_000)]
    ['500', '2,500', '25k', '2.5M', '3B']
    """
    for minimum, size, unit in ((10**9, 10**9, "B"), (10**6, 10**6, "M"), (10**4, 10**3, "k")):
        if count >= minimum:
            return f"{count / size:.12g}{unit}"
    return f"{count:,}"


@frozen(kw_only=True)
class Bin:
    """Syncs that one bar of a chart shows.

    Attributes:
        first: The time of the first sync.
        last: The time of the last sync.
        middle: The time at which the bar is drawn.
        syncs: The number of syncs.
        members: The number of members after the last sync.
        entered: The number of entries at all of them.
        exited: The number of exits at all of them.
    """

    first: datetime
    last: datetime
    middle: datetime
    syncs: int
    members: int
    entered: int
    exited: int


def bins(syncs: Sequence[Counts], axis: TimeAxis) -> list[Bin]:
    """Return a bar for each sync or, if there are too many, for each of equal parts of the time."""
    if len(syncs) <= MAX_BINS:
        return [_bin([one], one.at) for one in syncs]
    width = (axis.end - axis.begin) / MAX_BINS
    parts = dict[int, list[Counts]]()
    for one in syncs:
        number = min(int(axis.share(one.at) * MAX_BINS), MAX_BINS - 1)
        parts.setdefault(number, []).append(one)
    return [_bin(part, axis.begin + (n + 0.5) * width) for n, part in parts.items()]


def _bin(syncs: Sequence[Counts], middle: datetime) -> Bin:
    return Bin(
        first=syncs[0].at,
        last=syncs[-1].at,
        middle=middle,
        syncs=len(syncs),
        members=syncs[-1].members,
        entered=sum(one.entered for one in syncs),
        exited=sum(one.exited for one in syncs),
    )


Point = tuple[float, float]
"""A point of a line, by its distances from the left edge and from the top."""


def thinned(points: Sequence[Point], columns: int, width: float) -> list[Point]:
    """Return the points without which a line would look different in some columns of pixels.

    In each column these are the first, the lowest, the highest and the last point.

    Args:
        points: The points, from left to right.
        columns: The number of columns.
        width: The distance of the right edge.

    >>> thinned([(0.1 * n, n % 10) for n in range(100)], columns=1, width=10)
    [(0.0, 0), (0.9, 9), (9.9, 9)]
    """
    if len(points) <= 4 * columns:
        return list(points)
    parts = dict[int, list[Point]]()
    for point in points:
        parts.setdefault(int(point[0] / width * columns), []).append(point)
    return [point for part in parts.values() for point in _extremes(part)]


def _extremes(points: list[Point]) -> Iterator[Point]:
    heights = [height for _, height in points]
    ends = (0, heights.index(min(heights)), heights.index(max(heights)), len(points) - 1)
    return (points[index] for index in sorted(set(ends)))
