"""Amplitude's Behavioral Cohorts API as a source of members.

https://amplitude.com/docs/apis/analytics/behavioral-cohorts describes it. What that page
leaves open is ruled here, and said where it is.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import quote, urlencode

from attrs import field, frozen

from ...errors import (
    AmplitudeRefusedError,
    CohortTooLargeError,
    ConfigurationError,
    ExportExpiredError,
    ExportFailedError,
    ExportIncompleteError,
    UnknownCohortError,
)
from ...format.schema import RowSchema
from ..files import renamed
from ..protocol import CsvSource
from ._export import PARTIAL_CONTENT, Place, RowCount, read_export
from ._http import Patience
from ._session import (
    ACCEPTED,
    DENIED,
    GONE,
    OK,
    DownloadUsage,
    Session,
    entries,
    instant,
    is_safe,
    whole,
)

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

_HOSTS = {"us": "https://amplitude.com", "eu": "https://analytics.eu.amplitude.com"}

_MAX_USERS = 2_000_000
"""The documented limit."""

_FIRST_POLL, _POLL_GROWTH, _LONGEST_POLL = 2.0, 1.5, 30.0
"""Exports commonly take 30 to 60 seconds, whatever their size."""

# Documented are "JOB INPROGRESS" and "JOB COMPLETED" only.
_FAILED = re.compile(r"fail|error|cancel|abort|expire|kill", re.IGNORECASE)

# The store's answers to a part of a version that it does not have.
_OTHER_VERSION = {412, 416}


@frozen(kw_only=True)
class AmplitudeCohort:
    """A cohort as the API lists it.

    Attributes:
        id: The id that its URL has, too.
        name: What people call it.
        project_id: The number of its project.
        size: How many users it has, or None where it was never computed.
        last_computed: When its members were last worked out, or None.
        last_modified: When its definition was last changed, or None.
        archived: Whether it was put away.
    """

    id: str
    name: str
    project_id: int | None
    size: int | None
    last_computed: datetime | None
    last_modified: datetime | None
    archived: bool


class AmplitudeCohorts:
    """The cohorts of an Amplitude project, through its Behavioral Cohorts API.

    Give ``members(...)`` to ``sync_cohort`` as the members. The documented limits hold
    for all threads that share one object: 60 downloads begun in 10 minutes, 4 at once,
    and those of the month, which are read from Amplitude. Where Amplitude does not tell,
    the object counts its own and stops at 500.

    The keys are in no repr, message or log, and go to Amplitude's own host alone: the
    pre-signed URL that large exports come from never sees them, and is a secret itself.

    Args:
        api_key: The project's API key.
        secret_key: Its secret key.
        region: ``"eu"`` for projects in Amplitude's EU data center.
        base_url: Another server that speaks the API, such as ``testing``'s ``FakeAmplitude``.
        deadline: Seconds that each call, and the whole of a download, may take.
        timeout: Seconds that a connection, an answer or its next bytes may take.
        clock: Gives the time of day; for tests.
        monotonic: Gives the seconds of a clock that never jumps; for tests.
        sleep: Waits for so many seconds; for tests.

    Raises:
        ConfigurationError: A key is empty, the region unknown or the URL not safe.

    >>> amplitude = AmplitudeCohorts("key", "secret", region="eu")
    >>> amplitude
    AmplitudeCohorts('https://analytics.eu.amplitude.com')
    >>> amplitude.members("26umsb5")
    AmplitudeMembers(cohort_id='26umsb5', columns={}, max_missing=0)
    """

    def __init__(
        self,
        api_key: str,
        secret_key: str,
        *,
        region: Literal["us", "eu"] = "us",
        base_url: str | None = None,
        deadline: float = 1800.0,
        timeout: float = 60.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        faults = list[str]()
        if not api_key or not secret_key:
            faults.append("api_key and secret_key must not be empty")
        if region not in _HOSTS:
            faults.append(f"region must be 'us' or 'eu', not {region!r}")
        if base_url is not None and not is_safe(base_url):
            faults.append(
                "base_url must begin with https:// or be of this machine, and hold no password"
            )
        if min(deadline, timeout) <= 0:
            faults.append("deadline and timeout must be more than 0 seconds")
        if faults:
            raise ConfigurationError("AmplitudeCohorts", tuple(faults))
        self._session = Session(
            (base_url or _HOSTS[region]).rstrip("/"),
            api_key,
            secret_key,
            deadline=deadline,
            timeout=timeout,
            clock=clock,
            monotonic=monotonic,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return f"AmplitudeCohorts({self._session.base_url!r})"

    def list_cohorts(self) -> tuple[AmplitudeCohort, ...]:
        """All cohorts that can be discovered. It costs no download.

        Raises:
            AmplitudeAccessDeniedError: A key is wrong, or the region.
            AmplitudeUnavailableError, AmplitudeBusyError, AmplitudeRefusedError,
                ExportTimeoutError: The API can't be asked.
        """
        patience = self._session.patience("the list of cohorts")
        status, answer = self._session.ask("/api/3/cohorts", patience)
        listed = entries(answer).get("cohorts")
        if not isinstance(listed, list):
            raise AmplitudeRefusedError(patience.step, status)
        return tuple(_cohort(entries(entry)) for entry in cast("list[object]", listed))

    def usage(self) -> DownloadUsage:
        """What is spent of the month's downloads: as Amplitude says, or by the object's count.

        Raises:
            AmplitudeAccessDeniedError: A key is wrong, or the region.
            AmplitudeBusyError, ExportTimeoutError: The API can't be asked.
        """
        return self._session.usage(self._session.patience("the usage").deadline)

    def members(
        self,
        cohort_id: str,
        *,
        columns: Mapping[str, str] | None = None,
        max_missing: int = 0,
    ) -> "AmplitudeMembers":
        """The members of a cohort, for ``sync_cohort`` and ``diff_members``.

        Nothing is asked for yet.

        Args:
            cohort_id: The id that its URL has.
            columns: The sync's names for properties, where Amplitude has others: its own
                name first. Others are asked for by the names of their columns.
            max_missing: How many rows the export may have less than the cohort has users.
                By default one that is shorter is an error.
        """
        return AmplitudeMembers(
            cohort_id,
            columns=columns or {},
            max_missing=max_missing,
            list_cohorts=self.list_cohorts,
            export=self._export,
        )

    def _export(self, cohort_id: str, properties: tuple[str, ...]) -> Callable[[], Iterator[bytes]]:
        return _Export(self._session, cohort_id, properties).chunks


@frozen
class AmplitudeMembers:
    """The members of a cohort, fetched when a sync reads them: see ``AmplitudeCohorts.members``.

    Each sync is one download of the month's quota. A sync that must read the rows a second
    time, to say where a faulty one is, fetches the same export again, which is free.

    Attributes:
        cohort_id: The cohort.
        columns: The sync's names for properties, where Amplitude has others.
        max_missing: How many rows the export may have less than the cohort has users.
    """

    cohort_id: str
    columns: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    max_missing: int = field(default=0, kw_only=True)
    _list_cohorts: Callable[[], tuple[AmplitudeCohort, ...]] = field(
        kw_only=True, repr=False, alias="list_cohorts"
    )
    _export: Callable[[str, tuple[str, ...]], Callable[[], Iterator[bytes]]] = field(
        kw_only=True, repr=False, alias="export"
    )

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """The members with the schema's properties. The download begins when they are read.

        Raises:
            UnknownCohortError: There is no such cohort.
            CohortTooLargeError: The API does not give cohorts of this size.
            AmplitudeAccessDeniedError, AmplitudeUnavailableError, AmplitudeBusyError,
                AmplitudeRefusedError, ExportTimeoutError: The API can't be asked.
        """
        cohort = self._cohort()
        if cohort.size is not None and cohort.size > _MAX_USERS:
            raise CohortTooLargeError(cohort.id, cohort.size, _MAX_USERS)
        renaming = {own: new for own, new in self.columns.items() if new in schema.properties}
        own_names = {new: own for own, new in renaming.items()}
        asked = tuple(own_names.get(column, column) for column in schema.properties)
        export = self._export(cohort.id, asked)

        def chunks() -> Iterator[bytes]:
            count = RowCount()
            plain = count.through(export())
            yield from (renamed(plain, renaming) if renaming else plain)
            if self._falls_short(count.rows, cohort):
                raise ExportIncompleteError(cohort.id, count.rows, cohort.size or 0)

        return CsvSource(chunks=chunks, rows=cohort.size, origin=self._origin(cohort))

    def is_unchanged(self, origin: Mapping[str, str], /) -> bool:
        """Whether Amplitude says that the members are still those of an earlier sync.

        They are if neither the cohort's last computation, its last modification nor its size
        has moved since. (Whether the sync had the same columns is for its record to say.)

        Args:
            origin: The ``source`` of that sync's record.

        Raises:
            UnknownCohortError: There is no such cohort.
            AmplitudeAccessDeniedError, AmplitudeUnavailableError, AmplitudeBusyError,
                AmplitudeRefusedError, ExportTimeoutError: The API can't be asked.
        """
        cohort = self._cohort()
        return cohort.last_computed is not None and self._origin(cohort) == origin

    def _origin(self, cohort: AmplitudeCohort) -> Mapping[str, str]:
        """The state of the members, as the record of a sync keeps it."""
        return {
            "source": "amplitude",
            "cohort": cohort.id,
            "project": _or_empty(cohort.project_id),
            "size": _or_empty(cohort.size),
            "last_computed": _or_empty(cohort.last_computed),
            "last_modified": _or_empty(cohort.last_modified),
            **({"columns": json.dumps(dict(self.columns), sort_keys=True)} if self.columns else {}),
        }

    def _cohort(self) -> AmplitudeCohort:
        for found in self._list_cohorts():
            if found.id == self.cohort_id:
                return found
        raise UnknownCohortError(self.cohort_id)

    def _falls_short(self, rows: int, cohort: AmplitudeCohort) -> bool:
        """Whether rows are missing, and not because the cohort was computed anew meanwhile."""
        if cohort.size is None or rows >= cohort.size - self.max_missing:
            return False
        return self._cohort().last_computed == cohort.last_computed


class _Export:
    """One export of a cohort: asked for once, fetched as often as wanted."""

    def __init__(self, session: Session, cohort_id: str, properties: tuple[str, ...]) -> None:
        self._session = session
        self._cohort_id = cohort_id
        self._properties = properties
        self._id: str | None = None

    def chunks(self) -> Iterator[bytes]:
        """The bytes of its file, decompressed."""
        patience = self._session.patience(f"the download of {self._cohort_id!r}")
        with self._session.slot(patience):
            if self._id is None:
                self._id = self._request(patience)
            path = f"/api/5/cohorts/request-status/{quote(self._id, safe='')}"
            self._wait(path, patience)
            path = f"/api/5/cohorts/request/{quote(self._id, safe='')}/file"
            yield from read_export(
                lambda place: self._open(path, place, patience), patience, self._cohort_id
            )

    def _request(self, patience: Patience) -> str:
        path = f"/api/5/cohorts/request/{quote(self._cohort_id, safe='')}"
        if self._properties:
            keys = [("propKeys", name) for name in self._properties]
            path += f"?{urlencode([('props', '1'), *keys])}"
        status, answer = self._session.ask_for_download(path, patience)
        if status in GONE:
            raise UnknownCohortError(self._cohort_id)
        export_id = entries(answer).get("request_id")
        if not isinstance(export_id, str):
            raise AmplitudeRefusedError(patience.step, status)
        return export_id

    def _wait(self, path: str, patience: Patience) -> None:
        """Polls until the export is made.

        Raises:
            ExportFailedError: It never will be.
            ExportExpiredError: Amplitude does not know it any more.
        """
        pause = _FIRST_POLL
        while True:
            status, answer = self._session.ask(path, patience)
            if status in GONE:
                raise ExportExpiredError(self._cohort_id)
            if status not in (OK, ACCEPTED):
                raise AmplitudeRefusedError(patience.step, status)
            state = str(entries(answer).get("async_status"))
            if status == OK and state == "JOB COMPLETED":
                return
            if status == OK or _FAILED.search(state):
                shown = re.sub(r"[^A-Za-z _-]", "", state)[:40]
                raise ExportFailedError(self._cohort_id, shown)
            patience.deadline.pause(pause, patience.step)
            pause = min(pause * _POLL_GROWTH, _LONGEST_POLL)

    def _open(self, path: str, place: Place | None, patience: Patience) -> "BaseHTTPResponse":
        """Opens the file; a URL that has expired is asked for again."""
        headers = {} if place is None else place.headers
        while True:
            response, is_stored = self._session.open_file(path, patience, headers)
            status = response.status
            if status in (OK, PARTIAL_CONTENT):
                return response
            response.close()
            if is_stored and status in DENIED | GONE:
                patience.failed("the store refused the URL, as it does when that has expired")
            elif is_stored and status in _OTHER_VERSION:
                headers = {}
                patience.failed("the store has another version of the file")
            elif status in GONE:
                raise ExportExpiredError(self._cohort_id)
            else:
                raise AmplitudeRefusedError(patience.step, status)


def _cohort(entry: Mapping[str, Any]) -> AmplitudeCohort:
    return AmplitudeCohort(
        id=str(entry.get("id", "")),
        name=str(entry.get("name", "")),
        project_id=whole(entry.get("appId")),
        size=whole(entry.get("size")),
        last_computed=instant(entry.get("lastComputed")),
        last_modified=instant(entry.get("lastMod")),
        archived=entry.get("archived") is True,
    )


def _or_empty(value: int | datetime | None) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)
