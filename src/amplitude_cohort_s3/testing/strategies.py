"""Hypothesis strategies for the library's values, including difficult ones.

All values are valid, but many cause errors in careless code: routing keys that look like a whole
file name, cells with quotes and line ends, ids of 20 digits, or keys with a common prefix.

>>> from hypothesis import given
>>> @given(file_names())
... def test_my_reader_knows_every_name(name):
...     assert CohortFileName.parse(str(name), second_group=name.style.second_group) == name
>>> test_my_reader_knows_every_name()
"""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from hypothesis import strategies as st

from ..format.columns import Row, id_column
from ..format.content import ContentPart
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import CohortFileName, DiffType, NameStyle
from ..format.schema import RowSchema
from ..log.files import RecordedFile
from ..log.keys import MAX_NUMBER
from ..log.outcomes import Outcome
from ..log.records import RecordRef, SyncRecord
from ..log.stream import CohortStream
from ..storage.protocol import StagedObject

HOSTILE_ROUTING_KEYS = (
    "123_26umsb5_2026-11-23T14:05_entering_key.csv",
    "_entering",
    "exiting_existing",
    "entering_.csv",
    ".csv",
    ".csv.gz",
    ".gz",
    "x.csv",
    "_",
    "__a__",
    " ",
    " lead and trail ",
    "..",
    "ünïcödé 日本語 😀",
    "e\u0301",
    "none",
    "%2F",
    "~",
    "\u2028",
)
"""Routing keys that a careless reader misunderstands."""

HOSTILE_CELLS = (
    "",
    " ",
    ",",
    '"',
    '""',
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\ttab",
    "a,b",
    'say "hi"',
    "two\nlines",
    "lone\rCR",
    "CR at the end\r",
    "007",
    "1e5",
    "NA",
    "null",
    "NaN",
    "12345678901234567890",
    "=1+1",
    "ünïcödé 日本語 😀",
    "e\u0301",
    "\ufeff",
    "\u2028",
    "\x1c",
    "\x85",
)
"""Cells that a careless reader changes or splits."""


def times() -> st.SearchStrategy[datetime]:
    """Return times in UTC, with microseconds."""
    return st.datetimes(timezones=st.just(UTC))


def cohort_ids() -> st.SearchStrategy[str]:
    """Return cohort ids, including ones that look like a number or a date."""
    return st.sampled_from(("26umsb5", "0", "007", "-", "entering", "2026-11-23T14-05")) | (
        st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True)
    )


def project_ids() -> st.SearchStrategy[int]:
    """Return project ids, including 0."""
    return st.integers(0, 10) | st.integers(0, 10**20)


def routing_keys() -> st.SearchStrategy[str | None]:
    """Return routing keys, many of them difficult, and None."""
    free = st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="/"),
        min_size=1,
        max_size=40,
    )
    return st.none() | st.sampled_from(HOSTILE_ROUTING_KEYS) | free


def paths() -> st.SearchStrategy[str]:
    """Return paths of a destination; the empty one is the root of the bucket."""
    segments = st.sampled_from(("a", "a b", "cohorts", "date=2026-11-23", "ü", "1_a_2026")) | (
        st.from_regex(r"[a-z][a-z0-9_.=-]{0,8}", fullmatch=True)
    )
    return st.just("") | st.lists(segments, min_size=1, max_size=3).map("/".join)


def name_styles(*, written: bool = False) -> st.SearchStrategy[NameStyle]:
    """Return styles of names.

    Args:
        written: True to return only styles that a destination can write.
    """

    def style(
        separator: Literal[":", "-", "_"],
        time: Literal["minutes", "seconds", "hours and seconds"],
        extension: Literal[".csv", ".csv.gz"],
        *,
        zulu: bool,
        empty_routing_key: bool,
    ) -> NameStyle:
        return NameStyle(
            separator=separator,
            seconds=time == "seconds",
            second_group="seconds" if time == "hours and seconds" else "minutes",
            zulu=zulu,
            empty_routing_key=empty_routing_key,
            extension=extension,
        )

    read_only: tuple[Literal["hours and seconds"], ...] = () if written else ("hours and seconds",)
    read_separator: tuple[Literal["_"], ...] = () if written else ("_",)
    return st.builds(
        style,
        st.sampled_from((":", "-", *read_separator)),
        st.sampled_from(("minutes", "seconds", *read_only)),
        st.just(".csv") if written else st.sampled_from((".csv", ".csv.gz")),
        zulu=st.booleans(),
        empty_routing_key=st.just(value=False) if written else st.booleans(),
    )


@st.composite
def file_names(draw: st.DrawFn) -> CohortFileName:
    """Return names with any parts in any style."""
    style = draw(name_styles())
    return CohortFileName(
        project_id=draw(st.none() | project_ids()),
        cohort_id=draw(cohort_ids()),
        synced_at=style.floor(draw(times())),
        diff_type=draw(st.sampled_from(DiffType)),
        routing_key=None if style.empty_routing_key else draw(routing_keys()),
        style=style,
    )


