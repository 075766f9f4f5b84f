"""The syncs of a run: those of the file, and one for each cohort that a pattern names."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from attrs import evolve, field, frozen

from ..errors import (
    CohortS3Error,
    ConfigurationError,
    NoCohortMatchesError,
    UnusableCohortIdError,
)
from ..log.stream import CohortStream
from ..settings.cohort_sync import CohortSync
from ..sources.protocol import MemberSource
from ..sync.stored_cohorts import vanished_cohorts
from ._setup import Setup
from .config import AmplitudeMembersConfig, SyncConfig

GONE = (
    "Amplitude lists no such cohort any more, or its name no longer matches the pattern; its files "
    "stay as they are"
)


class RunJob(NamedTuple):
    """A sync and its members, or the sync of a pattern and the error of one of its cohorts."""

    config: SyncConfig
    members: MemberSource | UnusableCohortIdError


@frozen(kw_only=True)
class RunJobs:
    """The jobs of a run, each by its name.

    Attributes:
        jobs: The syncs to run if they are due.
        failed: The patterns whose cohorts could not be listed, with the errors.
        gone: The names of the cohorts that were synced and that their pattern no longer matches.
    """

    jobs: dict[str, RunJob] = field(factory=dict[str, RunJob])
    failed: dict[str, CohortS3Error] = field(factory=dict[str, CohortS3Error])
    gone: dict[str, None] = field(factory=dict[str, None])

    @classmethod
    def of(cls, setup: Setup, names: Sequence[str]) -> "RunJobs":
        """Return the named jobs, or all if there are no names.

        Raises:
            ConfigurationError: A name is unknown, or the keys of a project are missing.
        """
        setup.check_has_syncs()
        found, patterns = cls(), _Patterns(setup)
        for name in dict.fromkeys(names or setup.config.syncs):
            table = setup.pattern_of(name)
            if table is None:
                found.jobs[name] = RunJob(setup.sync(name), setup.members(name))
                continue
            try:
                jobs = patterns.jobs(table)
            except CohortS3Error as error:
                if isinstance(error, ConfigurationError):
                    raise
                found.failed[table] = error
                jobs = {}
            gone = patterns.gone(table)
            if name == table:
                found.jobs.update(jobs)
                found.gone.update(dict.fromkeys(gone))
            elif name in jobs:
                found.jobs[name] = jobs[name]
            elif name in gone:
                found.gone[name] = None
            elif table not in found.failed:
                others = ", ".join(jobs) or "none"
                setup.fail(f"there is no sync {name!r}; those of {table} are: {others}")
        return found


class _Patterns:
    """The cohorts that the patterns of a file name. Each pattern is listed once."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._listed = dict[str, dict[str, RunJob] | CohortS3Error]()

    def jobs(self, table: str) -> dict[str, RunJob]:
        """Return the jobs of a pattern.

        A cohort with a table of its own, or with an earlier pattern, is left out.

        Raises:
            CohortS3Error: The cohorts can't be listed, or there is none.
        """
        single = list(self._single_tables(table))
        taken: set[CohortStream | str] = {one.sync.stream for one in single}
        sources = (one.members for one in single)
        taken |= {one.cohort_id for one in sources if isinstance(one, AmplitudeMembersConfig)}
        for other in self._family(table):
            listed = self._list(other)
            if other == table:
                if isinstance(listed, CohortS3Error):
                    raise listed
                return {n: job for n, job in listed.items() if _subject(job) not in taken}
            if not isinstance(listed, CohortS3Error):
                taken.update(map(_subject, listed.values()))
        raise AssertionError  # The family contains the table.

    def gone(self, table: str) -> list[str]:
        """Return the names of cohorts that were synced and that no pattern and no table names.

        The first of several patterns with the same kind of stream reports them.
        """
        family = self._family(table)
        if family[0] != table:
            return []
        known: list[tuple[CohortSync, object]] = []
        known += [(one.sync, one.members) for one in self._single_tables(table)]
        for other in family:
            listed = self._list(other)
            if isinstance(listed, NoCohortMatchesError):
                continue
            if isinstance(listed, CohortS3Error):
                return []  # Nobody knows which cohorts there are.
            known += [(job.config.sync, job.members) for job in listed.values()]
        config = self._setup.config.syncs[table]
        try:
            storage, log = self._setup.storages(config.destination)
            ids = vanished_cohorts(config.sync, known, storage, log=log)
        except CohortS3Error:
            return []  # Each sync reports the same error.
        return [f"{table}.{one}" for one in ids]

    def _list(self, table: str) -> dict[str, RunJob] | CohortS3Error:
        if table not in self._listed:
            try:
                self._listed[table] = dict(self._jobs(table))
            except ConfigurationError:
                raise
            except CohortS3Error as error:
                self._listed[table] = error
        return self._listed[table]

    def _jobs(self, table: str) -> Iterator[tuple[str, RunJob]]:
        config = self._setup.config.syncs[table]
        for sync, members in self._setup.cohort_jobs(table):
            cohort_id = members.cohort_id
            yield f"{table}.{cohort_id}", RunJob(evolve(config, sync=sync, cohorts=None), members)

    def _family(self, table: str) -> list[str]:
        """Return the patterns whose streams differ from those of a pattern in the cohort only."""
        syncs = self._setup.config.syncs
        one = syncs[table]
        return [
            name
            for name, other in syncs.items()
            if other.cohorts is not None
            and (other.destination, other.sync.stream) == (one.destination, one.sync.stream)
        ]

    def _single_tables(self, table: str) -> Iterator[SyncConfig]:
        return self._setup.single_tables(self._setup.config.syncs[table].destination)


def _subject(job: RunJob) -> CohortStream | str:
    """Return the stream of a job, or the unusable id of its cohort."""
    if isinstance(job.members, UnusableCohortIdError):
        return job.members.cohort_id
    return job.config.sync.stream
