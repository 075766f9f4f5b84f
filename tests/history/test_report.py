"""The report of a history. ``tests/reports_in_browser.py`` looks at the same pages in Chromium."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from attrs import evolve
from report_histories import DAY, HISTORIES, HOSTILE, long_report
from syncs import AT, OLD, STREAM, SYNC, run_sync

from amplitude_cohort_s3 import MemoryStorage, adopt, read_history, sync_cohort
from amplitude_cohort_s3.errors import NaiveDatetimeError, NoSyncYetError
from amplitude_cohort_s3.history.report._scales import TimeAxis, thinned

VOID_ELEMENTS = {"meta", "br"}
ACTIVE = {"script", "img", "link", "iframe", "object", "embed", "form", "base", "a", "use", "image"}


class Page(HTMLParser):
    """The texts, the elements and the tables of a page; each element must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts = list[str]()
        self.elements = list[tuple[str, dict[str, str | None]]]()
        self._open = list[str]()
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID_ELEMENTS:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(params=HISTORIES)
def history(request):
    return HISTORIES[request.param]()


@pytest.mark.parametrize("verify", [True, False])
def test_every_history_has_a_report_that_needs_no_network_and_runs_nothing(history, verify):
    report = history.report(verify=verify)
    page = Page(report.html)
    assert ("html", {"lang": "en"}) in page.elements
    assert report.title in page.text
    assert not {tag for tag, _ in page.elements} & ACTIVE
    names = {name for _, attributes in page.elements for name in attributes}
    assert not names & {"src", "href", "xlink:href"}
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in report.html
    assert "default-src 'none'" in report.html


def test_a_report_contains_no_user(history):
    html = history.report(verify=True).html
    rows = [row for sync in history for t in sync.files for row in _rows(history, sync, t)]
    assert rows or len(history) < 2
    # Shorter cells, such as a number or the code of a country, are parts of other words.
    cells = {cell for row in rows for cell in row if len(cell) > 3}
    assert not [cell for cell in cells if cell in html]


def _rows(history, sync, diff_type):
    with history.stored(sync, diff_type) as file:
        return [line.split(",") for line in file.read().decode().splitlines()[1:]]


def test_the_numbers_are_those_of_the_churn():
    history = HISTORIES["sample"]()
    page, churn = Page(history.report().html), history.churn()
    assert f"Members {churn[-1].members:,}" in page.text
    assert f"Entered {sum(one.entered for one in churn[1:]):,}" in page.text
    for one in churn[1:]:
        counts = f"{one.members:,} {one.entered:,} {one.exited:,} "
        assert f"{one.synced_at:%Y-%m-%d %H:%M} published {counts}" in page.text
        assert f"{one.entered:,} entered, {one.exited:,} exited" in page.text
    last = history.record(history[-1])
    assert last.writer[:8] in page.text
    assert last.writer not in page.text
    assert f"plan {last.filled['plan'] / last.members:.1%}" in page.text


@pytest.mark.parametrize("adopted", [False, True])
def test_the_bytes_are_those_that_are_stored(adopted):
    history = _compressed(adopted=adopted)
    text = Page(history.report().html).text
    for sync in history:
        size = sum(info.size for info in sync.files.values())
        assert re.search(rf"{sync.synced_at:%Y-%m-%d %H:%M} \w+ [\d, ]* {size:,} ", text)


def _compressed(*, adopted: bool):
    storage = MemoryStorage()
    sync = evolve(SYNC, destination=evolve(SYNC.destination, compression="gzip"))
    sync_cohort(sync, OLD, storage, synced_at=AT, clock=lambda: AT)
    if adopted:
        for info in list(storage.list_objects(sync.stream.log_prefix)):
            storage.delete(info.key)
        adopt(storage, sync)
    return read_history(storage, sync)


def test_files_that_are_pruned_or_edited_do_not_change_the_numbers():
    for name, note in (("pruned", "forget"), ("damaged", "a file differs from its record")):
        text = Page(HISTORIES[name]().report(verify=True).html).text
        assert "no longer in the bucket: existing" in text
        assert note in text


def test_void_and_unfinished_syncs_and_those_without_a_log_are_shown():
    assert "void" in Page(HISTORIES["void_only"]().report().html).text
    assert re.search(r"\d unfinished \d", Page(HISTORIES["unfinished"]().report().html).text)
    foreign = Page(HISTORIES["foreign"]().report().html).text
    assert foreign.count("not in the log 3 ") + foreign.count("not in the log 2 ") == 3
    assert "no sync here is in a log" in foreign


