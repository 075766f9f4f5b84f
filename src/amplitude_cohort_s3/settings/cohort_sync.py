"""One cohort synced to one destination."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast

from attrs import evolve, field, frozen

from .._arguments import check_kind, kind_faults
from ..errors import (
    ConfigurationError,
    InvalidFileNameError,
    InvalidKeyError,
    MissingRoutingKeyError,
)
from ..format.filename import DiffType, NameStyle
from ..format.schema import RowSchema
from ..log.stream import CohortStream
from ..storage.keys import check_key
from .cadence import Cadence
from .destination import _PROPERTY_CURE, Destination, UserProperty
from .exit_guard import ExitGuard


def _as_tuple(properties: Iterable[UserProperty]) -> tuple[UserProperty, ...]:
    faults = kind_faults("user_properties", properties, Iterable)
    if isinstance(properties, str):
        faults.append(f"user_properties must be several, [UserProperty({properties!r})] for one")
    if faults:
        raise ConfigurationError("CohortSync", tuple(faults))
    return tuple(properties)


@frozen(kw_only=True)
class CohortSync:
    """One cohort synced to one destination: Amplitude's "sync".

    Attributes:
        destination: Where to.
        project_id: The number of the Amplitude project, 0 where there is none.
        cohort_id: The cohort; letters, digits and ``-``.
        user_properties: Columns of this sync, behind the destination's own. A property
            that is named twice stands once.
        routing_key: A text at the end of every file's name, or None.
        cadence: How often it is meant to run.
        exit_guard: When to refuse that members leave.

    Raises:
        MissingRoutingKeyError: The destination requires a routing key.
        ConfigurationError: Other values break rules; all of them are named.
    """

    destination: Destination
    project_id: int
    cohort_id: str
    user_properties: tuple[UserProperty, ...] = field(default=(), converter=_as_tuple)
    routing_key: str | None = None
    cadence: Cadence = Cadence.ONE_TIME
    exit_guard: ExitGuard = ExitGuard()

    def __attrs_post_init__(self) -> None:
        faults = [
            *kind_faults("destination", self.destination, Destination),
            *kind_faults("project_id", self.project_id, int),
            *kind_faults("cohort_id", self.cohort_id, str),
            *kind_faults("routing_key", self.routing_key, str | None),
            *kind_faults("cadence", self.cadence, Cadence, "give one, such as Cadence.DAILY"),
            *kind_faults(
                "exit_guard", self.exit_guard, ExitGuard, "give one, such as ExitGuard(share=0.5)"
            ),
        ]
        for one in self.user_properties:
            faults += kind_faults("each of user_properties", one, UserProperty, _PROPERTY_CURE)
        if faults:
            raise ConfigurationError(f"CohortSync of {self.cohort_id!r}", tuple(faults))
        if self.project_id < 0:
            faults.append(f"project_id must be 0 or more, and is {self.project_id}")
        # Each part by itself, since a name reports the first rule that it breaks.
        for part, cohort_id, routing_key in (
            ("cohort_id", self.cohort_id, None),
            ("routing_key", "a", self.routing_key),
        ):
            try:
                CohortStream(project_id=0, cohort_id=cohort_id, routing_key=routing_key)
            except InvalidFileNameError as error:
                faults.append(f"{part} {getattr(self, part)!r}: {error.rule}")
        try:
            _ = self.schema
        except ConfigurationError as error:
            faults.extend(error.faults)
        if not faults:
            try:
                check_key(self._longest_key)
            except InvalidKeyError as error:
                faults.append(f"path, cohort_id and routing_key form a key: {error.rule}")
        subject = f"CohortSync of {self.cohort_id!r}"
        if self.destination.require_suffix and self.routing_key is None:
            faults.append(
                f"the destination {self.destination.name!r} requires a routing key, none is given"
            )
            raise MissingRoutingKeyError(subject, tuple(faults))
        if faults:
            raise ConfigurationError(subject, tuple(faults))

    @property
    def stream(self) -> CohortStream:
        """The series of syncs that this one continues."""
        return CohortStream(
            project_id=self.project_id,
            cohort_id=self.cohort_id,
            path=self.destination.path,
            routing_key=self.routing_key,
        )

    @property
    def _longest_key(self) -> str:
        stream = self.stream
        name = stream.name(datetime.min.replace(tzinfo=UTC), DiffType.ENTERING, self.name_style)
        log_key = stream.log_prefix + "99999999-99999999.end.json"
        return max(name.key(stream.path), log_key, key=lambda key: len(key.encode()))

    @property
    def properties(self) -> tuple[UserProperty, ...]:
        """All properties in the order of their columns, each once."""
        match_by, bucket_level = self.destination.match_by, self.destination.user_property
        listed = (
            *((match_by,) if isinstance(match_by, UserProperty) else ()),
            *((bucket_level,) if bucket_level is not None else ()),
            *self.user_properties,
        )
        return tuple(dict.fromkeys(listed))

    @property
    def schema(self) -> RowSchema:
        """The columns of the sync's files."""
        match_by = self.destination.match_by
        return RowSchema(
            properties=tuple(p.column for p in self.properties),
            key=match_by.column if isinstance(match_by, UserProperty) else match_by,
            header_style=self.destination.header_style,
        )

    @property
    def name_style(self) -> NameStyle:
        """How the sync's files are named."""
        compressed = self.destination.compression is not None
        return evolve(self.destination.name_style, extension=".csv.gz" if compressed else ".csv")

    def is_due(self, last_synced_at: datetime | None, now: datetime) -> bool:
        """Whether a sync should run now: see :meth:`Cadence.is_due`."""
        return self.cadence.is_due(last_synced_at, now)


def check_is_sync(value: object) -> CohortSync:
    """Return the argument ``sync``, if it is one.

    Raises:
        WrongArgumentError: It is a destination, a stream, or anything else.
    """
    cure = "give CohortSync(destination=…, project_id=…, cohort_id=…)"
    check_kind("sync", value, CohortSync, cure)
    return cast("CohortSync", value)
