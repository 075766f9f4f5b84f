"""The plot of a cohort over time. Needs the extra ``plot``, which installs matplotlib."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from .._optional import load

HistoryPoint = tuple[datetime, int, int, int]
"""The time of a sync, and the numbers of members, of entries and of exits."""

MAX_POINTS = 60
"""The largest number of syncs for which each is marked by a point."""

# Blue, green and vermilion of Okabe and Ito, which colour-blind people can distinguish.
_SIZE, _ENTERED, _EXITED = "#0072B2", "#009E73", "#D55E00"


def plot_history(points: Iterable[HistoryPoint], ax: Any = None, *, title: str = "") -> Any:
    """Draw the size of a cohort over time, and below it the entries and exits.

    Entries are drawn above the zero line and exits below it, on their own axis: they are a
    few per cent of the size and would be invisible on its scale. At the first sync of a
    cohort everyone enters; that bar is cut off and labelled.

    Args:
        points: One point for each sync, in order of time.
        ax: The axes to draw on, which are divided in two. Default: a new figure.
        title: The title of the plot.

    Returns:
        The axes of the size; its figure is ``ax.figure``.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pyplot = load("matplotlib.pyplot", "plot")
    dates, ticker = load("matplotlib.dates", "plot"), load("matplotlib.ticker", "plot")
    if ax is None:
        _, ax = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    # Inset axes also work in axes of the caller's own figure.
    changes = ax.inset_axes((0, 0, 1, 0.3))
    size = ax.inset_axes((0, 0.4, 1, 0.6), sharex=changes)
    ax.axis("off")

    columns = list(zip(*points, strict=True)) or [(), (), (), ()]
    times, sizes, entered, exited = columns
    # The members do not change between two syncs.
    size.step(times, sizes, where="post", color=_SIZE, linewidth=1.8)
    size.plot(times, sizes, ".", color=_SIZE, markersize=_marker_size(len(times)))
    size.fill_between(times, sizes, step="post", color=_SIZE, alpha=0.12, linewidth=0)
    width = _bar_width([dates.date2num(time) for time in times])
    changes.bar(times, entered, width, color=_ENTERED, label="entered")
    changes.bar(times, [-count for count in exited], width, color=_EXITED, label="exited")
    # The colours of the style that is in use, which may be dark.
    changes.axhline(0, color=changes.spines["left"].get_edgecolor(), linewidth=0.8)

    size.set_title(title)
    size.set_ylim(bottom=0)
    size.set_ylabel("members")
    size.tick_params(axis="x", length=0, labelbottom=False)
    changes.set_ylabel("changes")
    if times:
        # In the gap between the two axes it hides nothing.
        changes.legend(
            loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2, frameon=False, fontsize="small"
        )
        _scale(changes, times[0], sizes, entered, exited)
    if len(times) == 1:
        day = timedelta(days=1)
        changes.set_xlim(times[0] - day, times[0] + day)
    locator = dates.AutoDateLocator(minticks=3, maxticks=9)
    changes.xaxis.set_major_locator(locator)
    changes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    for part in (size, changes):
        part.yaxis.set_major_formatter(ticker.FuncFormatter(_count))
        part.yaxis.set_major_locator(ticker.MaxNLocator(nbins=4, integer=True))
        part.grid(axis="y", alpha=0.35, linewidth=0.8)
        part.set_axisbelow(True)
        part.spines[["top", "right"]].set_visible(False)
    return size


def _scale(
    changes: Any,
    first: datetime,
    sizes: Sequence[int],
    entered: Sequence[int],
    exited: Sequence[int],
) -> None:
    """Fit the axis to the usual bars; the first sync's would make all others invisible."""
    is_first = entered[0] == sizes[0] and len(sizes) > 1
    usual = entered[1:] if is_first else entered
    top, bottom = 1.15 * max(*usual, 1), 1.15 * max(exited)
    if is_first and entered[0] > top:
        changes.annotate(
            f"first sync: {entered[0]:,}",
            (first, 1),
            (-4, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="bottom",
            fontsize="small",
        )
    changes.set_ylim(-max(bottom, 0.15 * top), top)


def _count(value: float, _place: int) -> str:
    """Return the label of a count; exits are drawn as negative numbers."""
    return f"{abs(value):,.0f}"


def _marker_size(syncs: int) -> int:
    """Return 0, no markers, if there would be too many to distinguish."""
    return 5 if syncs <= MAX_POINTS else 0


def _bar_width(days: list[float]) -> float:
    """Return a fraction of the median distance of two syncs, so that no bar hides another."""
    gaps = sorted(later - earlier for earlier, later in pairwise(days))
    return 0.8 * gaps[len(gaps) // 2] if gaps else 0.05
