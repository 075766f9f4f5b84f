"""The members of a cohort as a source."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from attrs import field, frozen

from ..._display import counted
from ...errors import (
    AmplitudeLimitError,
    ExportFailedError,
    UnknownCohortError,
)
from ...format.schema import RowSchema
from ..names import check_mapping, csv_of_names
from ..protocol import CsvSource
from ._export import Export
from ._session import Session
from .listing import AmplitudeCohort, RecentList, list_cohorts

_MAX_USERS = 2_000_000
"""The documented limit on the users of a cohort that is downloaded."""


@frozen
class AmplitudeMembers:
    """The members of a cohort, fetched when a sync reads them: see ``AmplitudeCohorts.members``.

    Each sync is one download of the month's quota. If a sync must read the rows a second
    time, to name the line of a faulty one, it fetches the same export again, which is free.

    Attributes:
        cohort_id: The cohort.
        columns: The headers of properties in the sync, by their names in Amplitude. It is needed
            only for properties whose ``UserProperty`` has another name.
        max_missing: The number of users of the cohort that may be missing from the export.
    """

    cohort_id: str
    columns: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    max_missing: int = field(default=0, kw_only=True)
    _session: Session = field(kw_only=True, repr=False, alias="session")
    _recent: RecentList | None = field(default=None, kw_only=True, repr=False, alias="recent")

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """Return the members with the schema's properties; the download starts when it is read.

        Raises:
            ConfigurationError: ``columns`` has a column that the sync does not have.
            UnknownCohortError: There is no such cohort.
            AmplitudeLimitError: The cohort is larger than the API allows.
            AmplitudeError: The API can't be reached, or refuses the request.
        """
        check_mapping(schema.properties, self.columns, "AmplitudeMembers")
        cohort = self._cohort(self._recent)
        if cohort.size is not None and cohort.size > _MAX_USERS:
            raise AmplitudeLimitError("users", cohort.size, _MAX_USERS, cohort.id)
        own_names = dict(zip(schema.properties, schema.names, strict=True))
        own_names |= {new: own for own, new in self.columns.items()}
        export = Export(self._session, cohort.id, tuple(dict.fromkeys(own_names.values())))
        is_renamed = any(own != header for header, own in own_names.items())

        def chunks() -> Iterator[bytes]:
            count = RowCount(export.chunks())
            yield from (csv_of_names(count, own_names) if is_renamed else count)
            if self._falls_short(count.rows, cohort):
                found = counted(count.rows, "row")
                reason = f"it has {found}, but the cohort has {cohort.size:,} users"
                raise ExportFailedError(cohort.id, reason, count.rows, cohort.size)

        return CsvSource(chunks=chunks, rows=cohort.size, origin=self._origin(cohort))

    def is_unchanged(self, origin: Mapping[str, str], /) -> bool:
        """Return whether Amplitude reports that the members are still those of an earlier sync.

        They are if the cohort's last computation, last modification and size are the same.
        (Whether that sync had the same columns is known from its record.)

        Args:
            origin: The ``source`` of that sync's record.

        Raises:
            UnknownCohortError: There is no such cohort.
            AmplitudeError: The API can't be reached, or refuses the request.
        """
        cohort = self._cohort(self._recent)
        return cohort.last_computed is not None and self._origin(cohort) == origin

    def _origin(self, cohort: AmplitudeCohort) -> Mapping[str, str]:
        """Return the state of the cohort, for the record of a sync."""
        return {
            "source": "amplitude",
            "cohort": cohort.id,
            "project": _text(cohort.project_id),
            "size": _text(cohort.size),
            "last_computed": _text(cohort.last_computed),
            "last_modified": _text(cohort.last_modified),
            **({"columns": json.dumps(dict(self.columns), sort_keys=True)} if self.columns else {}),
        }

    def _cohort(self, recent: RecentList | None = None) -> AmplitudeCohort:
        for found in list_cohorts(self._session) if recent is None else recent():
            if found.id == self.cohort_id:
                return found
        raise UnknownCohortError(self.cohort_id)

    def _falls_short(self, rows: int, cohort: AmplitudeCohort) -> bool:
        """Return whether rows are missing although the cohort was not computed meanwhile."""
        if cohort.size is None or rows >= cohort.size - self.max_missing:
            return False
        return self._cohort().last_computed == cohort.last_computed


def _text(value: int | datetime | None) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


class RowCount:
    r"""The chunks of a CSV file, whose rows are counted while they are iterated.

    >>> count = RowCount([b'a,b\n1,"x\n', b'y"\n2,'])
    >>> b"".join(count), count.rows
    (b'a,b\n1,"x\ny"\n2,', 2)
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._line_ends = 0
        self._open_line = False

    @property
    def rows(self) -> int:
        """The number of rows so far, without the header."""
        return max(0, self._line_ends + self._open_line - 1)

    def __iter__(self) -> Iterator[bytes]:
        quoted = False
        for chunk in self._chunks:
            # Only line ends and quotes matter; of quotes, only whether their number is odd.
            marks = b'"' * quoted + chunk.translate(None, _NO_MARKS)
            parts = marks.replace(b'""', b"").split(b'"')
            self._line_ends += sum(part.count(b"\n") for part in parts[::2])
            quoted = len(parts) % 2 == 0
            self._open_line = not chunk.endswith(b"\n") if chunk else self._open_line
            yield chunk


_NO_MARKS = bytes(set(range(256)) - set(b'"\n'))
