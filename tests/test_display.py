"""Values in texts and notebooks: small, escaped, complete, and without users."""

import pickle
import re
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from typing import Any, BinaryIO

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import (
    CohortHistory,
    CohortStream,
    CohortSync,
    Destination,
    DiffType,
    MemoryStorage,
    RowSchema,
    UserProperty,
    diff_members,
    list_streams,
    read_head,
    read_history,
    sync_cohort,
)
from amplitude_cohort_s3._display import html_table
from amplitude_cohort_s3.errors import NoSyncYetError, RecordFormatError
from amplitude_cohort_s3.history.events import ChurnTable
from amplitude_cohort_s3.log.keys import LogEntry
from amplitude_cohort_s3.log.listing import SyncState, UnpublishedSync
from amplitude_cohort_s3.log.sync_log import SyncLog
from amplitude_cohort_s3.sync import plan_sync


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags = list[str]()
        self.texts = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert attrs in ([], [("style", "text-align: left")], [("style", "text-align: right")])
        if tag in ("caption", "th", "td"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))


@given(TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3))
def test_every_text_of_a_table_is_escaped(title: str, rows: list[tuple[str, str]]):
    reader = Reader()
    reader.feed(html_table(title, ("<a>", "&b"), rows, ["<note>", "&c"]))
    reader.close()
    cells = [cell for row in rows for cell in row]
    assert reader.texts == [f"{title}<note>&c", "<a>", "&b", *cells]
    assert set(reader.tags) <= {"table", "caption", "br", "thead", "tbody", "tr", "th", "td"}


def test_a_plan_shows_counts_and_keys_but_no_user():
    sync = CohortSync(
        destination=Destination(name="d", path="x"), project_id=1, cohort_id="a", routing_key="<b>"
    )
    with diff_members([], [("1", "secret")] * 2, schema=sync.schema) as diff:
        plan = plan_sync(
            sync, diff, synced_at=datetime(2026, 11, 23, 14, 5, tzinfo=UTC), previous=None
        )
    html = plan._repr_html_()
    assert "x/1_a_2026-11-23T14:05_entering_&lt;b&gt;.csv" in html
    assert "0 -&gt; 1 members" in html
    assert "secret" not in html
    assert len(html) < 1500


def test_a_result_and_a_history_show_counts_but_no_user():
    storage = MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d", path="x"), project_id=1, cohort_id="a", routing_key="<b>"
    )
    for day in range(1, 13):
        when = datetime(2026, 1, day, tzinfo=UTC)
        result = sync_cohort(sync, [("1", "secret")], storage, synced_at=when)
    storage = Recorder(storage)
    history = read_history(storage, sync.stream)
    shown = [result._repr_html_(), history._repr_html_()]
    for html in shown:
        assert "secret" not in html
        assert "<b>" not in html
        assert len(html) < 3500
    assert "x/1_a_2026-01-12T00:00_entering_&lt;b&gt;.csv" in shown[0]
    assert "newest 10 of 12 syncs, 2026-01-01" in shown[1]
    reader = Reader()
    reader.feed(shown[1])
    assert reader.texts[1:9] == [
        *("sync", "members", "entered", "exited"),
        *("2026-01-03 00:00:00", "1", "0", "0"),
    ]
    assert len(reader.texts) == 1 + 4 + 4 * 10
    # Only the log is read, each entry once: the ten shown, and the search for the first of them.
    assert all("/_syncs/" in key for key in storage.opened)
    assert len(storage.opened) == len(set(storage.opened)) <= 12


