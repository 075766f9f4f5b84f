"""Destinations and syncs from one TOML file: what the command works with.

Reading is a function of the text: no variable of the environment is looked up, and
nothing is opened before it is needed. Secrets never stand in the file.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen

from ..errors import ConfigurationError
from ..format.existing_meaning import ExistingMeaning
from ..format.filename import NameStyle
from ..settings.cadence import Cadence
from ..settings.cohort_sync import CohortSync
from ..settings.destination import Destination, UserProperty
from ..settings.exit_guard import ExitGuard
from ..sources import MemberFile
from ..storage import Storage, open_storage
from ._toml_table import LIST, TABLE, TomlTable, is_table

_S3_OPTIONS = ("endpoint_url", "kms_key_id", "expected_bucket_owner", "acl")


@frozen(kw_only=True)
class AmplitudeConfig:
    """A project of Amplitude that members come from: a table ``[amplitude.<name>]``.

    Attributes:
        region: Of its data center.
        base_url: Another server that speaks the API, or None.
        api_key_env: The environment variable that holds the API key.
        secret_key_env: That of the secret key.
    """

    region: Literal["us", "eu"] = "us"
    base_url: str | None = None
    api_key_env: str = "AMPLITUDE_API_KEY"
    secret_key_env: str = "AMPLITUDE_SECRET_KEY"  # noqa: S105 -- a name and no secret


@frozen(kw_only=True)
class DestinationConfig:
    """A table ``[destinations.<name>]``.

    Attributes:
        destination: What is written there, and how.
        folder: The root folder, where it is no bucket.
        log: The folder or ``s3://bucket`` of the log, where that is another one.
        options: Of ``S3Storage``.
    """

    destination: Destination
    folder: Path | None = None
    log: str | None = None
    options: Mapping[str, Any] = field(factory=dict[str, Any])

    def open_storage(self) -> Storage:
        """Where the data is."""
        if self.folder is not None:
            return open_storage(self.folder)
        if not self.options:
            return open_storage(self.destination)
        from ..storage.s3.storage import S3Storage  # noqa: PLC0415 -- boto3 costs 0.3 s

        bucket, region = str(self.destination.bucket), self.destination.region
        return S3Storage(bucket, region=region, **self.options)

    def open_log(self) -> Storage | None:
        """Where the log is; None where it is beside the data."""
        return None if self.log is None else open_storage(self.log)


@frozen(kw_only=True)
class AmplitudeMembersConfig:
    """``members = { amplitude = "<name>" }``.

    Attributes:
        amplitude: The name of the table with the project.
        cohort_id: The cohort there.
        columns: The sync's names for properties, where Amplitude has others.
        max_missing: How many rows an export may lack.
    """

    amplitude: str
    cohort_id: str
    columns: Mapping[str, str] = field(factory=dict[str, str])
    max_missing: int = 0


@frozen(kw_only=True)
class SyncConfig:
    """A table ``[syncs.<name>]``.

    Attributes:
        sync: What is synced where.
        destination: The name of the table with the destination.
        members: Where the members come from; None where each call says so.
    """

    sync: CohortSync
    destination: str
    members: MemberFile | AmplitudeMembersConfig | None = None


@frozen(kw_only=True)
class Config:
    """A configuration file, checked as a whole.

    Attributes:
        destinations: By name.
        syncs: By name.
        amplitude: Projects of Amplitude, by name.
    """

    destinations: Mapping[str, DestinationConfig]
    syncs: Mapping[str, SyncConfig]
    amplitude: Mapping[str, AmplitudeConfig]

    @classmethod
    def from_toml(cls, text: str, *, name: str, folder: str | os.PathLike[str] = "") -> "Config":
        """Reads a configuration.

        Args:
            text: The file's.
            name: The file's, for errors.
            folder: Where relative paths begin: the file's own folder.

        Raises:
            ConfigurationError: It is no TOML, or tables, keys and values break rules; all of
                them are named. No value of a wrong kind is shown: it may be a secret.

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
        MemberFile(location='actives.csv', columns={})
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(name, (f"it is no TOML: {error}",)) from None
        faults = list[str]()
        root = TomlTable(table, "", faults)
        amplitude = {n: _amplitude(t) for n, t in root.tables("amplitude")}
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


def _amplitude(table: TomlTable) -> AmplitudeConfig:
    found = table.build(
        AmplitudeConfig,
        region=table.one_of("region", ("us", "eu")),
        base_url=table.get("base_url", str),
        api_key_env=table.get("api_key_env", str),
        secret_key_env=table.get("secret_key_env", str),
    )
    return found or AmplitudeConfig()


