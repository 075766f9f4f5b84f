"""The search for the rows of people who are to be forgotten."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import cast

from attrs import evolve, field, frozen

from .._arguments import check_kind, wrong_kind
from ..diff.progress import ReadProgress
from ..errors import InvalidCellError, MissingColumnsError
from ..format.cells import broken_rule, to_text
from ..format.columns import ID_COLUMNS, Row
from ..format.schema import RowSchema
from ..history.history import CohortHistory
from ..history.members import object_source, recorded_source
from ..history.read import read_settled
from ..log.listing import StreamFile
from ..log.location import StreamLocation
from ..sources.protocol import CsvSource
from .forget_report import AffectedFile, ForgetPlan


@frozen(kw_only=True)
class Subjects:
    """The people to forget: by their keys, and by their ids in another column.

    Attributes:
        key: The column that members are matched by.
        keys: The subjects' values of this column.
        by: The column of the ids that the caller gave.
        ids: The ids.
    """

    key: str
    keys: frozenset[str] = field(repr=False)
    by: str
    ids: frozenset[str] = field(repr=False)

    def matcher(self, columns: Sequence[str]) -> Callable[[Row], bool]:
        """Return a function that tests whether a row with these columns belongs to a subject."""
        wanted = [(self.key, self.keys), (self.by, self.ids)]
        positions = [(columns.index(name), ids) for name, ids in wanted if name in columns]
        return lambda row: any(row[position] in ids for position, ids in positions)


@frozen(kw_only=True)
class SearchedFile:
    """A file of the stream.

    Attributes:
        key: The object's key.
        size: The number of bytes, as stored.
        source: The rows of the file.
        schema: The recorded schema; None if no record of this library describes the file.
    """

    key: str
    size: int
    source: CsvSource
    schema: RowSchema | None


@frozen(kw_only=True)
class SearchResult:
    """The files with rows of subjects.

    Attributes:
        history: The history that was searched.
        subjects: The people to forget.
        files: All files of the stream, by their keys.
        plan: The counts of people, files and rows.
        keys_in: The subjects' keys in each affected file, by the file's key.
    """

    history: CohortHistory
    subjects: Subjects
    files: Mapping[str, SearchedFile]
    plan: ForgetPlan
    keys_in: Mapping[str, frozenset[str]] = field(repr=False)


def search(
    location: StreamLocation,
    people: Iterable[str | int],
    *,
    by: str | None,
    work_dir: str | PathLike[str] | None,
    reads: ReadProgress,
) -> SearchResult:
    """Search all files of a stream for people: see ``plan_forget``.

    ``reads`` counts what is read of the files, now and when they are read again later.
    """
    check_is_people(people)
    # One listing returns both, so the new counts follow from the files that are searched.
    history, listed = read_settled(location, work_dir=work_dir)
    files = {file.key: file for file in _files(location, history, listed, reads)}
    column = history.match_by if by is None else by
    # An empty cell means that there is no id, so it matches nobody.
    ids = frozenset(_id_text(one, column) for one in people) - {""}
    if column not in (*ID_COLUMNS, *history.columns):
        hint = "Pass by='...' with a column that the files have"
        raise MissingColumnsError((column,), found=history.columns, hint=hint)
    subjects = Subjects(key=history.match_by, keys=frozenset(), by=column, ids=ids)
    has_other_column = column != history.match_by and bool(ids)
    reads.begin("search", [file.size for file in files.values()] * (1 + has_other_column))
    if has_other_column:
        found_keys = set[str]()
        for file in files.values():
            reads.next()
            found_keys.update(_count_rows(file, subjects))
        subjects = evolve(subjects, keys=frozenset(found_keys - {""}))
    affected, keys_in = list[AffectedFile](), dict[str, frozenset[str]]()
    for key, file in files.items():
        reads.next()
        rows = _count_rows(file, subjects) if ids else Counter[str]()
        if rows:
            keys_in[key] = frozenset(rows)
            affected.append(AffectedFile(key=key, rows=rows.total()))
    reads.end()
    found = frozenset[str]().union(*keys_in.values()) - {""}
    plan = ForgetPlan(
        stream=location.stream, people=len(found), files=tuple(affected), files_read=len(files)
    )
    return SearchResult(history=history, subjects=subjects, files=files, plan=plan, keys_in=keys_in)


def check_is_people(people: object) -> None:
    """Raise unless an argument ``people`` can be a list of ids.

    Raises:
        ArgumentTypeError: It is a text, or can't be iterated.
    """
    hint = 'pass a list of ids: ["42"]'
    check_kind("people", people, Iterable, hint)
    if isinstance(people, str | bytes | Mapping):
        raise wrong_kind("people", cast("object", people), hint)


def _id_text(value: object, column: str) -> str:
    """Return the text of an id, which a file can contain."""
    text = to_text(value, column)
    if (rule := broken_rule(text)) is not None:
        raise InvalidCellError(column, rule, "pass the id as it is in the files")
    return text


def _files(
    location: StreamLocation,
    history: CohortHistory,
    listed: Iterable[StreamFile],
    reads: ReadProgress,
) -> Iterator[SearchedFile]:
    """Yield every file of the stream, including those that no published record names."""
    open_object = reads.opening(location.data.open)
    for item in listed:
        name, key = item.name, item.info.key
        record = history.log.published_at(name.synced_at)
        if record is None or key not in record.keys:
            source, schema = object_source(key, open_object), None
        else:
            source = recorded_source(record, name.diff_type, open_object)
            schema = None if record.adopted else record.schema
        yield SearchedFile(key=key, size=item.info.size, source=source, schema=schema)


def _count_rows(file: SearchedFile, subjects: Subjects) -> Counter[str]:
    """Return the number of subjects' rows in a file, by their keys."""
    found = Counter[str]()
    with file.source.reading():
        table = file.source.read_table()
        is_subject = subjects.matcher(table.columns)
        key = table.columns.index(subjects.key) if subjects.key in table.columns else None
        for rows in table.batches:
            found.update("" if key is None else row[key] for row in rows if is_subject(row))
    return found