class Recorder(MemoryStorage):
    """Another view of a storage, with a list of the keys that are opened."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.__dict__.update(storage.__dict__)
        self.opened = list[str]()

    def open(self, key: str, **keywords: Any) -> BinaryIO:
        self.opened.append(key)
        return super().open(key, **keywords)


def short_bucket() -> tuple[Recorder, CohortStream]:
    storage = MemoryStorage()
    sync = CohortSync(
        destination=Destination(name="d"),
        project_id=1,
        cohort_id="a",
        user_properties=[UserProperty("<plan>")],
    )
    for day, ids in enumerate(["12", "23", "134"], 1):
        when = datetime(2026, 1, day, tzinfo=UTC)
        members = [(number, "secret", "pro") for number in ids]
        sync_cohort(sync, members, storage, synced_at=when, guard=False)
    return Recorder(storage), sync.stream


def short_history(**keywords: Any) -> CohortHistory:
    return read_history(*short_bucket(), **keywords)


def test_a_history_without_a_log_says_how_to_count():
    html = short_history(log=MemoryStorage())._repr_html_()
    reader = Reader()
    reader.feed(html)
    assert reader.texts[1:] == ["sync", *(f"2026-01-0{day} 00:00:00" for day in (1, 2, 3))]
    assert "Use .churn() to count them" in html
    assert "churn" not in short_history()._repr_html_()


def test_a_history_with_an_unreadable_log_can_still_be_shown():
    history = short_history()
    log = SyncLog(history.stream, LogEntry(3, is_outcome=True), lambda _: BytesIO())
    broken = evolve(history, log=log)
    with pytest.raises(RecordFormatError):
        broken.record(broken[0])
    assert broken._repr_html_().count(" 00:00:00</td>") == 3


def test_an_empty_history_names_its_likely_cause_in_every_display_and_error():
    history = read_history(MemoryStorage(), CohortStream(project_id=1, cohort_id="typo"))
    cause = "(its files begin with '1_typo_'). Check the project, cohort, path and routing key"
    assert cause in repr(history)
    assert cause in str(history)
    assert cause in unescape(history._repr_html_())
    for asked in (history.plot, lambda: history.members_at(datetime(2026, 1, 1, tzinfo=UTC))):
        with pytest.raises(NoSyncYetError, match=re.escape(cause)):
            asked()
    assert list(history) == list(history.events()) == list(history.churn()) == []


def test_a_history_of_full_lists_only_names_the_function_that_rebuilds_it():
    storage, stream = MemoryStorage(), CohortStream(project_id=1, cohort_id="a")
    for day, rows in enumerate(("1,ann\n", "2,bob\n"), 1):
        key = f"1_a_2026-01-0{day}T06:30_existing.csv"
        storage.create(key, f"amplitude_id,user_id\n{rows}".encode())
    history = read_history(storage, stream)
    cause = "has files existing. If each contains all members, call .*rebuild_history"
    for shown in (repr(history), str(history), history._repr_html_()):
        assert re.search(cause, shown)
    for asked in (history.plot, lambda: history.members_at(datetime(2026, 1, 9, tzinfo=UTC))):
        with pytest.raises(NoSyncYetError, match=cause):
            asked()


def test_tables_of_users_show_their_columns_but_no_user_and_read_nothing():
    storage, stream = short_bucket()
    history = read_history(storage, stream)
    ids = "amplitude_id, user_id"
    tables = [
        (history.members_at(history[-1]), "Members(schema=", "3 members", f"{ids}, <plan>"),
        (history.intervals(), "ValueTable(Stay: ", "Stay", f"entered, exited, {ids}, ..."),
        (
            history.events(),
            "ValueTable(MembershipEvent: ",
            "MembershipEvent",
            f"synced_at, diff_type, {ids}, ...",
        ),
    ]
    storage.opened.clear()
    for table, begins, title, columns in tables:
        text, html = repr(table), table._repr_html_()
        assert text.startswith(begins)
        assert "secret" not in text + html
        assert len(text) < 200
        reader = Reader()
        reader.feed(html)
        caption, *heads = reader.texts
        assert caption.startswith(f"{title}. Rows are hidden because notebooks get shared.")
        assert "Use .head(), .to_pandas()" in caption
        assert ", ".join(heads) == columns
    assert not storage.opened


def test_a_churn_shows_its_numbers():
    churn = short_history().churn()
    assert (
        repr(churn)
        == "ChurnTable(syncs=<3: synced_at, members, entered, exited, returned, changed>)"
    )
    reader = Reader()
    reader.feed(churn._repr_html_())
    assert reader.texts[0] == "churn: 3 syncs"
    assert reader.texts[-6:] == ["2026-01-03 00:00:00", "3", "2", "1", "1", "0"]
    long = ChurnTable([*churn] * 100)
    assert long._repr_html_().count("<tr>") == 1 + 100
    assert "churn: newest 100 of 300 syncs" in long._repr_html_()
    assert (
        str(churn).splitlines()[-1]
        == "2026-01-03 00:00:00        3        2       1         1        0"
    )


def test_text_is_aligned_to_the_left_and_numbers_to_the_right():
    html = short_history()._repr_html_()
    assert '<th style="text-align: left">sync</th><th style="text-align: right">members' in html
    assert 'left">2026-01-03 00:00:00</td><td style="text-align: right">3</td>' in html


def test_the_streams_of_a_bucket_are_a_tuple_that_is_printed_as_a_table():
    streams = list_streams(short_bucket()[0])
    assert (len(streams), streams[0].stream.cohort_id) == (1, "a")
    head, line = str(streams).splitlines()
    assert head.split()[:3] == ["path", "project", "cohort"]
    assert line.split() == [
        ".",
        "1",
        "a",
        "-",
        "3",
        *["2026-01-01", "00:00", "2026-01-03", "00:00", "yes"],
    ]
    assert "1 stream</caption>" in streams._repr_html_()
    assert (str(list_streams(MemoryStorage())), list_streams(MemoryStorage())) == ("no streams", ())


def test_the_findings_of_a_verification_are_a_tuple_that_says_what_was_verified():
    storage, stream = short_bucket()
    found = read_history(storage, stream).verify()
    assert found == ()
    assert not found
    assert (str(found), repr(found)) == (
        "no findings in 3 syncs",
        "Findings(<no findings in 3 syncs>)",
    )
    storage.delete("1_a_2026-01-02T00:00_entering.csv")
    found = pickle.loads(pickle.dumps(read_history(storage, stream).verify()))
    assert str(found).splitlines() == ["1 finding in 3 syncs", str(found[0])]
    assert "1_a_2026-01-02T00:00_entering.csv" in found._repr_html_()
    assert len(repr(found[0])) < 300
    assert "datetime" not in repr(found[0])


def test_a_sync_of_a_bucket_and_a_diff_show_their_files_but_no_user():
    sync = short_history()[1]
    assert repr(sync).endswith("files=<entering, exiting, existing>)")
    html = sync._repr_html_()
    assert "sync of 2026-01-02T00:00:00+00:00" in html
    assert "1_a_2026-01-02T00:00_existing.csv" in html
    lost = evolve(sync, files={DiffType.ENTERING: sync.files[DiffType.ENTERING]})
    assert re.search(r">existing</td><td [^>]*>-</td><td [^>]*>-</td>", lost._repr_html_())
    void = UnpublishedSync(synced_at=sync.synced_at, state=SyncState.VOID, files=lost.files)
    assert "+00:00: void</caption>" in void._repr_html_()

    schema = RowSchema()
    with diff_members([("1", "secret")], [("1", "secret"), ("2", "")], schema=schema) as diff:
        text, html = repr(diff), diff._repr_html_()
    assert "<1 to 2 members: 1 entering, 0 exiting, 2 existing>" in text
    assert "1 → 2 members" in html
    assert 'existing</td><td style="text-align: right">2</td>' in html
    assert "secret" not in text + html


def test_the_repr_of_a_value_is_short():
    sync = CohortSync(
        destination=Destination("warehouse", path="cohorts"), project_id=123, cohort_id="a"
    )
    assert repr(sync) == (
        "CohortSync(destination=Destination(name='warehouse', path='cohorts'), project_id=123, "
        "cohort_id='a')"
    )
    storage = MemoryStorage()
    result = sync_cohort(sync, [("1", "ann")], storage, synced_at=datetime(2026, 1, 1, tzinfo=UTC))
    record = "SyncRecord(<sync of 2026-01-01T00:00:00+00:00: 0 -> 1 members>)"
    assert repr(result) == f"SyncResult(record={record})"
    assert repr(read_head(storage, sync)) == f"Head(record={record})"
