"""The identity of a stream: the series of syncs of one cohort."""

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

from attrs import frozen

from .._arguments import check_kind
from ..errors import ConfigurationError
from ..format.filename import CohortFileName, DiffType, NameStyle

LOG_FOLDER = "_syncs"
"""The folder below a destination's path that holds the logs. Tools that read whole
folders (Spark, Athena, Hive) skip names that begin with ``_``."""


_LONGEST_ENCODED = 128
"""How much of a log's folder an encoded routing key may take: file systems have segments of
255 bytes at most, and a cohort's id stands in it too."""


@frozen(kw_only=True)
class CohortStream:
    """The identity of a series of syncs: each is the difference to the one before.

    Another path or another routing key is another stream.

    Attributes:
        project_id: The number of the Amplitude project; None where names lack it.
        cohort_id: The cohort.
        path: The folder prefix of the files.
        routing_key: The routing key, or None. Names with an empty one belong to None.

    Raises:
        ConfigurationError: The path ends in a slash; no file would ever be found there.
        InvalidFileNameError: Another part can't stand in a name.
        ArgumentTypeError: A part is of another type.
    """

    project_id: int | None
    cohort_id: str
    path: str = ""
    routing_key: str | None = None

    def __attrs_post_init__(self) -> None:
        check_kind("path", self.path, str, 'give it as text, such as "cohorts/vip"')
        if self.path.endswith("/"):
            fault = f"path {self.path!r} must not end in a slash"
            raise ConfigurationError(f"CohortStream of {self.cohort_id!r}", (fault,))
        self.name(datetime.min.replace(tzinfo=UTC), DiffType.EXISTING, NameStyle())

    def name(self, synced_at: datetime, diff_type: DiffType, style: NameStyle) -> CohortFileName:
        """The name of one of the stream's files.

        Raises:
            InvalidFileNameError: The style can't spell the time.
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
        """Whether a file belongs to this stream."""
        return (path, name.project_id, name.cohort_id, name.routing_key) == (
            self.path,
            self.project_id,
            self.cohort_id,
            self.routing_key,
        )

    @property
    def data_prefix(self) -> str:
        """With what the keys of the stream's files begin; those of other routing keys too."""
        project = "" if self.project_id is None else f"{self.project_id}_"
        return _below(self.path, f"{project}{self.cohort_id}_")

    @property
    def log_prefix(self) -> str:
        """With what the keys of the stream's log begin, up to a slash.

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
    """A routing key as a part of a folder's name, on any file system.

    One that would be too long for a segment is represented by its digest; ``~`` can't
    come out of the encoding, so the two forms never meet.
    """
    encoded = quote(routing_key, safe="").replace("_", "%5F").replace(".", "%2E")
    encoded = encoded.replace("~", "%7E")
    if len(encoded) <= _LONGEST_ENCODED:
        return encoded
    return "~" + hashlib.sha256(routing_key.encode()).hexdigest()


def check_is_stream(value: object) -> None:
    """That an argument ``stream`` is one.

    Raises:
        ArgumentTypeError: It is a sync, or anything else.
    """
    cure = "give a CohortStream; that of a sync is sync.stream"
    check_kind("stream", value, CohortStream, cure)
