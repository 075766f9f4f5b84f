"""The command's TOML file, with destinations and syncs.

Reading is a function of the text: it looks up no environment variable and opens nothing.
The file never contains secrets.
"""

import glob
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import attrs
from attrs import field, frozen

from ..errors import ConfigurationError
from ..settings.cohort_sync import CohortSync
from ..settings.destination import Destination
from ..sources import MemberFile, MemberFiles
from ..sources.file_set import is_pattern
from ..storage import Storage, open_storage
from ._toml_table import TomlTable, is_table

_ANY_COHORT = "any"
"""The id in the sync of a pattern, which is replaced by that of each cohort."""

_S3_OPTIONS = {
    "endpoint_url": str,
    "kms_key_id": str,
    "expected_bucket_owner": str,
    "acl": str,
    "checksums": bool,
    "request_options": Mapping[str, str],
}


@frozen(kw_only=True)
class AmplitudeConfig:
    """A project of Amplitude that members come from: a table ``[amplitude.<name>]``.

    Attributes:
        region: The region of the project's data center.
        base_url: The URL of another server that speaks the API, or None.
        api_key_env: The environment variable that holds the API key.
        secret_key_env: The environment variable that holds the secret key.
    """

    region: Literal["us", "eu"] = "us"
    base_url: str | None = None
    api_key_env: str = "AMPLITUDE_API_KEY"
    secret_key_env: str = "AMPLITUDE_SECRET_KEY"  # noqa: S105 -- the name of a variable


@frozen(kw_only=True)
class DestinationConfig:
    """A destination and its storage: a table ``[destinations.<name>]``.

    Attributes:
        destination: The destination.
        folder: The root folder, or None if the destination is a bucket.
        log: The folder or ``s3://bucket`` of the log, or None if it is beside the data.
        options: Keyword arguments of ``S3Storage``.
    """

    destination: Destination
    folder: Path | None = None
    log: str | None = None
    options: Mapping[str, Any] = field(factory=dict[str, Any])

    def open_storage(self) -> Storage:
        """Return the storage of the data."""
        if self.folder is not None:
            return open_storage(self.folder)
        if not self.options:
            return open_storage(self.destination)
        from ..storage.s3.storage import S3Storage  # noqa: PLC0415 -- boto3 costs 0.3 s

        bucket, region = str(self.destination.bucket), self.destination.region
        return S3Storage(bucket, region=region, **self.options)

    def open_log(self) -> Storage | None:
        """Return the storage of the log, or None if it is beside the data."""
        return None if self.log is None else open_storage(self.log)


@frozen(kw_only=True)
class AmplitudeMembersConfig:
    """Members from a cohort in Amplitude: ``members = { amplitude = "<name>" }``.

    Attributes:
        amplitude: The name of the table with the project.
        cohort_id: The id of the cohort in that project.
        columns: The names of properties in the sync, by their names in Amplitude.
        max_missing: The number of users of the cohort that may be missing from the export.
    """

    amplitude: str
    cohort_id: str
    columns: Mapping[str, str] = field(factory=dict[str, str])
    max_missing: int = 0


@frozen(kw_only=True)
class SyncConfig:
    """A sync and its members: a table ``[syncs.<name>]``.

    Attributes:
        sync: The cohort and its destination.
        destination: The name of the table with the destination.
        members: The source of the members, or None if each call names it.
        cohorts: The pattern of the names of the cohorts in Amplitude that are synced, each by
            itself, or None for the one cohort of ``sync``.
    """

    sync: CohortSync
    destination: str
    members: MemberFile | MemberFiles | AmplitudeMembersConfig | None = None
    cohorts: str | None = None

    def of_cohort(self, cohort_id: str) -> "SyncConfig":
        """Return the sync of one of the cohorts of a pattern."""
        sync = attrs.evolve(self.sync, cohort_id=cohort_id)
        members = attrs.evolve(cast("AmplitudeMembersConfig", self.members), cohort_id=cohort_id)
        return SyncConfig(sync=sync, destination=self.destination, members=members)


