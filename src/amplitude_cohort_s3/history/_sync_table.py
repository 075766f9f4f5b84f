"""Tables with a row of numbers for each sync, which are small enough to be held and printed."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self, TypeVar, overload

from attrs import field, frozen

from .._display import html_table, newest_of, text_table
from ..format.named_rows import NamedRow
from .tables import RowTable, row_batches

R = TypeVar("R", bound=NamedRow)

MAX_SHOWN = 100
"""The number of syncs that a notebook shows of such a table: the newest ones."""


def _as_tuple(syncs: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(syncs)


# It is not declared as a Sequence: polars.DataFrame would not look for Arrow then.
@frozen(repr=False)
class SyncTable(RowTable[R]):
    """Rows of numbers, one for each sync, oldest first; also a data frame.

    A slice is such a table too. The repr shows the number of syncs, the text all of them, and a
    notebook the newest hundred.

    Attributes:
        syncs: The rows.
    """

    _title: ClassVar[str]

    syncs: Sequence[R] = field(converter=_as_tuple)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(syncs=<{len(self)}: {', '.join(self.columns)}>)"

    def __len__(self) -> int:
        return len(self.syncs)

    def __iter__(self) -> Iterator[R]:
        return iter(self.syncs)

    @overload
    def __getitem__(self, index: int, /) -> R: ...
    @overload
    def __getitem__(self, index: slice, /) -> Self: ...
    def __getitem__(self, index: int | slice, /) -> R | Self:
        if isinstance(index, slice):
            return type(self)(self.syncs[index])
        return self.syncs[index]

    def __str__(self) -> str:
        return text_table(self._shown_columns(), map(self._shown_cells, self.syncs))

    def _repr_html_(self) -> str:
        shown = self.syncs[-MAX_SHOWN:]
        title = f"{self._title}: {newest_of(len(shown), len(self), 'sync')}"
        return html_table(title, self._shown_columns(), map(self._shown_cells, shown))

    @abstractmethod
    def _shown_columns(self) -> Sequence[str]:
        """Return the columns that the text and a notebook show."""

    @abstractmethod
    def _shown_cells(self, sync: R) -> Sequence[object]:
        """Return the cells of these columns."""

    def _known_length(self) -> int:
        return len(self.syncs)

    def _batches(self, schema: Any) -> Iterator[Any]:
        return row_batches(self.syncs, schema)