def test_a_stream_without_a_sync_has_no_report():
    storage = MemoryStorage()
    with pytest.raises(NoSyncYetError):
        read_history(storage, SYNC).report()
    run_sync(storage, OLD)
    with pytest.raises(NoSyncYetError):
        read_history(storage, SYNC, since=AT + DAY).report()


def test_texts_of_the_bucket_are_texts_of_the_page():
    report = HISTORIES["hostile"]().report(verify=True)
    page = Page(report.html)
    assert page.text.count(HOSTILE) >= 2  # the path and a property
    assert report.html.count("<img") == 0
    assert report.html.count("</script") == 0
    # In a notebook, the page is an attribute of one element.
    (frame,) = [a for tag, a in Page(report._repr_html_()).elements]
    assert frame["srcdoc"] == report.html
    assert frame["sandbox"] is None
    assert frame.keys() == {"sandbox", "title", "srcdoc", "style"}


def test_equal_histories_have_equal_reports_without_a_clock():
    storage = MemoryStorage()
    run_sync(storage, OLD)
    one, other = (read_history(storage, SYNC).report() for _ in range(2))
    assert one == other
    assert "Made" not in str(one)
    made = read_history(storage, STREAM).report(generated=datetime(2026, 12, 1, 9, tzinfo=UTC))
    assert "Made 2026-12-01 09:00" in Page(str(made)).text
    with pytest.raises(NaiveDatetimeError):
        read_history(storage, SYNC).report(generated=datetime(2026, 12, 1))  # noqa: DTZ001


def test_a_report_states_whether_the_files_were_verified():
    history = HISTORIES["damaged"]()
    unverified, verified = history.report(), history.report(verify=True)
    assert unverified.findings is None
    assert "amplitude-cohort-s3 report NAME --output FILE --verify" in unverified.html
    assert verified.findings == history.verify() != ()
    assert "2 findings" in verified.html
    assert "No findings." in HISTORIES["sample"]().report(verify=True).html


def test_a_long_history_is_thinned():
    short, long = long_report(100).html, long_report(2000).html
    assert "the newest 100 of 2,000 runs" in long
    assert "the first 50 of 60 properties" in long
    assert long.count("<tr>") == short.count("<tr>")
    assert len(long) < 200_000
    assert len(long_report(100_000, properties=1).html) < 120_000
    assert "Each bar is a sync." in short
    assert "Each bar adds up the syncs of 20.2 hours." in long
    bars = re.findall(r"<title>[^<]*\((\d+) syncs\): ([\d,]+) entered, ", long)
    assert len(bars) == 100
    assert sum(int(syncs) for syncs, _ in bars) == 1999 + 1
    assert sum(int(n.replace(",", "")) for _, n in bars) == sum(1200 + n % 7 for n in range(2000))


def test_a_thinned_line_keeps_the_extremes():
    points = [(float(n), float((n * 7919) % 1000)) for n in range(1000)]
    kept = thinned(points, 10, 1000)
    assert len(kept) <= 40
    assert kept == sorted(kept)
    assert {min(points, key=lambda p: p[1]), max(points, key=lambda p: p[1])} <= set(kept)


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (timedelta(0), ["06:00", "12:00", "18:00", "24 Nov"]),
        (timedelta(days=27), ["23 Nov", "30 Nov", "7 Dec", "14 Dec", "21 Dec"]),
        (timedelta(days=100), ["Dec 2026", "Jan 2027", "Feb 2027", "Mar 2027"]),
        (timedelta(days=3650), ["Jan 2028", "Jan 2030", "Jan 2032", "Jan 2034", "Jan 2036"]),
    ],
)
def test_the_axis_has_a_few_round_times(span, labels):
    axis = TimeAxis.of([AT] if not span else [AT, AT + span / 2, AT + span])
    ticks = axis.ticks()
    assert [label for _, label in ticks] == labels
    assert all(0 <= axis.share(when) <= 1 for when, _ in ticks)


FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "times", [[FIRST], [LAST], [FIRST, LAST], [FIRST, FIRST + timedelta(microseconds=1)]]
)
def test_the_axis_reaches_the_first_and_the_last_year(times):
    axis = TimeAxis.of(times)
    assert len(axis.ticks()) <= 5
    assert all(0 <= axis.share(when) <= 1 for when in times)


def test_a_report_is_saved_as_utf_8(tmp_path):
    report = HISTORIES["one_sync"]().report()
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.html == str(report)
    size = f"{len(report.html):,}"
    assert repr(report) == f"HistoryReport(title='Cohort 26umsb5', html=<{size} characters>)"
