"""The outcomes of the log's records."""

from typing import Any, Self

from attrs import frozen

from ._json import SCHEMA_VERSION, as_record_error, check_form, count, expect, parse, to_bytes
from .records import SyncRecord


@frozen(kw_only=True)
class Outcome:
    """The end of a record: published, void, or amended.

    It contains no time and no token of the process that creates it, so all processes that
    finish a record write the same bytes. Law: ``Outcome.from_bytes(outcome.to_bytes()) ==
    outcome``.

    Attributes:
        number: The record's number.
        published: True if all three files are visible; otherwise the sync is void.
        head: The head of the log after this record. This is the record itself if it is
            published; after a void sync the head before it, or None; after an amendment the
            amended head.
        amended: True if the record is an amendment that was carried out.
        lost: The keys that the amendment could not replace, because the staged file is gone.
    """

    number: int
    published: bool
    head: SyncRecord | None
    amended: bool = False
    lost: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the stored form: JSON, the same bytes for equal outcomes."""
        value: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "number": self.number,
            "outcome": "published" if self.published else "void",
            "head": None if self.head is None else self.head.to_json(),
        }
        if self.amended:
            value |= {"outcome": "amended", "lost": list(self.lost)}
        return to_bytes(value)

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str) -> Self:
        """Return the inverse of :meth:`to_bytes`.

        Raises:
            RecordFormatError: This library does not write these bytes.
        """
        with as_record_error(key):
            value = parse(data)
            head = value["head"]
            outcome = cls(
                number=count(value["number"]),
                published=value["outcome"] == "published",
                head=None if head is None else SyncRecord.from_json(head),
                amended=value["outcome"] == "amended",
                lost=tuple(expect(str, key) for key in value.get("lost", ())),
            )
            outcome._check_head()
            check_form(outcome.to_bytes(), data)
        return outcome

    def _check_head(self) -> None:
        """Raise unless its head can be the head of the log after the record."""
        number = 0 if self.head is None else self.head.number
        amends_nothing = self.amended and self.head is None
        if amends_nothing or (number != self.number if self.published else number >= self.number):
            msg = "its head is not the newest published record after it"
            raise ValueError(msg)