@frozen(kw_only=True)
class Config:
    """A configuration file without faults.

    Attributes:
        destinations: The destinations by name.
        syncs: The syncs by name.
        amplitude: The projects of Amplitude by name.
    """

    destinations: Mapping[str, DestinationConfig]
    syncs: Mapping[str, SyncConfig]
    amplitude: Mapping[str, AmplitudeConfig]

    @classmethod
    def from_toml(cls, text: str, *, name: str, folder: str | os.PathLike[str] = "") -> "Config":
        """Read a configuration.

        Args:
            text: The content of the file.
            name: The name of the file, for errors.
            folder: The folder that relative paths are resolved against.

        Raises:
            ConfigurationError: The text is not valid TOML, or tables, keys and values break
                rules; the error lists all of them. A value of a wrong kind is not shown, since it
                may be a secret.

        >>> config = Config.from_toml('''
        ...     [destinations.warehouse]
        ...     folder = "bucket"
        ...     [syncs.actives]
        ...     destination = "warehouse"
        ...     project_id = 123
        ...     cohort_id = "26umsb5"
        ...     members = "actives.csv"
        ... ''', name="syncs.toml")
        >>> config.syncs["actives"].members
        MemberFile(location='actives.csv')
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(name, (f"not valid TOML: {error}",)) from None
        faults = list[str]()
        root = TomlTable(table, "", faults)
        amplitude = {
            n: t.build(AmplitudeConfig) or AmplitudeConfig() for n, t in root.tables("amplitude")
        }
        destinations = {n: _destination(n, t, folder) for n, t in root.tables("destinations")}
        syncs = {n: _sync(t, destinations, amplitude, folder) for n, t in root.tables("syncs")}
        root.end()
        if faults:
            raise ConfigurationError(name, tuple(faults))
        return cls(
            destinations=destinations,
            syncs={n: sync for n, sync in syncs.items() if sync is not None},
            amplitude=amplitude,
        )


def _destination(name: str, table: TomlTable, folder: str | os.PathLike[str]) -> DestinationConfig:
    root, log = table.get("folder", str), table.get("log", str)
    options = {key: table.get(key, kind) for key, kind in _S3_OPTIONS.items()}
    options = {key: value for key, value in options.items() if value is not None}
    if "SSECustomerKey" in options.get("request_options", {}):
        table.fault("request_options", "must not contain SSECustomerKey, which is a secret")
    destination = table.build(Destination, name=name)
    if ("folder" in table.values) == ("bucket" in table.values):
        table.faults.append(f"{table.place} must have either bucket or folder")
    if root == "" or log == "":
        table.fault("folder" if root == "" else "log", "must not be empty; write . for this folder")
    if root is not None and "://" in root:
        table.fault("folder", "is a URL; set bucket and path instead")
    if root is not None and options:
        table.faults.append(f"{table.place}: {', '.join(options)} can be set for a bucket only")
    return DestinationConfig(
        destination=destination or Destination(name=name),
        folder=None if root is None else Path(folder, root),
        log=None if log is None else _resolve(log, folder),
        options=options,
    )


def _sync(
    table: TomlTable,
    destinations: Mapping[str, DestinationConfig],
    amplitude: Mapping[str, AmplitudeConfig],
    folder: str | os.PathLike[str],
) -> SyncConfig | None:
    destination = table.reference("destination", "destinations", destinations)
    config = destinations.get(destination)
    # The faults of a destination are not repeated for each of its syncs.
    stand_in = Destination(name="?") if config is None else config.destination
    pattern: str | None = table.get("cohorts", str)
    if "cohorts" in table.values:
        table.get("cohort_id", str)
        if pattern == "":
            table.fault("cohorts", 'must be a pattern of names, such as "Marketing *"')
        if "cohort_id" in table.values:
            table.faults.append(f"{table.place} must have either cohort_id or cohorts")
        sync = table.build(CohortSync, destination=stand_in, cohort_id=_ANY_COHORT)
    else:
        sync = table.build(CohortSync, destination=stand_in)
    members = _members(table, amplitude, folder)
    if pattern is not None and not isinstance(members, AmplitudeMembersConfig):
        table.fault("members", 'must be { amplitude = "<name>" }, the project with the cohorts')
    if sync is None:
        return None
    return SyncConfig(sync=sync, destination=destination, members=members, cohorts=pattern)


def _members(
    sync: TomlTable, amplitude: Mapping[str, AmplitudeConfig], folder: str | os.PathLike[str]
) -> MemberFile | MemberFiles | AmplitudeMembersConfig | None:
    """Read a location, ``{ file = …, columns = … }`` or ``{ amplitude = … }``."""
    if not is_table(sync.values.get("members")):
        location = sync.get("members", str | dict)
        return None if location is None else _file_kind(location)(_resolve(location, folder))
    sync.get("members", dict)
    table = sync.inner("members")
    if ("file" in table.values) == ("amplitude" in table.values):
        table.faults.append(f"{table.place} must have either file or amplitude")
    members: MemberFile | MemberFiles | AmplitudeMembersConfig | None
    location = table.get("file", str) or ""
    if "amplitude" not in table.values:
        if _file_kind(location) is MemberFile:
            members = table.build(MemberFile, location=_resolve(location, folder))
        else:
            members = table.build(MemberFiles, locations=_resolve(location, folder))
    else:
        project = table.reference("amplitude", "amplitude", amplitude)
        cohort_id = table.get("cohort_id", str) or sync.values.get("cohort_id", _ANY_COHORT)
        if "cohort_id" in table.values and "cohorts" in sync.values:
            table.fault("cohort_id", "must not be set beside cohorts")
        members = table.build(AmplitudeMembersConfig, amplitude=project, cohort_id=cohort_id)
    table.end()
    return members


def _file_kind(location: str) -> type[MemberFile] | type[MemberFiles]:
    """Return the class for a location: ``MemberFiles`` if it ends in a slash or is a pattern.

    Whether a location is a folder is not looked up, because reading the text opens nothing.
    """
    is_folder = location.endswith("/") and not location.startswith(("http://", "https://"))
    return MemberFiles if is_folder or is_pattern(location) else MemberFile


def _resolve(location: str, folder: str | os.PathLike[str]) -> str:
    """Return a location with relative paths resolved against a folder; URIs stay as they are."""
    if "://" in location:
        return location
    # Brackets in the name of the folder do not belong to the pattern.
    path = Path(glob.escape(str(folder)) if is_pattern(location) else folder, location)
    return f"{path}/" if location.endswith("/") else str(path)
