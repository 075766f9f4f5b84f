"""An export's bytes, whole, over connections that break.

Where the store can, a download goes on where it broke off; else it begins anew, and what
was handed on already must come again. No error is ever taken for the end.
"""

import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from ...errors import ExportChangedError, MalformedGzipError
from ...format.compression import decompress_chunks, unpack_chunks
from ._http import NoAnswer, Patience, chunks

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

PARTIAL_CONTENT = 206


@frozen(kw_only=True)
class Place:
    """Where a download broke off.

    Attributes:
        offset: How many bytes have arrived.
        etag: Of which version of the file.
    """

    offset: int
    etag: str

    @property
    def headers(self) -> dict[str, str]:
        """Asks for the rest of this version, and for an error if there is another."""
        return {"Range": f"bytes={self.offset}-", "If-Match": self.etag}

    def is_continued_by(self, response: "BaseHTTPResponse") -> bool:
        """Whether an answer is the rest; a server may ignore either header."""
        given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        return (
            response.status == PARTIAL_CONTENT
            and response.headers.get("ETag") == self.etag
            and given is not None
            and int(given[1]) == self.offset
        )


OpenFile = Callable[[Place | None], "BaseHTTPResponse"]
"""Opens an export's file, from a place on if there is one and the server can."""


def read_export(open_file: OpenFile, patience: Patience, cohort_id: str) -> Iterator[bytes]:
    """The bytes of the file, decompressed.

    Args:
        open_file: Opens it, as often as needed.
        patience: How often it may break without progress.
        cohort_id: For messages.

    Raises:
        ExportChangedError: It had to begin anew and was another file.
        AmplitudeUnavailableError, AmplitudeBusyError, ExportTimeoutError: It never came.
    """
    passed = _Passed(cohort_id)
    anew = Patience(patience.step, patience.deadline)
    response = open_file(None)
    while True:
        # Some answers are gzip and do not say so; one that says so must be.
        said = response.headers.get("Content-Encoding") == "gzip"
        unpack = decompress_chunks if said else unpack_chunks
        try:
            # Closed even where an error leaves them in the middle, and the connection with them.
            with closing(_resumed(response, open_file, patience)) as sent:
                for chunk in passed.behind(unpack(sent)):
                    passed.add(chunk)
                    yield chunk
        except _BegunAnewError as begun:
            response = begun.response
            anew.failed("the connection broke and could not be resumed")
        except MalformedGzipError:
            anew.failed("the bytes arrived damaged or cut off")
            response = open_file(None)
        else:
            return


class _BegunAnewError(Exception):
    """A download broke off and the server gives the file from its start."""

    def __init__(self, response: "BaseHTTPResponse") -> None:
        super().__init__()
        self.response = response


def _resumed(
    response: "BaseHTTPResponse", open_file: OpenFile, patience: Patience
) -> Generator[bytes, None, None]:
    offset = 0
    etag = response.headers.get("ETag", "")
    while True:
        try:
            with closing(response):
                for chunk in chunks(response):
                    offset += len(chunk)
                    patience.progressed()
                    yield chunk
        except NoAnswer as lost:
            fault = str(lost)
        else:
            return
        patience.failed(fault)
        # A weak one (W/"...") does not vouch for the bytes.
        place = Place(offset=offset, etag=etag) if offset and etag.startswith('"') else None
        response = open_file(place)
        if place is not None and place.is_continued_by(response):
            continue
        if response.status == PARTIAL_CONTENT:  # of something else
            response.close()
            response = open_file(None)
        raise _BegunAnewError(response)


class _Passed:
    """What was handed on, so that a second download can be held against it."""

    def __init__(self, cohort_id: str) -> None:
        self._cohort_id = cohort_id
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._digest.update(chunk)

    def behind(self, whole: Iterable[bytes]) -> Iterator[bytes]:
        """What comes after it in a download from the start.

        Raises:
            ExportChangedError: The download begins with other bytes.
        """
        missing, expected, seen = self._size, self._digest.digest(), hashlib.sha256()
        for chunk in whole:
            seen.update(chunk[:missing])
            rest = chunk[missing:]
            missing = max(0, missing - len(chunk))
            if rest:
                if seen.digest() != expected:
                    raise ExportChangedError(self._cohort_id)
                expected = seen.digest()
                yield rest
        if missing or seen.digest() != expected:
            raise ExportChangedError(self._cohort_id)


@define
class RowCount:
    r"""Counts the rows of a CSV file as it passes: line ends outside of quotes.

    >>> count = RowCount()
    >>> b"".join(count.through([b'a,b\n1,"x\n', b'y"\n2,']))
    b'a,b\n1,"x\ny"\n2,'
    >>> count.rows
    2
    """

    _lines: int = field(default=0, init=False)
    _quoted: bool = field(default=False, init=False)
    _open_line: bool = field(default=False, init=False)

    @property
    def rows(self) -> int:
        """Without the header."""
        return max(0, self._lines + self._open_line - 1)

    def through(self, source: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks; they are counted as they pass."""
        for chunk in source:
            if chunk:
                self._add(chunk)
            yield chunk

    def _add(self, chunk: bytes) -> None:
        # Only quotes and line ends matter, and of quotes only whether their number is odd.
        marks = chunk.translate(None, _NO_MARKS)
        if self._quoted:
            marks = b'"' + marks
        outside = marks.replace(b'""', b"").split(b'"')[::2]
        self._lines += sum(part.count(b"\n") for part in outside)
        self._quoted = marks.count(b'"') % 2 == 1
        self._open_line = not chunk.endswith(b"\n")


_NO_MARKS = bytes(set(range(256)) - set(b'"\n'))
