"""The exports of :class:`FakeAmplitude`: their bytes, and the store of the pre-signed URLs."""

import csv
import io
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from email.message import Message
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from attrs import define, field

from ..format.member import MemberLike
from ..format.schema import RowSchema
from ._fake_server import Answer

Packing = Literal["gzip", "unsaid gzip", "none"]


def export_csv(members: Iterable[MemberLike], properties: Sequence[str]) -> Iterator[bytes]:
    """Yield the bytes of an export in the form of the API: all cells in quotes, and LF line ends.

    Args:
        members: The members, as :meth:`FakeAmplitude.set_cohort` accepts them.
        properties: The user properties to export.
    """
    schema = RowSchema(properties=tuple(properties), header_style="api")
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(schema.header)
    for member in members:
        if isinstance(member, list | tuple):
            writer.writerow([*member, *("" for _ in properties)])
        else:
            writer.writerow(schema.row(member, fill=True))
        if text.tell() > 1 << 20:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


@define
class Export:
    """A requested export."""

    cohort_id: str
    body: bytes
    asked_at: datetime
    polls_left: int
    etag: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.replace(self.body)

    def replace(self, body: bytes) -> None:
        """Store other bytes, and change the ETag."""
        self.body, self.etag = body, f'"{secrets.token_hex(8)}"'


def file_headers(packing: Packing) -> tuple[tuple[str, str], ...]:
    """Return the headers of an export's file."""
    encoding = (("Content-Encoding", "gzip"),) if packing == "gzip" else ()
    return (("Content-Type", "text/csv"), *encoding)


@define
class FakeStore:
    """The store of the exports. They are served at signed URLs, which expire."""

    _urls: dict[str, tuple[str, Export, datetime]] = field(
        factory=dict[str, tuple[str, Export, datetime]]
    )

    def sign(self, host: str, export_id: str, export: Export, now: datetime, seconds: int) -> str:
        """Return a URL of the export that is valid for some seconds."""
        signature = secrets.token_hex(32)
        path = f"/store/{export_id}.csv"
        self._urls[signature] = (path, export, now + timedelta(seconds=seconds))
        return (
            f"http://{host}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            f"&X-Amz-Expires={seconds}&X-Amz-Signature={signature}"
        )

    def answer(
        self, target: str, headers: Message, *, now: datetime, packing: Packing, ranges: bool
    ) -> Answer:
        """Return the answer to a request for a signed URL, or for the rest of its object."""
        if "Authorization" in headers:
            return Answer(400, b"<Error><Code>InvalidArgument</Code></Error>")
        parts = urlsplit(target)
        signed = self._urls.get(parse_qs(parts.query).get("X-Amz-Signature", [""])[0])
        if signed is None or signed[0] != parts.path or now > signed[2]:
            return Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        export, described = signed[1], file_headers(packing)
        if not ranges:
            return Answer(200, export.body, described)
        described = (*described, ("ETag", export.etag), ("Accept-Ranges", "bytes"))
        if headers.get("If-Match", export.etag) != export.etag:
            return Answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if wanted is None:
            return Answer(200, export.body, described)
        begin, size = int(wanted[1]), len(export.body)
        if begin >= size:
            return Answer(416, b"<Error><Code>InvalidRange</Code></Error>")
        part = ("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        return Answer(206, export.body[begin:], (*described, part))