def _destination(name: str, table: TomlTable, folder: str | os.PathLike[str]) -> DestinationConfig:
    root, log = table.get("folder", str), table.get("log", str)
    existing = table.one_of("existing", [meaning.value for meaning in ExistingMeaning])
    destination = table.build(
        Destination,
        name=name,
        bucket=table.get("bucket", str),
        region=table.get("region", str),
        path=table.get("path", str),
        match_by=_match_by(table),
        require_suffix=table.get("require_suffix", bool),
        user_property=_property(table, "user_property", table.any("user_property")),
        existing=existing and ExistingMeaning(existing),
        name_style=_name_style(table),
        header_style=table.one_of("header_style", ("documented", "api")),
        compression=table.one_of("compression", ("gzip",)),
    )
    options = {key: table.get(key, str) for key in _S3_OPTIONS}
    options = {key: value for key, value in options.items() if value is not None}
    if (root is None) == ("bucket" not in table):
        table.faults.append(f"{table.place} must have one of bucket and folder")
    if root is not None and options:
        table.faults.append(f"{table.place}: {', '.join(options)} are for buckets only")
    return DestinationConfig(
        destination=destination or Destination(name=name),
        folder=None if root is None else Path(folder, root),
        log=log if log is None or "://" in log else str(Path(folder, log)),
        options=options,
    )


def _match_by(table: TomlTable) -> str | UserProperty | None:
    value = table.any("match_by")
    if is_table(value):
        return _property(table, "match_by", value)
    return table.one_of("match_by", ("amplitude_id", "user_id"))


def _name_style(table: TomlTable) -> NameStyle | None:
    style = table.table("name_style")
    if style is None:
        return None
    found = style.build(
        NameStyle,
        separator=style.one_of("separator", (":", "-")),
        seconds=style.get("seconds", bool),
        zulu=style.get("zulu", bool),
    )
    style.end()
    return found


def _property(table: TomlTable, key: str, value: object) -> UserProperty | None:
    """``"plan"``, or ``{ name = "plan", source_app = "ios", header = "plan" }``."""
    if value is None:
        return None
    if is_table(value):
        inner = TomlTable(value, table.at(key), table.faults)
        found = inner.build(
            UserProperty,
            name=inner.require("name", str, "?"),
            source_app=inner.get("source_app", str),
            header=inner.get("header", str),
        )
        inner.end()
        return found
    if not isinstance(value, str):
        table.fault(key, "must be the name of a property, or a table")
        return None
    return table.build(UserProperty, name=value)


def _sync(
    table: TomlTable,
    destinations: Mapping[str, DestinationConfig],
    amplitude: Mapping[str, AmplitudeConfig],
    folder: str | os.PathLike[str],
) -> SyncConfig | None:
    destination = table.require("destination", str, "")
    if destination and destination not in destinations:
        table.fault("destination", f"names no table in destinations: {destination!r}")
    config = destinations.get(destination)
    cadence = table.one_of("cadence", [cadence.value for cadence in Cadence])
    cohort_id = table.require("cohort_id", str, "a")
    properties = [
        _property(table, f"user_properties[{number}]", value)
        for number, value in enumerate(table.get("user_properties", LIST) or [])
    ]
    # What a destination that is wrong or absent would say besides is no news.
    stand_in = Destination(name="?") if config is None else config.destination
    sync = table.build(
        CohortSync,
        destination=stand_in,
        project_id=table.require("project_id", int, 0),
        cohort_id=cohort_id,
        user_properties=[found for found in properties if found is not None],
        routing_key=table.get("routing_key", str),
        cadence=cadence and Cadence(cadence),
        exit_guard=_exit_guard(table),
    )
    members = _members(table, amplitude, folder, cohort_id)
    if sync is None:
        return None
    return SyncConfig(sync=sync, destination=destination, members=members)


def _exit_guard(table: TomlTable) -> ExitGuard | None:
    guard = table.table("exit_guard")
    if guard is None:
        return None
    found = guard.build(ExitGuard, share=guard.get("share", float), number=guard.get("number", int))
    guard.end()
    return found


def _members(
    table: TomlTable,
    amplitude: Mapping[str, AmplitudeConfig],
    folder: str | os.PathLike[str],
    cohort_id: str,
) -> MemberFile | AmplitudeMembersConfig | None:
    """A location, ``{ file = …, columns = … }`` or ``{ amplitude = … }``."""
    value = table.any("members")
    if not is_table(value):
        location = table.get("members", str)
        return None if location is None else MemberFile(resolve(location, folder))
    inner = TomlTable(value, table.at("members"), table.faults)
    location, project = inner.get("file", str), inner.get("amplitude", str)
    if ("file" in inner) == ("amplitude" in inner):
        inner.faults.append(f"{inner.place} must have one of file and amplitude")
    columns = inner.get("columns", TABLE) or {}
    if not all(isinstance(name, str) for name in columns.values()):
        inner.fault("columns", "must give a name for each name")
    found: MemberFile | AmplitudeMembersConfig | None = None
    if location is not None:
        found = MemberFile(resolve(location, folder), columns=columns)
    elif project is not None:
        if project not in amplitude:
            inner.fault("amplitude", f"names no table in amplitude: {project!r}")
        found = AmplitudeMembersConfig(
            amplitude=project,
            cohort_id=inner.get("cohort_id", str) or cohort_id,
            columns=columns,
            max_missing=inner.get("max_missing", int) or 0,
        )
    inner.end()
    return found


def resolve(location: str, folder: str | os.PathLike[str]) -> str:
    """A location, relative paths taken from a folder; URIs stay as they are."""
    return location if "://" in location else str(Path(folder, location))
