"""A signed URL is a secret: no error about a file of members contains it."""

import http.server
import threading
import traceback
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import amplitude_cohort_s3
from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    MemberFile,
    MemoryStorage,
    S3Storage,
    sync_cohort,
)
from amplitude_cohort_s3.errors import CohortS3Error, ConfigurationError

PACKAGE = Path(amplitude_cohort_s3.__file__).parent
SIGNATURE = "5e1f5e1f5e1f"
SIGNED = f"X-Amz-Signature={SIGNATURE}"
SYNC = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="abc")


class Answers(http.server.BaseHTTPRequestHandler):
    """Each path is a status, or selects a wrong body."""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].strip("/")
        if name.isdecimal():
            self.send_error(int(name))
            return
        body = {"columns": b"a,b\n1,2\n", "gzip": b"\x1f\x8b\x08broken"}.get(name, b"id\n1\n")
        self.send_response(200)
        self.send_header("content-length", str(len(body) + 100 * (name == "short")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "path", ["403", "404", "500", "columns", "gzip", "short", "nobody", "scheme", "bare"]
)
def test_no_part_of_an_error_has_the_signature(url: str, path: str, caplog: Any):
    location = {
        "nobody": f"http://127.0.0.1:9/f?{SIGNED}",
        "scheme": f"abc://host/f?{SIGNED}",
        "bare": f"my-bucket.s3.amazonaws.com/f?{SIGNED}",
    }.get(path, f"{url}/{path}?{SIGNED}")
    caplog.set_level("INFO")
    with pytest.raises(CohortS3Error) as raised:
        sync_cohort(SYNC, MemberFile(location, columns={"id": "amplitude_id"}), MemoryStorage())
    for error in chain_of(raised.value):
        assert SIGNATURE not in f"{error} {error!r}"
        for frame in frames_of(error):
            for name, value in frame.f_locals.items():
                assert SIGNATURE not in f"{value} {value!r}", (frame.f_code.co_qualname, name)
    assert SIGNATURE not in "".join(traceback.format_exception(raised.value))
    assert SIGNATURE not in caplog.text


def chain_of(error: BaseException | None) -> Generator[BaseException]:
    """Yield an error, its causes and its contexts, also those that are not displayed."""
    if error is not None:
        yield error
        yield from chain_of(error.__cause__)
        yield from chain_of(error.__context__)


def frames_of(error: BaseException) -> Generator[FrameType]:
    """Yield the frames of the library that an error has passed."""
    found = error.__traceback__
    while found is not None:
        if Path(found.tb_frame.f_code.co_filename).is_relative_to(PACKAGE):
            yield found.tb_frame
        found = found.tb_next


def test_a_signed_url_in_the_wrong_place_is_not_shown():
    signed = f"https://my-bucket.s3.amazonaws.com/members.csv?{SIGNED}"
    for wrong in (
        lambda: S3Storage(signed),
        lambda: S3Storage("my-bucket", endpoint_url=signed),
        lambda: Destination(name="d", bucket=signed),
    ):
        with pytest.raises(ConfigurationError) as raised:
            wrong()
        assert SIGNATURE not in f"{raised.value} {raised.value!r}"
