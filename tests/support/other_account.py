"""Functions that run as another account of this machine, which only root can do."""

import json
import os

import pytest

as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root has accounts")

ACCOUNT = 10001


def as_another_account(*acts):
    """Run functions in one process of another account, and return their exceptions as texts.

    A text is the class and the message, or "nothing" if there was no exception.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:  # Whatever is raised, the child must not go on as a second test run.
            os.setgroups([])
            os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
            os.setresuid(ACCOUNT, ACCOUNT, ACCOUNT)
            texts = [_exception_of(act) for act in acts]
            os.write(write, json.dumps(texts).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:  # noqa: PTH123 -- a descriptor
        texts = json.load(file)
    os.waitpid(child, 0)
    return texts


def _exception_of(act):
    try:
        act()
    except Exception as error:  # noqa: BLE001 -- it is passed on as text
        return f"{type(error).__name__}: {error}"
    return "nothing"
