"""The files of planned and recorded syncs."""

from collections.abc import Mapping
from typing import Any, Self

from attrs import frozen

from .._display import html_table
from ..format.content import ContentPart, FileContent
from ..format.filename import DiffType
from ..storage.protocol import StagedObject
from ._json import count, digest, expect, staged_object


@frozen(kw_only=True)
class PlannedFile(FileContent):
    """A file that a sync will make visible, or has made visible.

    Attributes:
        key: The object's key.
    """

    key: str

    @classmethod
    def of(cls, key: str, content: FileContent) -> Self:
        """Return the file with a key and a content."""
        return cls(
            key=key,
            rows=content.rows,
            size=content.size,
            sha256=content.sha256,
            parts=content.parts,
        )


def html_of_files(title: str, files: Mapping[DiffType, PlannedFile], notes: tuple[str, ...]) -> str:
    """Return the files of a sync as an HTML table for notebooks."""
    rows = [(str(t), file.rows, file.size, file.key) for t, file in files.items()]
    return html_table(title, ("file", "rows", "bytes", "key"), rows, notes)


@frozen(kw_only=True)
class RecordedFile(PlannedFile):
    """One of the three files of a recorded sync.

    Attributes:
        staged: The handle by which any process can publish the file; None in an adopted
            sync, whose files were already visible.
    """

    staged: StagedObject | None

    @property
    def is_compressed(self) -> bool:
        """True if the stored bytes are gzip."""
        return self.key.endswith(".gz")

    def to_json(self) -> dict[str, Any]:
        """Return the file as a JSON object."""
        parts = {"parts": [[part.size, part.sha256] for part in self.parts]} if self.parts else {}
        return parts | {
            "key": self.key,
            "rows": self.rows,
            "size": self.size,
            "sha256": self.sha256,
            "staged": None if self.staged is None else self.staged.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the inverse of :meth:`to_json`. The errors are those of ``as_record_error``."""
        return cls(
            key=expect(str, value["key"]),
            rows=count(value["rows"]),
            size=count(value["size"]),
            sha256=digest(value["sha256"]),
            parts=tuple(
                ContentPart(count(size), digest(sha256)) for size, sha256 in value.get("parts", ())
            ),
            staged=None if value["staged"] is None else staged_object(value["staged"]),
        )
