"""A cluster of Spark on 127.0.0.1, for what Spark does only between machines."""

import contextlib
import os
import socket
import time
from collections.abc import Generator
from pathlib import Path

from servers import free_port, running
from spark_cohorts import WORKER_PATH


@contextlib.contextmanager
def cluster(folder: Path) -> Generator[str]:
    """Run a master and two workers of one core each, and yield the master's URL.

    Spark sees two hosts, since it compares hosts by their names, and 127.0.0.1 has two.
    """
    import pyspark  # noqa: PLC0415 - collected without Spark too

    home = Path(pyspark.__file__).parent
    environment = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_LOCAL_IP": "127.0.0.1",  # otherwise their web pages are open to the network
        "PYTHONPATH": WORKER_PATH,
    }

    def daemon(name: str, *arguments: str) -> contextlib.AbstractContextManager[None]:
        of = f"org.apache.spark.deploy.{name.lower()}.{name}"
        command = [str(home / "bin" / "spark-class"), of, "--webui-port", "0", *arguments]
        return running(command, folder, f"{name}-{arguments[1]}", env=environment)

    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(daemon("Master", "--host", "127.0.0.1", "--port", str(port)))
        _wait(port)
        for host in ("127.0.0.1", "localhost"):
            more = ("--cores", "1", "--memory", "600m", "--work-dir", str(folder / host), url)
            stack.enter_context(daemon("Worker", "--host", host, *more))
        yield url


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
