"""Amplitude's Behavioral Cohorts API as a source of members.

https://amplitude.com/docs/apis/analytics/behavioral-cohorts describes it. If that page
is not clear, a comment in the code states our assumption.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

from attrs import AttrsInstance, evolve

from ..._arguments import check_kind
from ...errors import ConfigurationError, NoCohortMatchesError, UnusableCohortIdError
from ...format.cells import broken_rule
from ._session import Session, is_safe
from .cohorts import AmplitudeMembers
from .listing import AmplitudeCohort, CohortList, RecentList, list_cohorts
from .usage import DownloadUsage


@runtime_checkable
class _SyncOfCohort(AttrsInstance, Protocol):
    """A sync of one cohort: a ``CohortSync``."""

    @property
    def cohort_id(self) -> str: ...


S = TypeVar("S", bound=_SyncOfCohort)

_HOSTS = {"us": "https://amplitude.com", "eu": "https://analytics.eu.amplitude.com"}


class AmplitudeCohorts:
    """The cohorts of an Amplitude project, through its Behavioral Cohorts API.

    Pass ``members(...)`` to ``sync_cohort`` as the members. The documented limits apply to all
    threads that share one object: 60 downloads started in 10 minutes, 4 at once, and the month's
    quota. The quota is read from Amplitude; if Amplitude does not report it, the object counts
    its own downloads and stops at 500.

    The keys appear in no repr, message or log, and are sent only to Amplitude's own host.
    The pre-signed URLs that large exports come from are secrets too and are treated alike.

    Args:
        api_key: The project's API key.
        secret_key: The project's secret key.
        region: ``"eu"`` for projects in Amplitude's EU data center.
        base_url: Another server with the same API, such as ``FakeAmplitude`` of ``testing``.
        deadline: The seconds that each call, and the whole of a download, may take.
        timeout: The seconds that a connection, a response or its next bytes may take.
        clock: A function that returns the time; for tests.
        monotonic: A function that returns the seconds of a clock that never jumps; for tests.
        sleep: A function that waits for a number of seconds; for tests.

    Raises:
        ConfigurationError: A key is empty, the region is unknown or the URL is not safe.

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
        if (rule := broken_rule(f"{api_key}{secret_key}")) is not None:
            faults.append(f"api_key or secret_key {rule}: pass both as Amplitude shows them")
        if region not in _HOSTS:
            faults.append(f"region must be 'us' or 'eu', not {region!r}")
        if base_url is not None and not is_safe(base_url):
            faults.append(
                "base_url must begin with https:// (or be a server on this machine) and must not "
                "contain a password"
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

    def list_cohorts(self, pattern: str | None = None) -> CohortList:
        """Return all cohorts that can be discovered. This does not count as a download.

        Args:
            pattern: The names to return, such as ``"Marketing *"``: see ``CohortList.matching``.
                Default: all cohorts, also archived ones.

        Raises:
            AmplitudeAccessDeniedError: A key or the region is wrong.
            AmplitudeError: The API can't be reached, or refuses the request.
        """
        found = list_cohorts(self._session)
        return found if pattern is None else found.matching(pattern)

    def usage(self) -> DownloadUsage:
        """Return the month's usage as Amplitude reports it, or else as it was counted here.

        Raises:
            AmplitudeAccessDeniedError: A key or the region is wrong.
            AmplitudeTimeoutError: The API does not answer in time.
        """
        return self._session.usage(self._session.budget("the usage"))

    def members(
        self,
        cohort_id: str,
        *,
        columns: Mapping[str, str] | None = None,
        max_missing: int = 0,
    ) -> AmplitudeMembers:
        """Return the members of a cohort, for ``sync_cohort`` and ``diff_members``.

        Nothing is requested yet.

        Args:
            cohort_id: The id in the cohort's URL.
            columns: The headers of properties in the sync, by their names in Amplitude. It is
                needed only for properties whose ``UserProperty`` has another name.
            max_missing: The number of users of the cohort that may be missing from the export.

        Raises:
            ArgumentTypeError: ``cohort_id`` is not a text.
            ConfigurationError: ``cohort_id`` is a text that no request can contain.
        """
        check_kind("cohort_id", cohort_id, str, 'pass it as text, such as "26umsb5"')
        if (rule := broken_rule(cohort_id)) is not None:
            raise ConfigurationError("AmplitudeCohorts.members", (f"cohort_id {rule}",))
        return AmplitudeMembers(
            cohort_id, columns=columns or {}, max_missing=max_missing, session=self._session
        )

    def jobs(
        self,
        sync: S,
        pattern: str,
        *,
        columns: Mapping[str, str] | None = None,
        max_missing: int = 0,
    ) -> tuple[tuple[S, AmplitudeMembers | UnusableCohortIdError], ...]:
        """Return a sync and the members of each cohort whose name matches, for ``run_due``.

        The cohorts are listed now, so call it again for each run: a new cohort is then synced too,
        and one that has vanished is not (``vanished_cohorts`` names these). The jobs share the
        limits of this object. If the month's downloads are used up, the syncs that are left fail
        with ``AmplitudeLimitError``, and those without a change need none.

        Args:
            sync: The ``CohortSync`` of all cohorts; its ``cohort_id`` is replaced.
            pattern: The names, such as ``"Marketing *"``: see ``CohortList.matching``.
            columns: As for :meth:`members`.
            max_missing: As for :meth:`members`.

        Returns:
            The pairs, in the order in which the API lists the cohorts. If an id can't be part of a
            file's name, its pair is ``sync`` and the error, which ``run_due`` reports.

        Raises:
            NoCohortMatchesError: No cohort has such a name.
            ArgumentTypeError: ``sync`` is not a ``CohortSync``, or ``pattern`` is not a text.
            AmplitudeAccessDeniedError: A key or the region is wrong.
            AmplitudeError: The API can't be reached, or refuses the request.
        """
        check_kind("sync", sync, _SyncOfCohort, "pass CohortSync(destination=…, project_id=…, …)")
        check_kind("pattern", pattern, str, 'pass text, such as "Marketing *"')
        recent = RecentList(self._session)
        listed = recent()
        found = listed.matching(pattern)
        if not found:
            raise NoCohortMatchesError(pattern, len(listed))

        def job(cohort: AmplitudeCohort) -> tuple[S, AmplitudeMembers | UnusableCohortIdError]:
            try:
                own_sync = evolve(cast("Any", sync), cohort_id=cohort.id)
            except ConfigurationError as error:
                rule = "; ".join(error.faults)
                return sync, UnusableCohortIdError(cohort.id, cohort.name, rule)
            return own_sync, AmplitudeMembers(
                cohort.id,
                columns=columns or {},
                max_missing=max_missing,
                session=self._session,
                recent=recent,
            )

        return tuple(map(job, found))
