"""One cohort synced to one destination."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Literal, cast

from attrs import evolve, field, frozen

from .._arguments import check_kind, kind_faults
from .._display import short_repr
from ..errors import ConfigurationError, InvalidFileNameError, InvalidKeyError
from ..format.filename import DiffType, NameStyle
from ..format.schema import RowSchema
from ..log.stream import CohortStream
from ..storage.keys import check_key
from ._faults import type_faults
from .cadence import Cadence
from .destination import Destination, UserProperty, as_property
from .guard import Guard
from .words import member_of, word_faults


def _as_properties(properties: Iterable[UserProperty | str]) -> tuple[UserProperty, ...]:
    if isinstance(properties, str | UserProperty):  # a single one
        properties = (properties,)
    faults = kind_faults("user_properties", properties, Iterable, 'pass a list: ["plan"]')
    if isinstance(properties, Mapping | AbstractSet):
        # A set has no order, and the values of a mapping would be lost.
        kind = type(cast("object", properties)).__name__
        faults.append(
            f"user_properties must be a list, not {kind}: for example "
            '["plan", UserProperty("age", header="user age")]'
        )
    if faults:
        raise ConfigurationError("CohortSync", tuple(faults))
    return tuple(as_property(one) for one in properties)


def _as_cadence(cadence: Cadence | Literal["one-time", "hourly", "daily"]) -> Cadence:
    return member_of(Cadence, cadence)


@frozen(kw_only=True, repr=False)
class CohortSync:
    """One cohort synced to one destination: Amplitude's "sync".

    Attributes:
        destination: The destination.
        project_id: The number of the Amplitude project, or 0 if there is none.
        cohort_id: The cohort's id: letters, digits and ``-``.
        user_properties: The columns of this sync, after the destination's own; ``"plan"`` is
            short for ``UserProperty("plan")``. A repeated property is one column.
        routing_key: A text at the end of every file's name, or None.
        cadence: The intended cadence: a ``Cadence``, or its word, such as ``"daily"``.
        guard: The limits on what one sync may change; False for no limits.

    Raises:
        ConfigurationError: Values break rules; the error lists all of them.

    >>> sync = CohortSync(
    ...     destination=Destination("warehouse", path="cohorts"),
    ...     project_id=123,
    ...     cohort_id="26umsb5",
    ...     user_properties=["plan"],
    ...     cadence="daily",
    ... )
    >>> sync.schema.columns
    ('amplitude_id', 'user_id', 'plan')
    """

    destination: Destination
    project_id: int
    cohort_id: str
    user_properties: tuple[UserProperty, ...] = field(default=(), converter=_as_properties)
    routing_key: str | None = None
    cadence: Cadence = field(default=Cadence.ONE_TIME, converter=_as_cadence)
    guard: Guard | Literal[False] = Guard()

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        if faults := self._type_faults() or self._value_faults():
            raise ConfigurationError(f"CohortSync of {self.cohort_id!r}", tuple(faults))

    def _type_faults(self) -> list[str]:
        faults = type_faults(
            self,
            destination=Destination,
            project_id=int,
            cohort_id=str,
            routing_key=str | None,
        )
        if self.guard is not False:
            hint = "pass one, such as Guard(max_exits=0.5), or False for no limits"
            faults += kind_faults("guard", self.guard, Guard, hint)
        faults += word_faults("cadence", self.cadence, Cadence)
        for one in self.user_properties:
            faults += kind_faults(
                "each of user_properties", one, UserProperty, 'pass UserProperty("plan")'
            )
        return faults

    def _value_faults(self) -> list[str]:
        faults = list[str]()
        if self.project_id < 0:
            faults.append(f"project_id must be 0 or more, not {self.project_id}")
        # A name reports only the first rule that it breaks, so each part is checked by itself.
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
            faults += error.faults
        if not faults:
            try:
                check_key(self._longest_key)
            except InvalidKeyError as error:
                faults.append(f"path, cohort_id and routing_key form a key: {error.rule}")
        if self.destination.require_suffix and self.routing_key is None:
            name = self.destination.name
            faults.append(f"the destination {name!r} requires a routing key: pass routing_key")
        return faults

    @property
    def stream(self) -> CohortStream:
        """The stream that this sync continues."""
        return CohortStream(
            project_id=self.project_id,
            cohort_id=self.cohort_id,
            path=self.destination.path,
            routing_key=self.routing_key,
        )

    @property
    def _longest_key(self) -> str:
        """The longest key of the stream: that of a data file or of a log file."""
        stream = self.stream
        name = stream.name(datetime.min.replace(tzinfo=UTC), DiffType.ENTERING, self.name_style)
        log_key = stream.log_prefix + "99999999-99999999.end.json"
        return max(name.key(stream.path), log_key, key=lambda key: len(key.encode()))

    @property
    def properties(self) -> tuple[UserProperty, ...]:
        """All properties in the order of the columns, each once."""
        destination = self.destination
        listed = (destination.match_by, destination.user_property, *self.user_properties)
        return tuple(dict.fromkeys(one for one in listed if isinstance(one, UserProperty)))

    @property
    def schema(self) -> RowSchema:
        """The columns of the sync's files."""
        match_by = self.destination.match_by
        return RowSchema(
            properties=tuple(p.column for p in self.properties),
            names=tuple(p.name for p in self.properties),
            key=match_by.column if isinstance(match_by, UserProperty) else match_by,
            header_style=self.destination.header_style,
        )

    @property
    def name_style(self) -> NameStyle:
        """The style of the sync's file names."""
        compressed = self.destination.compression is not None
        return evolve(self.destination.name_style, extension=".csv.gz" if compressed else ".csv")

    def is_due(self, last_synced_at: datetime | None, now: datetime) -> bool:
        """Return True if a sync should run now: see :meth:`Cadence.is_due`."""
        return self.cadence.is_due(last_synced_at, now)


def check_is_sync(value: object) -> CohortSync:
    """Return the argument ``sync`` if it is a ``CohortSync``; otherwise raise ArgumentTypeError."""
    hint = "pass CohortSync(destination=…, project_id=…, cohort_id=…)"
    if hasattr(value, "list_objects") and not isinstance(value, type):
        hint = "swap the arguments: the sync comes before the storage"
    check_kind("sync", value, CohortSync, hint)
    return cast("CohortSync", value)
