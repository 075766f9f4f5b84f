"""The storages and members that the configuration file and the environment describe."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar, cast

from attrs import field, frozen

from .._bytes import CHUNK_BYTES
from ..diff.progress import Progress, TqdmProgress
from ..errors import ConfigurationError, MissingExtraError
from ..format.compression import unpack_chunks
from ..history.history import CohortHistory
from ..history.read import read_history
from ..log.stream import CohortStream
from ..sources import MemberFile, MemberFiles
from ..sources.protocol import CsvSource, MemberSource
from ..storage import Storage
from ..sync.stored_cohorts import stored_cohorts
from ._output import COMMAND
from .config import AmplitudeMembersConfig, Config, DestinationConfig, SyncConfig

if TYPE_CHECKING:
    from ..errors import UnusableCohortIdError
    from ..settings.cohort_sync import CohortSync
    from ..sources.amplitude import AmplitudeMembers
    from ..sources.amplitude.api import AmplitudeCohorts

CONFIG_FILE = f"{COMMAND}.toml"

T = TypeVar("T")


class Place(NamedTuple):
    """A stream and its storages: the arguments of most functions of the library.

    Attributes:
        storage: The storage of the data.
        stream: The stream.
        log: The storage of the log, or None if it is that of the data.
        match_by: The column that identifies a member, or None for that of the log.
    """

    storage: Storage
    stream: CohortStream
    log: Storage | None
    match_by: str | None

    def history(self) -> CohortHistory:
        """Return the history of the stream."""
        return read_history(self.storage, self.stream, log=self.log, match_by=self.match_by)


@frozen
class Setup:
    """A configuration, whose storages and projects are opened once, on demand."""

    config: Config
    file: Path
    _storages: dict[str, tuple[Storage, Storage | None]] = field(
        init=False, factory=dict[str, tuple[Storage, Storage | None]]
    )
    _projects: "dict[str, AmplitudeCohorts]" = field(
        init=False, factory=dict[str, "AmplitudeCohorts"]
    )

    @classmethod
    def read(cls, file: Path) -> "Setup":
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            fault = (
                "there is no such file; pass the file's location with --config, or write a "
                f"first one with {COMMAND} init"
            )
            raise ConfigurationError(str(file), (fault,)) from None
        except OSError as error:
            fault = f"can't be read ({error.strerror}); pass another file with --config"
            raise ConfigurationError(str(file), (fault,)) from None
        except UnicodeDecodeError:
            raise ConfigurationError(str(file), ("it is not UTF-8; save it as UTF-8",)) from None
        return cls(Config.from_toml(text, name=str(file), folder=file.parent), file)

    def sync(self, name: str) -> SyncConfig:
        """Return a sync of the file, or one of a pattern: ``all.26umsb5`` of ``[syncs.all]``."""
        table = self.pattern_of(name)
        if table is None:
            return self._choose("sync", name, self.config.syncs)
        if table == name:
            fault = f"syncs.{name} syncs several cohorts; name one of them, such as {name}.26umsb5"
            self.fail(f"{fault}. The subcommand run, with --dry-run, lists them")
        return self.config.syncs[table].of_cohort(name.removeprefix(f"{table}."))

    def syncs(self, names: Sequence[str]) -> dict[str, SyncConfig]:
        """Return the named syncs, or all if there are no names.

        The syncs of a pattern are those that have been done: the bucket shows them. If none has
        been done, the pattern itself is returned.
        """
        found = dict[str, SyncConfig]()
        self.check_has_syncs()
        for name in dict.fromkeys(names or self.config.syncs):
            if self.pattern_of(name) != name:
                found[name] = self.sync(name)
                continue
            config = self.config.syncs[name]
            storage, log = self.storages(config.destination)
            stored = [
                config.of_cohort(cohort_id)
                for cohort_id in stored_cohorts(log or storage, config.sync.stream)
            ]
            for one in stored:
                if not any(one.sync.stream == other.sync.stream for other in found.values()):
                    found[f"{name}.{one.sync.cohort_id}"] = one
            single = {one.sync.stream for one in self.single_tables(config.destination)}
            if {one.sync.stream for one in stored} <= single:
                found[name] = config
        return found

    def single_tables(self, destination: str) -> Iterator[SyncConfig]:
        """Yield the tables of one cohort each, of a destination."""
        for one in self.config.syncs.values():
            if one.cohorts is None and one.destination == destination:
                yield one

    def check_has_syncs(self) -> None:
        """Raise the error about a file without syncs."""
        if not self.config.syncs:
            self.fail("it has no syncs; add a table [syncs.<name>]")

    def pattern_of(self, name: str) -> str | None:
        """Return the name of the pattern that a name is, or is a cohort of; None for a sync."""
        syncs = self.config.syncs
        for table in (name, name.rpartition(".")[0]):
            if table in syncs:
                return None if syncs[table].cohorts is None else table
        return None

    def destination(self, name: str) -> DestinationConfig:
        return self._choose("destination", name, self.config.destinations)

    def storages(self, destination: str) -> tuple[Storage, Storage | None]:
        """Return the storage of the data, and that of the log unless it is the same."""
        if destination not in self._storages:
            config = self.destination(destination)
            try:
                self._storages[destination] = config.open_storage(), config.open_log()
            except ConfigurationError as error:
                subject = f"{self.file}: destinations.{destination}"
                raise ConfigurationError(subject, error.faults) from None
        return self._storages[destination]

    def members(self, name: str) -> MemberSource:
        config = self.sync(name).members
        if config is None:
            self.fail(f"syncs.{name} has no members; set the key, or pass --members LOCATION")
        if isinstance(config, MemberFile | MemberFiles):
            return config
        table = self.pattern_of(name)
        if table is not None:
            for sync, members in self.cohort_jobs(table):
                if sync.cohort_id == config.cohort_id and not isinstance(members, Exception):
                    return members
            pattern = self.config.syncs[table].cohorts
            self.fail(
                f"there is no sync {name!r}: Amplitude lists no cohort with this id whose name "
                f"matches {pattern!r}"
            )
        return self._project(config.amplitude).members(
            config.cohort_id, columns=config.columns, max_missing=config.max_missing
        )

    def cohort_jobs(
        self, table: str
    ) -> "tuple[tuple[CohortSync, AmplitudeMembers | UnusableCohortIdError], ...]":
        """Return the syncs of a pattern and their members, as Amplitude lists the cohorts now."""
        config = self.config.syncs[table]
        members = cast("AmplitudeMembersConfig", config.members)
        return self._project(members.amplitude).jobs(
            config.sync,
            str(config.cohorts),
            columns=members.columns,
            max_missing=members.max_missing,
        )

    def place(self, name: str) -> Place:
        config = self.sync(name)
        storage, log = self.storages(config.destination)
        return Place(storage, config.sync.stream, log, config.sync.schema.key)

    def _project(self, name: str) -> "AmplitudeCohorts":
        # One object for all cohorts of a project, since it enforces the project's rate limits.
        from ..sources.amplitude.api import AmplitudeCohorts  # noqa: PLC0415 -- it loads an HTTP client

        if name not in self._projects:
            config = self.config.amplitude[name]
            variables = (config.api_key_env, config.secret_key_env)
            missing = [variable for variable in variables if not os.environ.get(variable)]
            if missing:
                faults = [f"the environment variable {variable} is not set" for variable in missing]
                raise ConfigurationError(f"amplitude.{name}", tuple(faults))
            self._projects[name] = AmplitudeCohorts(
                *(os.environ[variable] for variable in variables),
                region=config.region,
                base_url=config.base_url,
            )
        return self._projects[name]

    def _choose(self, kind: str, name: str, found: Mapping[str, T]) -> T:
        if name not in found:
            others = f"the {kind}s are: {', '.join(found)}" if found else f"it has no {kind}s"
            self.fail(f"there is no {kind} {name!r}; {others}")
        return found[name]

    def fail(self, fault: str) -> NoReturn:
        """Raise the error about a fault of the file."""
        raise ConfigurationError(str(self.file), (fault,))


def standard_input() -> CsvSource:
    read = partial(sys.stdin.buffer.read, CHUNK_BYTES)
    return CsvSource(
        chunks=lambda: unpack_chunks(iter(read, b""), file="standard input"),
        repeatable=False,
        file="standard input",
        origin={"file": "standard input"},
    )


def progress_bar() -> AbstractContextManager[Progress | None]:
    """Return a bar on standard error, if that is a terminal and tqdm is installed."""
    if sys.stderr.isatty():
        try:
            return TqdmProgress()
        except MissingExtraError:
            pass
    return nullcontext()
