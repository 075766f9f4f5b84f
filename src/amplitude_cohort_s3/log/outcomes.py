"""How a record of the log ended."""

from typing import Any, Self

from attrs import frozen

from ._json import SCHEMA_VERSION, check_form, count, expect, parse, reading, to_bytes
from .records import SyncRecord


@frozen(kw_only=True)
class Outcome:
    """How a record ended: its sync is visible whole, or never happened; or it amended others.

    Its bytes follow from the log alone, so whoever finishes a sync writes the same.
    Law: ``Outcome.from_bytes(outcome.to_bytes()) == outcome``.

    Attributes:
        number: The record's.
        published: Whether all three files are visible; otherwise the sync is void.
        head: The newest published record after this: the record itself, or for a void
            one its predecessor, or None. After an amendment, the head as amended.
        amended: Whether the record is an amendment, which is carried out.
        lost: The keys that the amendment could not replace: what was staged is gone.
    """

    number: int
    published: bool
    head: SyncRecord | None
    amended: bool = False
    lost: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The outcome as it is stored."""
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
        """The inverse of :meth:`to_bytes`.

        Raises:
            RecordFormatError: They are not what this library writes.
        """
        with reading(key):
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
        """That its head can be the newest published record after this one."""
        number = 0 if self.head is None else self.head.number
        amends_nothing = self.amended and self.head is None
        if amends_nothing or (number != self.number if self.published else number >= self.number):
            msg = "its head is not the newest published record after it"
            raise ValueError(msg)
