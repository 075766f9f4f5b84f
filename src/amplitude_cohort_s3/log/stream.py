"""The identity of a stream: the series of syncs of one cohort."""

import hashlib
from datetime import UTC, datetime
from typing import Protocol, cast
from urllib.parse import quote

from attrs import frozen

from .._arguments import check_kind
from .._display import short_repr
from ..errors import ConfigurationError
from ..format.filename import CohortFileName, DiffType, NameStyle

LOG_FOLDER = "_syncs"
"""The folder below a destination's path that contains the logs. Tools that read whole
folders (Spark, Athena, Hive) skip names that begin with ``_``."""


_LONGEST_ENCODED = 128
"""The most characters of an encoded routing key in a folder name. File systems allow 255
bytes per segment, and the cohort's id is in the name too."""


@frozen(kw_only=True, repr=False)
class CohortStream:
    """The identity of a series of syncs, each of which is the difference to the previous one.

    Syncs with another path or another routing key belong to another stream.

    Attributes:
        project_id: The number of the Amplitude project; None if file names do not have it.
        cohort_id: The cohort.
        path: The folder of the files.
        routing_key: The routing key, or None. A file name with an empty one has None.

    Raises:
        ConfigurationError: The path begins or ends with a slash, so no file would be found.
        InvalidFileNameError: Another part can't be in a file name.
        ArgumentTypeError: A part has the wrong type.

    >>> CohortStream(project_id=123, cohort_id="26umsb5", path="cohorts").data_prefix
    'cohorts/123_26umsb5_'
    """

    project_id: int | None
    cohort_id: str
    path: str = ""
    routing_key: str | None = None

    __repr__ = short_repr

    def __attrs_post_init__(self) -> None:
        check_kind("path", self.path, str, 'pass text, such as "cohorts/vip"')
        if self.path.startswith("/") or self.path.endswith("/"):
            fault = f"path {self.path!r} must not begin or end with a slash"
            raise ConfigurationError(f"CohortStream of {self.cohort_id!r}", (fault,))
        self.name(datetime.min.replace(tzinfo=UTC), DiffType.EXISTING, NameStyle())

    def name(self, synced_at: datetime, diff_type: DiffType, style: NameStyle) -> CohortFileName:
        """Return the name of one of the stream's files.

        Raises:
            InvalidFileNameError: The style can't express the time.
        """
        return CohortFileName(
            project_id=self.project_id,
            cohort_id=self.cohort_id,
            synced_at=synced_at,
            diff_type=diff_type,
            routing_key=self.routing_key,
            style=style,
        )

    def owns(self, path: str, name: CohortFileName) -> bool:
        """Return whether a file belongs to this stream."""
        return (path, name.project_id, name.cohort_id, name.routing_key) == (
            self.path,
            self.project_id,
            self.cohort_id,
            self.routing_key,
        )

    @property
    def data_prefix(self) -> str:
        """The key prefix of the stream's files; streams with other routing keys share it."""
        project = "" if self.project_id is None else f"{self.project_id}_"
        return _below(self.path, f"{project}{self.cohort_id}_")

    @property
    def log_prefix(self) -> str:
        """The key prefix of the stream's log, with a slash at its end.

        >>> CohortStream(project_id=1, cohort_id="a", path="p", routing_key="v_x").log_prefix
        'p/_syncs/1_a_v%5Fx/'
        """
        project = "none" if self.project_id is None else self.project_id
        folder = f"{project}_{self.cohort_id}"
        if self.routing_key is not None:
            folder += f"_{_encode_routing_key(self.routing_key)}"
        return _below(self.path, f"{LOG_FOLDER}/{folder}/")


def _below(path: str, rest: str) -> str:
    return f"{path}/{rest}" if path else rest


def _encode_routing_key(routing_key: str) -> str:
    """Return a routing key in a form that any file system allows in a folder name.

    A key that is too long is represented by its digest. The encoding never contains ``~``,
    so the two forms can't be confused.
    """
    encoded = quote(routing_key, safe="").replace("_", "%5F").replace(".", "%2E")
    encoded = encoded.replace("~", "%7E")
    if len(encoded) <= _LONGEST_ENCODED:
        return encoded
    return "~" + hashlib.sha256(routing_key.encode()).hexdigest()


def stream_of(path: str, name: CohortFileName) -> CohortStream:
    """Return the stream of a file in a folder."""
    return CohortStream(
        project_id=name.project_id,
        cohort_id=name.cohort_id,
        path=path,
        routing_key=name.routing_key,
    )


class HasStream(Protocol):
    """Anything that names a stream, such as a ``CohortSync``."""

    @property
    def stream(self) -> CohortStream:
        """The stream."""
        ...


def as_stream(value: object) -> CohortStream:
    """Return the stream itself, or the stream of a sync.

    Raises:
        ArgumentTypeError: The argument has no stream.
    """
    stream = value if isinstance(value, type) else getattr(value, "stream", value)
    hint = "pass a CohortStream or a CohortSync"
    if hasattr(value, "list_objects"):
        hint = "swap the arguments: the storage comes before the stream"
    check_kind("stream", stream, CohortStream, hint)
    return cast("CohortStream", stream)
