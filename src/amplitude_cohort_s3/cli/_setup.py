"""What the configuration file and the environment give to a subcommand."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen

from .._bytes import CHUNK_BYTES
from ..diff.progress import Progress, TqdmProgress
from ..errors import ConfigurationError, MissingExtraError
from ..format.compression import unpack_chunks
from ..history.history import CohortHistory
from ..history.read import read_history
from ..sources import MemberFile
from ..sources.protocol import CsvSource, MemberSource
from ..storage import Storage
from ._output import COMMAND
from .config import AmplitudeMembersConfig, Config, DestinationConfig, SyncConfig

CONFIG_FILE = f"{COMMAND}.toml"


# --- What the file and the environment give --------------------------------------------


@frozen
class Setup:
    """A configuration with what it leads to, each opened once and when it is needed."""

    config: Config
    file: Path
    _opened: dict[object, Any]

    @classmethod
    def read(cls, file: Path) -> "Setup":
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
            fault = f"it can't be read ({reason}); --config names another file"
            raise ConfigurationError(str(file), (fault,)) from None
        return cls(Config.from_toml(text, name=str(file), folder=file.parent), file, {})

    def choose(self, kind: str, name: str) -> Any:
        """A sync or destination by its name."""
        found: Mapping[str, Any] = getattr(self.config, kind)
        if name not in found:
            fault = f"it has no {kind}.{name}; {kind} are {', '.join(found) or 'none'}"
            raise ConfigurationError(str(self.file), (fault,))
        return found[name]

    def sync(self, name: str) -> SyncConfig:
        found: SyncConfig = self.choose("syncs", name)
        return found

    def syncs(self, names: Sequence[str]) -> dict[str, SyncConfig]:
        """Those syncs, or all."""
        return {name: self.sync(name) for name in dict.fromkeys(names or self.config.syncs)}

    def storages(self, destination: str) -> tuple[Storage, Storage | None]:
        """Where the data of a destination is, and its log if that is elsewhere."""
        if destination not in self._opened:
            found: DestinationConfig = self.choose("destinations", destination)
            self._opened[destination] = found.open_storage(), found.open_log()
        storages: tuple[Storage, Storage | None] = self._opened[destination]
        return storages

    def members(self, name: str) -> MemberSource:
        """Where a sync's members come from."""
        match self.sync(name).members:
            case None:
                fault = f"syncs.{name} has no members, and neither has the command line"
                raise ConfigurationError(str(self.file), (fault,))
            case MemberFile() as file:
                return file
            case AmplitudeMembersConfig() as wanted:
                cohorts = self._amplitude(wanted.amplitude)
                source: MemberSource = cohorts.members(
                    wanted.cohort_id, columns=wanted.columns, max_missing=wanted.max_missing
                )
                return source

    def _amplitude(self, name: str) -> Any:
        # One object for a project, since it keeps to the limits of all its downloads.
        from ..sources.amplitude.api import AmplitudeCohorts  # noqa: PLC0415 -- urllib3 costs 0.1 s

        if ("amplitude", name) not in self._opened:
            project = self.config.amplitude[name]
            wanted = (project.api_key_env, project.secret_key_env)
            missing = [variable for variable in wanted if not os.environ.get(variable)]
            if missing:
                faults = [f"the environment variable {variable} is not set" for variable in missing]
                raise ConfigurationError(f"amplitude.{name}", tuple(faults))
            self._opened["amplitude", name] = AmplitudeCohorts(
                *(os.environ[variable] for variable in wanted),
                region=project.region,
                base_url=project.base_url,
            )
        return self._opened["amplitude", name]

    def history(self, name: str) -> CohortHistory:
        config = self.sync(name)
        storage, log = self.storages(config.destination)
        key = config.sync.schema.key
        return read_history(storage, config.sync.stream, log=log, match_by=key)


def standard_input() -> CsvSource:
    read = partial(sys.stdin.buffer.read, CHUNK_BYTES)
    return CsvSource(
        chunks=lambda: unpack_chunks(iter(read, b"")),
        repeatable=False,
        file="standard input",
        origin={"file": "standard input"},
    )


def progress_bar() -> AbstractContextManager[Progress | None]:
    """A bar on standard error, if that is a terminal and tqdm is installed."""
    if sys.stderr.isatty():
        try:
            return TqdmProgress()
        except MissingExtraError:
            pass
    return nullcontext()
