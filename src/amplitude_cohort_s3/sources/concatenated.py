"""Several sources of members as one: the files of a folder, or the chunks of a table."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from ..format.schema import RowSchema
from .protocol import CsvSource


def concatenated(
    sources: Callable[[], Iterable[CsvSource]],
    schema: RowSchema,
    *,
    fill: bool = False,
    repeatable: bool,
    file: str | None = None,
    origin: Mapping[str, str] | None = None,
) -> CsvSource:
    """Return sources as one, whose rows follow each other.

    Each source has a header of its own, so columns may have another order in each. An error about
    a row names its file. If a source is not a file, errors that the engine finds later, such as
    different rows of one key, count the rows of all sources.

    Args:
        sources: A function that returns the sources, each of which is read once, in order.
        schema: The columns to read.
        fill: True if a property that a source lacks is empty instead of an error.
        repeatable: True if ``sources`` can be called again.
        file: The name of all sources in errors.
        origin: The description of the sources for the record of a sync.
    """
    ignored, parts = set[str](), list[tuple[int, str]]()

    def chunks() -> Iterator[bytes]:
        yield schema.header_line
        rows, files = 0, list[tuple[int, str | None]]()
        for source in sources():
            files.append((rows, source.file))
            table = source.read_table()
            with source.reading():
                reader = schema.line_reader(table, fill=fill)
                ignored.update(set(table.columns) - {*schema.columns})
                for block in table.blocks:
                    if lines := reader.lines(block).lines:
                        rows += len(lines)
                        yield ("\n".join(lines) + "\n").encode()
            ignored.update(source.ignored)
        named = [(before, file) for before, file in files if file is not None]
        parts[:] = named if len(named) == len(files) else []

    return CsvSource(
        chunks=chunks,
        repeatable=repeatable,
        unit="row",
        file=file,
        origin=dict(origin or {}),
        ignored=ignored,
        parts=parts,
    )
