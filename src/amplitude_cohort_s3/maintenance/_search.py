"""The search for the rows of people who are to be forgotten."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike

from attrs import field, frozen

from .._arguments import check_kind
from ..errors import ArgumentTypeError, MissingColumnsError, UnfinishedSyncError
from ..format.cells import to_text
from ..format.columns import ID_COLUMNS, Row
from ..format.reader import read_table
from ..format.schema import RowSchema
from ..history.history import CohortHistory
from ..history.members import object_source, recorded_source
from ..history.read import read_location
from ..log.listing import StreamFile
from ..log.location import StreamLocation
from ..sources.protocol import CsvSource
from .forget_report import AffectedFile, ForgetPlan

# --- Looking -------------------------------------------------------------------------


@frozen(kw_only=True)
class Who:
    """Whose rows go: those with one of the keys, or with one of the ids in a column."""

    key: str
    keys: frozenset[str] = field(repr=False)
    by: str
    ids: frozenset[str] = field(repr=False)

    def tester(self, columns: Sequence[str]) -> Callable[[Row], bool]:
        """A function that says of rows with these columns whether they go."""
        sets = [(self.key, self.keys), (self.by, self.ids)]
        places = [(columns.index(name), ids) for name, ids in sets if name in columns]
        return lambda row: any(row[place] in ids for place, ids in places)


@frozen(kw_only=True)
class File:
    """One file of the stream, with what the log says of it."""

    key: str
    source: CsvSource
    schema: RowSchema | None
    """Of a file that the library wrote; of others what their own header says."""


@frozen(kw_only=True)
class Found:
    """What a search found."""

    history: CohortHistory
    who: Who
    files: Mapping[str, File]
    plan: ForgetPlan
    keys_in: Mapping[str, frozenset[str]] = field(repr=False)
    """By the keys of files: the keys of the people in them."""


def search(
    location: StreamLocation,
    people: Iterable[str | int],
    *,
    by: str | None,
    work_dir: str | PathLike[str] | None,
) -> Found:
    cure = "give a list of ids"
    check_kind("people", people, Iterable, cure)
    if isinstance(people, str | bytes):
        raise ArgumentTypeError("people", type(people).__name__, cure)
    history = read_location(location, work_dir=work_dir)
    if history.log.unfinished is not None:
        raise UnfinishedSyncError(history.log.unfinished.key)
    files = {file.key: file for file in _files(location, history)}
    column = history.match_by if by is None else by
    # An empty id is nobody's: it stands where there is none.
    ids = frozenset(to_text(one, column) for one in people) - {""}
    if column not in (*ID_COLUMNS, *history.columns):
        raise MissingColumnsError((column,))
    who = Who(key=history.match_by, keys=frozenset(), by=column, ids=ids)
    if column != history.match_by and ids:
        keys = {key for file in files.values() for key, _ in _matches(file, who)} - {""}
        who = Who(key=history.match_by, keys=frozenset(keys), by=column, ids=ids)
    affected, keys_in = list[AffectedFile](), dict[str, frozenset[str]]()
    for key, file in files.items():
        counts = Counter(dict(_matches(file, who))) if ids else Counter[str]()
        if counts:
            keys_in[key] = frozenset(counts)
            affected.append(AffectedFile(key=key, rows=counts.total()))
    everyone = frozenset[str]().union(*keys_in.values()) - {""}
    plan = ForgetPlan(
        stream=location.stream, people=len(everyone), files=tuple(affected), files_read=len(files)
    )
    return Found(history=history, who=who, files=files, plan=plan, keys_in=keys_in)


def _files(location: StreamLocation, history: CohortHistory) -> Iterator[File]:
    """Every file of the stream, of void syncs, of doubled names and of none too."""
    for item in location.list_files():
        if not isinstance(item, StreamFile):
            continue
        name, key = item.name, item.info.key
        record = history.log.published_at(name.synced_at)
        if record is None or key not in record.keys:
            source, schema = object_source(key, location.data.open), None
        else:
            source = recorded_source(record, name.diff_type, location.data.open)
            schema = None if record.adopted else record.schema
        yield File(key=key, source=source, schema=schema)


def _matches(file: File, who: Who) -> list[tuple[str, int]]:
    """The keys of those in a file who are to go, and how many rows each has."""
    found = Counter[str]()
    with file.source.reading():
        table = read_table(file.source.chunks(), canonical=file.source.canonical)
        goes = who.tester(table.columns)
        place = table.columns.index(who.key) if who.key in table.columns else None
        for rows in table.batches:
            found.update("" if place is None else row[place] for row in rows if goes(row))
    return list(found.items())
