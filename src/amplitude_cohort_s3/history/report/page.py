"""The page of a report: facts to HTML. Every text of the bucket is escaped here."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape

from ..._display import counted
from ...log.stream import CohortStream
from ..findings import Finding
from ._charts import bar_span, changes_chart, moment, size_chart, trend
from ._scales import TimeAxis
from ._style import STYLE
from .facts import Counts, Facts, Run
from .report import HistoryReport

MAX_RUNS = 100
"""The number of runs that a report shows: the newest ones."""

MAX_PROPERTIES = 50
"""The number of properties that a report shows: the first ones."""

MAX_FINDINGS = 100
"""The number of findings that a report shows: the first ones."""

_BAD_STATES = {"void", "unfinished", "incomplete"}

# No browser loads or runs anything, even if a text were not escaped.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report_of(facts: Facts) -> HistoryReport:
    """Return the report of some facts; equal facts have equal reports."""
    title = f"Cohort {facts.stream.cohort_id}"
    html = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n"
        "<body>\n<main>\n<article>\n"
        + "\n".join(_sections(facts, title))
        + "\n</article>\n</main>\n</body>\n</html>\n"
    )
    return HistoryReport(title=title, html=html, findings=facts.findings)


def _sections(facts: Facts, title: str) -> Iterator[str]:
    yield f"<header>\n<h1>{escape(title)}</h1>\n<p>{_subtitle(facts)}</p>\n</header>"
    if facts.syncs:
        yield _tiles(facts)
        axis = TimeAxis.of([one.at for one in facts.syncs])
        yield _section("Members over time", _size(facts.syncs, axis))
        yield _section("Entries and exits", _changes(facts.syncs, axis))
        yield _section("Properties with a value", _filled(facts, axis))
    else:
        yield _section("Members over time", "<p>No sync is published.</p>")
    yield _section("Runs", _runs(facts.runs))
    yield _section("Verification", _verification(facts.findings))
    notes = "All times are in UTC. This page counts users and names none."
    if facts.generated is not None:
        notes = f"Made {_time(facts.generated)}. {notes}"
    yield f"<footer>{notes}</footer>"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>"


def _subtitle(facts: Facts) -> str:
    times = [one.at for one in facts.syncs] or [run.at for run in reversed(facts.runs)]
    first, last = times[0], times[-1]
    # Runs of one moment, and a single sync, have no range.
    span = _time(first) if first == last else f"{_time(first)} to {_time(last)}"
    where = " &middot; ".join([*_parts(facts.stream), f"matched by {_code(facts.match_by)}"])
    return f"{counted(len(facts.syncs), 'sync')}, {span}<br>{where}"


def _parts(stream: CohortStream) -> Iterator[str]:
    if stream.project_id is not None:
        yield f"project {stream.project_id}"
    if stream.path:
        yield f"folder {_code(stream.path)}"
    if stream.routing_key is not None:
        yield f"routing key {_code(stream.routing_key)}"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _time(when: datetime) -> str:
    return f'<time datetime="{when.isoformat()}">{moment(when)}</time>'


# --- Numbers and charts ------------------------------------------------------------------


def _tiles(facts: Facts) -> str:
    first, last = facts.syncs[0], facts.syncs[-1]
    later = _later(facts.syncs)
    change = last.members - first.members
    since = f"{change:+,} since the first sync"
    if first.members and change:
        since = f"{change:+,} ({change / first.members:+.1%}) since the first sync"
    if len(facts.syncs) == 1:
        since = "at the only sync"
    entered, exited = sum(one.entered for one in later), sum(one.exited for one in later)
    bad = sum(run.state in _BAD_STATES for run in facts.runs)
    tiles = [
        ("Members", last.members, since),
        ("Entered", entered, f"{last.entered:,} at the newest sync"),
        ("Exited", exited, f"{last.exited:,} at the newest sync"),
        ("Syncs", len(facts.syncs), f"and {bad:,} void or unfinished"),
    ]
    shown = "\n".join(
        [f"<div><dt>{name}</dt><dd>{n:,}</dd><dd>{more}</dd></div>" for name, n, more in tiles]
    )
    return f'<dl class="tiles">\n{shown}\n</dl>'


def _later(syncs: Sequence[Counts]) -> Sequence[Counts]:
    """Return the syncs without a first one at which everyone entered.

    Its bar would make all others invisibly small, and it is not a change of the cohort.
    """
    is_initial = len(syncs) > 1 and syncs[0].entered == syncs[0].members
    return syncs[1:] if is_initial else syncs


def _figure(chart: str, caption: str) -> str:
    return f"<figure>\n{chart}\n<figcaption>{caption}</figcaption>\n</figure>"


def _size(syncs: Sequence[Counts], axis: TimeAxis) -> str:
    members = [one.members for one in syncs]
    least, most = min(members), max(members)
    caption = f"Between {least:,} and {counted(most, 'member')}."
    if least == most:
        caption = f"{counted(most, 'member')} at each sync."
    return _figure(size_chart(syncs, axis), caption)


def _changes(syncs: Sequence[Counts], axis: TimeAxis) -> str:
    later = _later(syncs)
    caption = '<span class="key in"></span>entered <span class="key out"></span>exited. '
    caption += bar_span(axis, syncs)
    if len(later) < len(syncs):
        members = counted(syncs[0].members, "member")
        caption += f" The first sync is left out: it began the cohort with {members}."
    return _figure(changes_chart(later, axis), caption)


# --- Properties --------------------------------------------------------------------------


def _filled(facts: Facts, axis: TimeAxis) -> str:
    if not facts.filled:
        has_record = any(run.writer for run in facts.runs)
        reason = (
            "The syncs have no properties."
            if has_record
            else "The log counts the values of properties, and no sync here is in a log."
        )
        return f"<p>{reason}</p>"
    rows = [
        (
            escape(name),
            _percent(shares[-1][1]),
            trend(f"{name}: {_percent(shares[-1][1])} at the newest sync", shares, axis),
            _percent(shares[0][1]),
            _percent(min(share for _, share in shares)),
        )
        for name, shares in list(facts.filled.items())[:MAX_PROPERTIES]
    ]
    shown = _shown(len(facts.filled), MAX_PROPERTIES, "property", "properties", "first")
    caption = f"The share of the members who have a value{shown}. Lines go from 0 to 100%."
    columns = {"Property": "text", "Newest": "n", "Trend": "", "First": "n", "Lowest": "n"}
    return _table("fill", caption, columns, rows)


def _percent(share: float) -> str:
    text = f"{share:.1%}"
    if share < 1 and text == "100.0%":
        return "&lt; 100%"
    if share > 0 and text == "0.0%":
        return "&gt; 0%"
    return {"100.0%": "100%", "0.0%": "0%"}.get(text, text)


# --- Tables ------------------------------------------------------------------------------


def _shown(number: int, limit: int, singular: str, plural: str, which: str) -> str:
    if number <= limit:
        return ""
    return f"; the {which} {limit:,} of {counted(number, singular, plural)}"


_Cells = Sequence[str | int | None]
"""A row: HTML that is escaped already, counts, and None for nothing."""


def _table(name: str, caption: str, columns: Mapping[str, str], rows: Sequence[_Cells]) -> str:
    """Return a table that can be scrolled sideways with the mouse and with the keyboard.

    Args:
        name: The class of the table.
        caption: The caption.
        columns: The class of each column: ``n`` for numbers, ``text`` for long texts, or none.
        rows: The rows; their first cells are headers. A column without any value is left out.
    """
    used = [i for i in range(len(columns)) if any(row[i] not in (None, "") for row in rows)]
    names = list(columns)
    classes = [f' class="{kind}"' if kind else "" for kind in columns.values()]
    head = "".join([f'<th scope="col"{classes[i]}>{names[i]}</th>' for i in used])
    body = "\n".join(
        [
            f'<tr><th scope="row"{classes[0]}>{row[0]}</th>'
            + "".join([f"<td{classes[i]}>{_cell(row[i])}</td>" for i in used[1:]])
            + "</tr>"
            for row in rows
        ]
    )
    return (
        f'<div class="wide" role="region" aria-label="{caption}" tabindex="0">\n'
        f'<table class="{name}">\n<caption><span>{caption}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _cell(cell: str | int | None) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) else cell


_RUN_COLUMNS = {
    "Time": "",
    "State": "",
    **dict.fromkeys(("Members", "Entered", "Exited", "Bytes", "Skipped"), "n"),
    "Requested": "",
    "Writer": "",
    "Source": "text",
    "Notes": "text",
}


def _runs(runs: Sequence[Run]) -> str:
    rows = [
        (
            _time(run.at),
            _state(run.state),
            *((None,) * 3 if run.counts is None else run.counts.numbers),
            run.size,
            run.skipped,
            None if run.requested_at is None else _time(run.requested_at.replace(microsecond=0)),
            _code(run.writer) if run.writer else None,
            escape("; ".join(f"{name}: {text}" for name, text in run.source.items())),
            escape("; ".join(run.notes)),
        )
        for run in runs[:MAX_RUNS]
    ]
    caption = f"Newest first{_shown(len(runs), MAX_RUNS, 'run', 'runs', 'newest')}."
    return _table("runs", caption, _RUN_COLUMNS, rows)


def _state(state: str) -> str:
    return f'<strong class="bad">{state}</strong>' if state in _BAD_STATES else state


def _verification(findings: tuple[Finding, ...] | None) -> str:
    if findings is None:
        return (
            "<p>The files were not verified, because that reads all of them. To verify them, run "
            "<code>amplitude-cohort-s3 report NAME --output FILE --verify</code> or call "
            "<code>history.report(verify=True)</code>.</p>"
        )
    if not findings:
        return (
            '<p><strong class="good">No findings.</strong> All files were read: they agree with '
            "each other and with the log.</p>"
        )
    rows = [
        (
            "unknown" if one.synced_at is None else _time(one.synced_at),
            f'<span class="bad">{escape(one.kind.value)}</span>',
            one.count,
            escape(one.detail),
            _code(one.key) if one.key is not None else None,
        )
        for one in findings[:MAX_FINDINGS]
    ]
    shown = _shown(len(findings), MAX_FINDINGS, "finding", "findings", "first")
    caption = f"All files were read: {counted(len(findings), 'finding')}{shown}."
    columns = {"Sync": "", "Finding": "text", "Count": "n", "Detail": "text", "Key": "text"}
    return _table("findings", caption, columns, rows)
