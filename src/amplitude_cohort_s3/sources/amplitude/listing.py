"""The list of the cohorts of a project."""

import re
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast, overload

from attrs import field, frozen

from ..._display import counted, html_table, short_repr, text_table
from ...errors import AmplitudeRefusedError
from ._json import datetime_or_none, int_or_none, object_or_empty
from ._session import Session

_RECENT_SECONDS = 60.0
"""The age up to which one list serves all cohorts of a run. An export takes about as long."""


@frozen(kw_only=True, repr=False)
class AmplitudeCohort:
    """A cohort as the API lists it. It names no user.

    Attributes:
        id: The id that is also in the cohort's URL.
        name: The name that people see.
        project_id: The number of the project.
        size: The number of users, or None if it was never computed.
        last_computed: The time at which the members were last computed, or None.
        last_modified: The time at which the definition was last changed, or None.
        description: The description that people see.
        type: The type in Amplitude's own words, such as ``"redshift"``.
        archived: True if the cohort was archived.
        published: True if people can discover the cohort.

    >>> AmplitudeCohort(id="26umsb5", name="Payers", project_id=123, size=2)
    AmplitudeCohort(id='26umsb5', name='Payers', project_id=123, size=2)
    """

    id: str
    name: str
    project_id: int | None = None
    size: int | None = None
    last_computed: datetime | None = None
    last_modified: datetime | None = None
    description: str = ""
    type: str = ""
    archived: bool = False
    published: bool = True

    __repr__ = short_repr


def _as_tuple(cohorts: Sequence[AmplitudeCohort]) -> tuple[AmplitudeCohort, ...]:
    return tuple(cohorts)


@frozen
class CohortList(Sequence[AmplitudeCohort]):
    """The cohorts of a project, as a sequence. Printed and in a notebook, it is a table.

    Attributes:
        cohorts: The cohorts, in the order in which the API lists them.

    >>> print(CohortList([AmplitudeCohort(id="26umsb5", name="Payers", size=1200)]))
    id        size  last computed  name    type
    26umsb5  1,200  -              Payers
    """

    cohorts: tuple[AmplitudeCohort, ...] = field(converter=_as_tuple)

    def __len__(self) -> int:
        return len(self.cohorts)

    @overload
    def __getitem__(self, index: int, /) -> AmplitudeCohort: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[AmplitudeCohort]: ...
    def __getitem__(self, index: int | slice, /) -> AmplitudeCohort | Sequence[AmplitudeCohort]:
        return self.cohorts[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{counted(len(self), 'cohort')}>)"

    def __str__(self) -> str:
        return text_table(_COLUMNS, map(_row, self)) if self else "no cohorts"

    def _repr_html_(self) -> str:
        columns = (*_COLUMNS, "description")
        rows = [(*_row(one), one.description) for one in self]
        return html_table(counted(len(self), "cohort"), columns, rows)

    def matching(self, pattern: str) -> "CohortList":
        """Return the cohorts whose name matches a pattern and that are not archived.

        Args:
            pattern: The whole name. ``*`` is any text, ``?`` is any character, and everything
                else is itself; upper and lower case differ.

        >>> cohorts = [AmplitudeCohort(id=name[0], name=name) for name in ("[EU] a", "US b")]
        >>> [one.name for one in CohortList(cohorts).matching("[EU] *")]
        ['[EU] a']
        """
        # The names of cohorts often begin with [...], so brackets are not a set of characters here.
        wildcards = {"*": ".*", "?": "."}
        parts = (wildcards.get(part) or re.escape(part) for part in re.split(r"([*?])", pattern))
        matches = re.compile("".join(parts), re.DOTALL).fullmatch
        return CohortList([one for one in self if matches(one.name) and not one.archived])


_COLUMNS = ("id", "size", "last computed", "name", "type")


def _row(cohort: AmplitudeCohort) -> tuple[object, ...]:
    when = cohort.last_computed
    return (
        cohort.id,
        "-" if cohort.size is None else cohort.size,
        "-" if when is None else f"{when:%Y-%m-%d %H:%M}",
        f"{cohort.name} (archived)" if cohort.archived else cohort.name,
        cohort.type,
    )


def list_cohorts(session: Session) -> CohortList:
    """Return all cohorts that can be discovered: see ``AmplitudeCohorts.list_cohorts``."""
    budget = session.budget("the list of cohorts")
    status, answer = session.get_json("/api/3/cohorts", budget)
    listed = object_or_empty(answer).get("cohorts")
    if not isinstance(listed, list):
        raise AmplitudeRefusedError(budget.step, status)
    entries = cast("list[object]", listed)
    return CohortList([_parse_cohort(object_or_empty(entry)) for entry in entries])


def _parse_cohort(entry: Mapping[str, Any]) -> AmplitudeCohort:
    return AmplitudeCohort(
        id=str(entry.get("id", "")),
        name=str(entry.get("name", "")),
        project_id=int_or_none(entry.get("appId")),
        size=int_or_none(entry.get("size")),
        last_computed=datetime_or_none(entry.get("lastComputed")),
        last_modified=datetime_or_none(entry.get("lastMod")),
        description=str(entry.get("description") or ""),
        type=str(entry.get("type") or ""),
        archived=entry.get("archived") is True,
        published=entry.get("published") is not False,
    )


class RecentList:
    """The cohorts of a project, requested again when the list is more than a minute old.

    The jobs of a run share one, because the API sends the whole list for each question about a
    cohort. Threads may share it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._cohorts = CohortList([])
        self._outdated_at = float("-inf")

    def __call__(self) -> CohortList:
        """Return the list."""
        with self._lock:
            now = self._session.monotonic()
            if now > self._outdated_at:
                self._cohorts = list_cohorts(self._session)
                self._outdated_at = now + _RECENT_SECONDS
            return self._cohorts
