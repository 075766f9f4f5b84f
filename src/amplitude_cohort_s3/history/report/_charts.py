"""The charts of the report as SVG, without scripts.

Places from left to right are percentages and heights are pixels. So a chart has the width of
the window, and its texts always have the same size. Lines are drawn in an inner picture that is
stretched to that width.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from ..._display import counted
from ._scales import (
    MAX_BINS,
    Bin,
    Point,
    TimeAxis,
    bins,
    count_step,
    short_count,
    thinned,
)
from .facts import Counts

WIDTH = 1000
"""The width of the inner picture."""

_COLUMNS = 200
_TREND_COLUMNS = 40
_TREND_HEIGHT = 24
_MAX_MARKS = 60
_HEIGHT, _LABELS = 200, 24
_RIGHT_EDGE = 0.95  # the share of the width after which a centred label is cut off
_WIDEST_BAR = 0.06


def moment(when: datetime) -> str:
    """Return a time in UTC as the command prints it, without zero seconds."""
    seconds = f"{when:%S}"
    return f"{when:%Y-%m-%d %H:%M}{'' if seconds == '00' else f':{seconds}'}"


def size_chart(syncs: Sequence[Counts], axis: TimeAxis) -> str:
    """Return the number of members over time.

    Args:
        syncs: The syncs, oldest first; at least one.
        axis: The times.
    """
    largest = max(one.members for one in syncs)
    step = count_step(largest)
    top = max(step * -(-largest // step), step)
    marks = [_height(n, top) for n in range(0, top + 1, step)]
    grid = _grid(zip(marks, range(0, top + 1, step), strict=True))

    points = [(WIDTH * axis.share(one.at), _height(one.members, top)) for one in syncs]
    line = _steps(thinned(points, _COLUMNS, WIDTH))
    left, bottom = f"{points[0][0]:.0f}", _HEIGHT
    drawn = (
        f'<svg viewBox="0 0 {WIDTH} {_HEIGHT}" height="{_HEIGHT}" preserveAspectRatio="none">'
        f'<path class="area" d="{line}V{bottom}H{left}Z"/><path class="line" d="{line}"/></svg>'
    )
    if len(syncs) <= _MAX_MARKS:
        drawn += "".join(
            f'<circle cx="{_percent(x / WIDTH)}" cy="{y:.0f}" r="2.5"/>' for x, y in points
        )
    found = bins(syncs, axis)
    texts = (f"{counted(one.members, 'member')}" for one in found)
    smallest, newest = min(one.members for one in syncs), syncs[-1].members
    about = (
        f"The newest sync has {counted(newest, 'member')}. "
        f"The smallest had {smallest:,}, the largest {largest:,}."
    )
    return _chart("Members over time", about, [grid, drawn, _hover(found, texts, axis)], axis)


def changes_chart(syncs: Sequence[Counts], axis: TimeAxis) -> str:
    """Return the entries above a line and the exits below it.

    Args:
        syncs: The syncs to draw, oldest first.
        axis: The times.
    """
    found = bins(syncs, axis)
    up = max((one.entered for one in found), default=0)
    down = max((one.exited for one in found), default=0)
    step = count_step(up + down, max_steps=5)
    top, bottom = (max(step * -(-count // step), step) for count in (up, down))
    zero = round(_HEIGHT * top / (top + bottom))
    scale = _HEIGHT / (top + bottom)
    counts = range(-bottom, top + 1, step)
    drawn = [_grid((round(zero - n * scale), abs(n)) for n in counts)]
    width = _bar_width(axis)
    for one in found:
        left = axis.share(one.middle) - width / 2
        place = f'x="{_percent(left)}" width="{_percent(width)}"'
        if one.entered:
            height = max(one.entered * scale, 1)
            drawn.append(
                f'<rect class="in" {place} y="{zero - height:.1f}" height="{height:.1f}"/>'
            )
        if one.exited:
            height = max(one.exited * scale, 1)
            drawn.append(f'<rect class="out" {place} y="{zero}" height="{height:.1f}"/>')
    drawn.append(f'<line class="zero" x2="100%" y1="{zero}" y2="{zero}"/>')
    texts = (f"{one.entered:,} entered, {one.exited:,} exited" for one in found)
    entered, exited = sum(one.entered for one in found), sum(one.exited for one in found)
    about = (
        f"In total {entered:,} entered and {exited:,} exited. "
        f"Entries are drawn upwards and exits downwards."
    )
    return _chart("Entries and exits", about, [*drawn, _hover(found, texts, axis)], axis)


def trend(name: str, points: Sequence[tuple[datetime, float]], axis: TimeAxis) -> str:
    """Return a small line of a share over time, from 0 at the bottom to 1 at the top.

    Args:
        name: The subject, for people who do not see the picture.
        points: The times and shares, oldest first; at least one.
        axis: The times.
    """
    edge = 2  # Without it, a line at the edge would be cut in half.
    inner = _TREND_HEIGHT - 2 * edge
    places = [(WIDTH * axis.share(when), edge + inner * (1 - share)) for when, share in points]
    line = _steps(thinned(places, _TREND_COLUMNS, WIDTH))
    left = f"{places[0][0]:.0f}"
    return (
        f'<svg class="trend" role="img" viewBox="0 0 {WIDTH} {_TREND_HEIGHT}" '
        f'preserveAspectRatio="none"><title>{escape(name)}</title>'
        f'<path class="area" d="{line}V{_TREND_HEIGHT}H{left}Z"/>'
        f'<path class="line" d="{line}"/></svg>'
    )


def bar_span(axis: TimeAxis, syncs: Sequence[Counts]) -> str:
    """Return the number of syncs that a bar shows, as a sentence."""
    if len(syncs) <= MAX_BINS:
        return "Each bar is a sync."
    hours = (axis.end - axis.begin).total_seconds() / MAX_BINS / 3600
    span = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"  # noqa: PLR2004 -- two days
    return f"Each bar adds up the syncs of {span}."


def _height(count: int, top: int) -> int:
    return round(_HEIGHT * (1 - count / top))


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _bar_width(axis: TimeAxis) -> float:
    return min(0.8 * (axis.step / (axis.end - axis.begin)), _WIDEST_BAR)


def _steps(points: Sequence[Point]) -> str:
    """Return the path of a line that keeps its height until the next point and the right edge."""
    x, y = points[0]
    parts = [f"M{x:.0f} {y:.0f}"]
    for right, height in points[1:]:
        # The height is compared as it is drawn; most lines have long level parts.
        if f"{height:.0f}" != f"{y:.0f}":
            parts.append(f"H{right:.0f}V{height:.0f}")
            y = height
    return "".join(parts) + f"H{WIDTH}"


def _grid(marks: Iterable[tuple[int, int]]) -> str:
    """Return lines at some heights, with the counts that they mean in the left margin."""
    return "".join(
        f'<line class="grid" x2="100%" y1="{y}" y2="{y}"/>'
        f'<text class="count" x="-8" y="{y + 4}">{short_count(count)}</text>'
        for y, count in marks
    )


def _hover(found: Sequence[Bin], texts: Iterable[str], axis: TimeAxis) -> str:
    """Return invisible columns that show their texts under the mouse."""
    width = axis.step / (axis.end - axis.begin)
    parts = list[str]()
    for one, text in zip(found, texts, strict=True):
        when = moment(one.first)
        if one.syncs > 1:
            when += f" to {moment(one.last)} ({one.syncs} syncs)"
        left = _percent(axis.share(one.middle) - width / 2)
        parts.append(
            f'<rect class="hover" x="{left}" width="{_percent(width)}" height="{_HEIGHT}">'
            f"<title>{when}: {text}</title></rect>"
        )
    return "".join(parts)


def _chart(title: str, about: str, drawn: Iterable[str], axis: TimeAxis) -> str:
    name = title.partition(" ")[0].lower()
    labels = list[str]()
    for when, label in axis.ticks():
        share = axis.share(when)
        end = ' class="end"' if share > _RIGHT_EDGE else ""
        place = _percent(share)
        labels.append(
            f'<line class="tick" x1="{place}" x2="{place}" y1="{_HEIGHT}" y2="{_HEIGHT + 5}"/>'
            f'<text{end} x="{place}" y="{_HEIGHT + 19}">{label}</text>'
        )
    return (
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-about" '
        f'height="{_HEIGHT + _LABELS}">'
        f'<title id="{name}-title">{title}</title><desc id="{name}-about">{about}</desc>'
        f"{''.join(labels)}{''.join(drawn)}</svg>"
    )
