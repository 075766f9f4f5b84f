"""A sync into S3 over a slow link, compared with a script of boto3 and polars.

    python benchmarks/s3.py [--small] [--only PART] [--runs 3] [--folder DIR] [--table FILE]

There are 2,000,000 members before and now, of whom 5 % change. The server is Ceph's gateway on this
machine, behind a proxy with 25 MB/s for each connection and 20 ms for each request:
``slow_link.py``. Both candidates download the previous members, and compute and upload three
files; the script is ``scripts/boto3_sync.py``. The measurement begins after the imports.
``transfer`` stores and reads one large object without the proxy, with this library and with boto3.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from measuring import KERNEL, Candidate, Comparison, Row, Setting, Watch, main, run
from sample_data import START, cohort, digest_of_rows, drawn_ids, write_members

from amplitude_cohort_s3 import MemberFile, S3Storage, sync_cohort

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "s3"))

FILES = ("entering", "exiting", "existing")
PIECE = 1 << 20


def client_of(server: dict[str, str], url: str) -> Any:
    """Return a client for the URL of a server or of its proxy."""
    session = boto3.Session(server["access_key"], server["secret_key"], region_name="us-east-1")
    return session.client("s3", endpoint_url=url)


# --- The candidates: each runs in a process of its own ---------------------------------------


def sync_with_library(watch: Watch, server: dict[str, str], bucket: str, data: str) -> Any:
    """Sync the next file into a stream of the bucket, which is another one without the kernel."""
    path = "pure" if os.environ.get(KERNEL) == "0" else "kernel"
    fast = S3Storage(bucket, client=client_of(server, server["url"]))
    sync = cohort(path=path)
    turn = _turn(fast.client, bucket, f"{path}/")
    current, slow = (
        _current(data, turn),
        S3Storage(bucket, client=client_of(server, server["link"])),
    )
    with watch:
        result = sync_cohort(
            sync, MemberFile(current), slow, synced_at=START + timedelta(days=turn)
        )
    keys = {diff_type.value: file.key for diff_type, file in result.record.files.items()}
    return _answer(fast.client, bucket, keys, data)


def script_of_boto3(watch: Watch, server: dict[str, str], bucket: str, data: str) -> Any:
    """Write the same files with the script."""
    from scripts import boto3_sync

    fast, slow = client_of(server, server["url"]), client_of(server, server["link"])
    turn = _turn(fast, bucket, "script/")
    current, previous, prefix = _current(data, turn), f"script/{turn - 1}/", f"script/{turn}/"
    with tempfile.TemporaryDirectory(dir=data) as work, watch:
        boto3_sync.sync(slow, bucket, f"{previous}existing.csv", current, prefix, Path(work))
    return _answer(fast, bucket, {name: f"{prefix}{name}.csv" for name in FILES}, data)


def first_syncs(_: Watch, server: dict[str, str], bucket: str, data: str) -> None:
    """Store the previous members for each candidate."""
    client = client_of(server, server["url"])
    for path in ("pure", "kernel"):
        storage = S3Storage(bucket, client=client)
        sync_cohort(cohort(path=path), MemberFile(_current(data, 0)), storage, synced_at=START)
    client.upload_file(str(_current(data, 0)), bucket, "script/0/existing.csv")


def transfer_with_library(watch: Watch, server: dict[str, str], bucket: str, file: str) -> Any:
    """Store an object and read it back with this library."""
    storage = S3Storage(bucket, client=client_of(server, server["url"]))
    key, target = f"transfer/{uuid.uuid4().hex}", Path(f"{file}.read")

    def pieces() -> Iterator[bytes]:
        with Path(file).open("rb") as source:
            while piece := source.read(PIECE):
                yield piece

    with watch:
        storage.publish(storage.stage(key, pieces()))
        with storage.open(key) as stream, target.open("wb") as to:
            shutil.copyfileobj(stream, to, PIECE)
    return _same_bytes(storage.client, bucket, key, file, target)


def transfer_with_boto3(watch: Watch, server: dict[str, str], bucket: str, file: str) -> Any:
    """Store an object and read it back with boto3's transfers."""
    client = client_of(server, server["url"])
    key, target = f"transfer/{uuid.uuid4().hex}", Path(f"{file}.read")
    with watch:
        client.upload_file(file, bucket, key)
        client.download_file(bucket, key, str(target))
    return _same_bytes(client, bucket, key, file, target)