def streams() -> st.SearchStrategy[CohortStream]:
    """Return streams, some without a project id."""
    return st.builds(
        CohortStream,
        project_id=st.none() | project_ids(),
        cohort_id=cohort_ids(),
        path=paths(),
        routing_key=routing_keys(),
    )


def cells() -> st.SearchStrategy[str]:
    """Return cells, many of them difficult."""
    return st.sampled_from(HOSTILE_CELLS) | st.text(
        st.characters(codec="utf-8", exclude_characters="\0"), max_size=20
    )


def amplitude_ids() -> st.SearchStrategy[str]:
    """Return Amplitude ids of up to 20 digits; some have a common prefix."""
    return (st.integers(0, 30) | st.integers(0, 10**20 - 1)).map(str)


@st.composite
def schemas(draw: st.DrawFn) -> RowSchema:
    """Return schemas, with any of their columns as the key."""
    names = st.sampled_from(("plan", " plan", "Größe", "a,b", 'q"q', "amplitude", "line\nend"))
    free = cells().filter(lambda name: bool(name) and id_column(name) is None)
    properties = tuple(draw(st.lists(names | free, max_size=3, unique=True)))
    return RowSchema(
        properties=properties,
        key=draw(st.sampled_from(("amplitude_id", "user_id", *properties))),
        header_style=draw(st.sampled_from(("documented", "api"))),
    )


def rows(schema: RowSchema) -> st.SearchStrategy[list[Row]]:
    """Return lists of rows of a schema, with distinct keys that are not empty."""
    columns = [
        (amplitude_ids() if column == "amplitude_id" else cells().filter(bool))
        if column == schema.key
        else (st.just("") | amplitude_ids() if column == "amplitude_id" else cells())
        for column in schema.columns
    ]
    return st.lists(
        st.tuples(*columns), max_size=12, unique_by=lambda row: row[schema.key_index]
    ).map(_as_rows)


def _as_rows(drawn: list[tuple[str, ...]]) -> list[Row]:
    return list(drawn)


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> Sequence[bytes]:
    """Return the bytes in chunks of any size; chunks may be empty."""
    stream = io.BytesIO(data)
    sizes = draw(st.lists(st.integers(0, max(1, len(data))), max_size=8))
    return [*(stream.read(size) for size in sizes), stream.read()]


def digests() -> st.SearchStrategy[str]:
    """Return SHA-256 digests in hex."""
    return st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def records(draw: st.DrawFn) -> SyncRecord:
    """Return records of syncs; some are the first record of an adopted stream."""
    stream, schema = draw(streams()), draw(schemas())
    style = draw(name_styles(written=True))
    number = draw(st.integers(1, MAX_NUMBER))
    adopted = number == 1 and draw(st.booleans())
    synced_at = style.floor(draw(times()))
    counts = st.integers(0, 10**9)

    def file(diff_type: DiffType) -> RecordedFile:
        key = stream.name(synced_at, diff_type, style).key(stream.path)
        size = draw(counts)
        staged = StagedObject(
            key=key,
            size=size,
            sha256=draw(st.none() | digests()),
            handle=draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)),
        )
        return RecordedFile(
            key=key,
            rows=draw(counts),
            size=size,
            sha256=draw(digests()),
            parts=tuple(draw(st.lists(st.builds(ContentPart, counts, digests()), max_size=2))),
            staged=None if adopted else staged,
        )

    return SyncRecord(
        number=number,
        previous=draw(st.none() | _references(number)) if number > 1 else None,
        stream=stream,
        bucket=draw(st.none() | st.just("my-bucket")),
        synced_at=synced_at,
        requested_at=draw(times()),
        existing=draw(st.sampled_from(ExistingMeaning)),
        schema=schema,
        files={diff_type: file(diff_type) for diff_type in DiffType},
        members=draw(counts),
        members_before=draw(counts),
        changed=draw(st.none() | counts),
        members_sha256=draw(digests()),
        skipped=draw(counts),
        collapsed=draw(counts),
        filled={name: draw(counts) for name in schema.properties},
        adopted=adopted,
        source=draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)),
        writer=draw(st.text(max_size=32)),
        recovered=draw(st.integers(0, min(number - 1, 2))),
    )


def _references(number: int) -> st.SearchStrategy[RecordRef]:
    """Return references to records before a number."""
    return st.builds(RecordRef, number=st.integers(1, number - 1), sha256=digests())


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """Return outcomes: published, void with an earlier head, and void without a head."""
    head = draw(st.none() | records())
    if head is None:
        return Outcome(number=draw(st.integers(1, 9)), published=False, head=None)
    published = head.number == MAX_NUMBER or draw(st.booleans())
    later = st.integers(head.number + 1, min(head.number + 9, MAX_NUMBER))
    return Outcome(
        number=head.number if published else draw(later),
        published=published,
        head=head,
    )
