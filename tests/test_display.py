"""What a notebook is given: small, escaped, whole."""

from datetime import UTC, datetime
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    MemoryStorage,
    diff_members,
    plan_sync,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3.display import html_table


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags = list[str]()
        self.texts = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert attrs in ([], [("align", "right")])
        if tag in ("caption", "th", "td"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))


@given(TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3))
def test_every_text_is_escaped_and_comes_back(title: str, rows: list[tuple[str, str]]):
    reader = Reader()
    reader.feed(html_table(title, ("<a>", "&b"), rows))
    reader.close()
    assert reader.texts == [title, "<a>", "&b", *[cell for row in rows for cell in row]]
    assert set(reader.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_a_plan_shows_counts_and_keys_and_no_user():
    sync = CohortSync(
        destination=Destination(name="d", path="x"), project_id=1, cohort_id="a", routing_key="<b>"
    )
    with diff_members([], [("1", "secret")] * 2, schema=sync.schema) as diff:
        plan = plan_sync(
            sync, diff, synced_at=datetime(2026, 11, 23, 14, 5, tzinfo=UTC), previous=None
        )
    html = plan._repr_html_()
    assert "x/1_a_2026-11-23T14:05_entering_&lt;b&gt;.csv" in html
    assert "0 → 1 members" in html
    assert "secret" not in html
    assert len(html) < 1000


def test_a_result_and_a_history_show_counts_and_no_user():
    storage = MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d", path="x"), project_id=1, cohort_id="a", routing_key="<b>"
    )
    for day in range(1, 13):
        when = datetime(2026, 1, day, tzinfo=UTC)
        result = sync_cohort(sync, [("1", "secret")], storage, synced_at=when)
    history = read_history(storage, sync.stream)
    reading, storage.open = storage.open, None  # a notebook shows a value without any reading
    shown = [result._repr_html_(), history._repr_html_()]
    storage.open = reading
    for html in shown:
        assert "secret" not in html
        assert "<b>" not in html
        assert len(html) < 2500
    assert "x/1_a_2026-01-12T00:00_entering_&lt;b&gt;.csv" in shown[0]
    assert "12 syncs, 2026-01-01" in shown[1]
    assert shown[1].count("<tr>") == 1 + 10
