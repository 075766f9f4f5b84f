"""Functions that run as another account of this machine, which only root can do."""

import os

import pytest

as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root has accounts")

ACCOUNT = 10001


def as_another_account(act):
    """Run a function in a process of another account, and return its exception as text.

    The text is the class and the message, or "nothing" if there was no exception.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
        os.setresuid(ACCOUNT, ACCOUNT, ACCOUNT)
        text = "nothing"
        try:
            act()
        except Exception as error:  # noqa: BLE001 -- it is passed on as text
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:  # noqa: PTH123 -- a descriptor
        text = file.read().decode()
    os.waitpid(child, 0)
    return text