CANDIDATES = (
    *(sync_with_library, script_of_boto3, first_syncs),
    *(transfer_with_library, transfer_with_boto3),
)


def _turn(client: Any, bucket: str, prefix: str) -> int:
    """Return the number of syncs so far: each run of a candidate continues its last one."""
    found = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return sum(item["Key"].endswith("existing.csv") for item in found)


def _current(data: str, turn: int) -> Path:
    # The two files alternate, so that each sync has the same number of changes.
    return Path(data, f"members-{turn % 2}.csv")


def _answer(client: Any, bucket: str, keys: dict[str, str], data: str) -> Any:
    """Read the files without the slow link, and return their digests."""
    with tempfile.TemporaryDirectory(dir=data) as folder:
        for name, key in keys.items():
            client.download_file(bucket, key, str(Path(folder, name)))
        return {name: digest_of_rows([Path(folder, name)]) for name in FILES}


def _same_bytes(client: Any, bucket: str, key: str, file: str, target: Path) -> bool:
    client.delete_object(Bucket=bucket, Key=key)
    is_same = Path(file).read_bytes() == target.read_bytes()
    target.unlink()
    return is_same


# --- The parts -------------------------------------------------------------------------------


@contextmanager
def server_in(folder: Path) -> Iterator[dict[str, str]]:
    """Start the server and the proxy; without Ceph, start an emulator instead of the server."""
    import servers

    with ExitStack() as stack:
        try:
            server = stack.enter_context(servers.radosgw(folder))
        except servers.MissingServerError as missing:
            print(f"{missing}; using moto instead, whose times mean nothing")
            server = stack.enter_context(servers.moto(folder))
        command = [sys.executable, str(Path(__file__).with_name("slow_link.py"))]
        command.append(str(urlsplit(server.url).port))
        link = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(link.terminate)
        assert link.stdout is not None  # noqa: S101
        yield {
            "url": server.url,
            "link": f"http://127.0.0.1:{link.stdout.readline().strip()}",
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "bucket": server.new_bucket(),
        }


def sync(setting: Setting) -> Iterator[Row]:
    """Compare a whole sync over the slow link."""
    rows = 20_000 if setting.small else 2_000_000
    ids = drawn_ids(rows + rows // 20)
    with tempfile.TemporaryDirectory(dir=setting.folder) as data, server_in(Path(data)) as server:
        write_members(_current(data, 0), ids[:rows])
        write_members(_current(data, 1), ids[rows // 20 :])
        options = {"server": server, "bucket": server["bucket"], "data": data}
        run(Candidate("first_syncs", options))
        ours, theirs = (
            Candidate(name, options) for name in ("sync_with_library", "script_of_boto3")
        )
        measure = f"sync of {rows:,} rows into S3"
        compared = Comparison(measure, ours, theirs, runs=setting.runs)
    measure += " over a slow link / boto3 and polars"
    yield Row(f"{measure}, wall", compared.ratios("wall"), (0.6, 1.0))
    yield Row(f"{measure}, CPU", compared.ratios("cpu"))


def transfer(setting: Setting) -> Iterator[Row]:
    """Compare storing and reading one object."""
    megabytes = 5 if setting.small else 500
    with tempfile.TemporaryDirectory(dir=setting.folder) as data, server_in(Path(data)) as server:
        file = Path(data, "object")
        with file.open("wb") as target:
            for _ in range(megabytes):
                target.write(os.urandom(1_000_000))
        options = {"server": server, "bucket": server["bucket"], "file": file}
        ours, theirs = (
            Candidate(name, options) for name in ("transfer_with_library", "transfer_with_boto3")
        )
        measure = f"an object of {megabytes} MB stored in S3 and read"
        compared = Comparison(measure, ours, theirs, runs=setting.runs, variants=["pure Python"])
    yield Row(f"{measure} / boto3, CPU", compared.ratios("cpu"))


if __name__ == "__main__":
    main("S3", __doc__, {"sync": sync, "transfer": transfer}, CANDIDATES)
