"""Storing and reading back one large object: this library against boto3's transfers.

    python benchmarks/s3_transfer.py --endpoint-url http://127.0.0.1:9000 --bucket scratch

Both do the same to the same server, each run in a process of its own, so that
CPU time and peak memory are those of the client alone. Credentials come from
the environment. The runs alternate, and the median of each is shown.
"""

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PIECE = 1 << 20


def main() -> None:
    """Run both and print CPU, wall time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-url", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", choices=["ours", "boto3"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        _run(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "existing.csv")
        with path.open("wb") as file:
            for _ in range(options.megabytes):
                file.write(os.urandom(1_000_000))
        results: dict[str, list[list[float]]] = {"boto3": [], "ours": []}
        for _ in range(options.rounds):
            for name, measured in results.items():
                command = [sys.executable, __file__, "--run", name, "--file", str(path)]
                command += ["--endpoint-url", options.endpoint_url, "--bucket", options.bucket]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                measured.append([float(number) for number in done.stdout.split()])
    medians = {
        name: [statistics.median(column) for column in zip(*measured, strict=True)]
        for name, measured in results.items()
    }
    print(f"{'':8}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}{'store CPU':>11}{'read CPU':>10}")
    for name, (cpu, wall, peak, store, read) in medians.items():
        print(f"{name:8}{cpu:8.2f}{wall:8.2f}{peak:9.0f}{store:11.2f}{read:10.2f}")
    print(f"CPU ratio {medians['ours'][0] / medians['boto3'][0]:.2f}")


def _run(options: argparse.Namespace) -> None:
    import boto3

    from amplitude_cohort_s3.storage.s3.storage import S3Storage

    session: Any = boto3.Session()
    client = session.client("s3", endpoint_url=options.endpoint_url)
    key = f"benchmark/{uuid.uuid4().hex}"
    target = options.file.with_suffix(".read")
    began, cpu_began = time.monotonic(), time.process_time()
    if options.run == "ours":
        storage = S3Storage(options.bucket, client=client)
        staged = storage.stage(key, _pieces(options.file))
        storage.publish(staged)
        stored = time.process_time()
        with storage.open(key) as stream, target.open("wb") as file:
            while piece := stream.read(PIECE):
                file.write(piece)
    else:
        with options.file.open("rb") as file:
            client.upload_fileobj(file, options.bucket, key)
        stored = time.process_time()
        with target.open("wb") as file:
            client.download_fileobj(options.bucket, key, file)
    ended = time.process_time()
    wall = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    client.delete_object(Bucket=options.bucket, Key=key)
    with options.file.open("rb") as one, target.open("rb") as other:
        digests = {hashlib.file_digest(file, "sha256").digest() for file in (one, other)}
    if len(digests) != 1:
        raise SystemExit("what was read is not what was stored")
    target.unlink()
    print(ended - cpu_began, wall, peak, stored - cpu_began, ended - stored)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


if __name__ == "__main__":
    main()
