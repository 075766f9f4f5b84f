"""The plot of a history, checked through the axes that matplotlib draws."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from amplitude_cohort_s3 import MemoryStorage, errors, read_history
from amplitude_cohort_s3.history._plot import HistoryPoint, plot_history
from amplitude_cohort_s3.testing.sample_bucket import fill_bucket

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

START = datetime(2026, 11, 1, tzinfo=UTC)
POINTS: list[HistoryPoint] = [
    (START, 1000, 1000, 0),
    (START + timedelta(days=1), 1010, 30, 20),
    (START + timedelta(days=2), 1005, 0, 5),
]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    matplotlib.pyplot.close("all")


def test_the_plot_shows_sizes_entries_and_exits():
    size = plot_history(iter(POINTS))
    assert list(size.lines[0].get_ydata()) == [1000, 1010, 1005]
    (changes,) = [ax for ax in size.figure.axes[0].child_axes if ax is not size]
    assert [bar.get_height() for bar in changes.patches] == [1000, 30, 0, 0, -20, -5]
    size.figure.draw_without_rendering()
    assert {t.get_text() for t in changes.get_legend().get_texts()} == {"entered", "exited"}
    # No label is negative or a fraction.
    labels = [label.get_text() for label in changes.get_yticklabels()]
    assert all(label.replace(",", "").isdigit() for label in labels)


def test_the_bar_of_the_first_sync_does_not_hide_the_others():
    size = plot_history(POINTS)
    (changes,) = [ax for ax in size.figure.axes[0].child_axes if ax is not size]
    assert changes.get_ylim()[1] < 40
    assert [text.get_text() for text in changes.texts] == ["first sync: 1,000"]
    # A history that begins later does not have this bar.
    later = plot_history(POINTS[1:])
    (changes,) = [ax for ax in later.figure.axes[0].child_axes if ax is not later]
    assert not changes.texts


def test_the_plot_of_a_history_names_the_cohort():
    storage = MemoryStorage()
    history = read_history(storage, fill_bucket(storage, syncs=3))
    axes = history.plot()
    assert axes.get_title() == "Cohort 26umsb5 of project 123"
    axes.set_title("mine")
    shown = [ax.get_title(place) for ax in axes.figure.axes for place in ("left", "center")]
    assert [title for title in shown if title] in ([], ["mine"])


def test_a_script_saves_the_plot_without_a_display(tmp_path):
    code = """
from amplitude_cohort_s3 import MemoryStorage, read_history
from amplitude_cohort_s3.testing.sample_bucket import fill_bucket
storage = MemoryStorage()
ax = read_history(storage, fill_bucket(storage, syncs=3)).plot()
ax.figure.savefig("x.png")
"""
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    height, width, _ = matplotlib.pyplot.imread(tmp_path / "x.png").shape
    assert (width, height) == (900, 450)


def test_the_lines_have_the_colours_of_the_style():
    with matplotlib.style.context("dark_background"):
        size = plot_history(POINTS)
        (changes,) = [ax for ax in size.figure.axes[0].child_axes if ax is not size]
        zero = changes.lines[0]
        assert matplotlib.colors.to_rgb(zero.get_color()) == (1, 1, 1)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_histories_can_be_drawn(count: int):
    plot_history(POINTS[:count]).figure.draw_without_rendering()


def test_the_plot_can_be_drawn_on_given_axes():
    _, (left, right) = matplotlib.pyplot.subplots(1, 2)
    assert plot_history(POINTS, ax=right).figure is right.figure
    assert not left.child_axes


def test_a_missing_matplotlib_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.MissingExtraError, match=r"amplitude_cohort_s3\[plot\]"):
        plot_history(POINTS)
