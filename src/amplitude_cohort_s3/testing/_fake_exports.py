"""The cohorts and exports of :class:`FakeAmplitude`, and the store of the pre-signed URLs."""

import csv
import gzip
import io
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from email.message import Message
from typing import Any, Literal
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


@define(kw_only=True)
class FakeCohort:
    """A cohort of the fake.

    Attributes:
        id: The id.
        members: The members, in an iterable that can be read more than once.
        name: The name of the cohort in Amplitude.
        size: The size in the list of cohorts, or None if it was never computed.
        last_computed: The time of the last computation in seconds since 1970, or None.
        last_modified: The time of the last change of its definition in seconds since 1970.
        description: The description of the cohort in Amplitude.
        archived: True if it was archived. It is still listed.
        published: False if it can't be discovered. Then it is not listed.
    """

    id: str
    members: Iterable[MemberLike] = field(repr=False)
    name: str
    size: int | None
    last_computed: int | None
    last_modified: int
    description: str = ""
    archived: bool = False
    published: bool = True
    _files: dict[tuple[tuple[str, ...], str], bytes] = field(
        factory=dict[tuple[tuple[str, ...], str], bytes], init=False, repr=False
    )

    def packed(self, properties: tuple[str, ...], packing: str) -> bytes:
        """Return the file of an export, which is built once."""
        if (properties, packing) not in self._files:
            body = b"".join(export_csv(self.members, properties))
            packed = body if packing == "none" else gzip.compress(body, 1, mtime=0)
            self._files[properties, packing] = packed
        return self._files[properties, packing]

    def listed(self, project_id: int) -> dict[str, Any]:
        """Return the cohort's entry in the list of cohorts."""
        return {
            "appId": project_id,
            "archived": self.archived,
            "definition": {},
            "description": self.description,
            "finished": True,
            "hidden": False,
            "id": self.id,
            "name": self.name,
            "owners": ["owner@example.com"],
            "published": self.published,
            "size": self.size,
            "type": "redshift",
            "lastMod": self.last_modified,
            "createdAt": self.last_modified,
            "lastComputed": self.last_computed,
        }


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
