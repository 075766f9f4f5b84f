"""The native kernel: the inner loops of the library in C, if it was built.

The package works without it, only slower: an installation from source without a compiler
has no kernel. The environment variable ``AMPLITUDE_COHORT_S3_KERNEL=0`` disables it, for
example to find out whether a fault is in the kernel.
"""

import os
from typing import Literal

SWITCH = "AMPLITUDE_COHORT_S3_KERNEL"
"""The environment variable that disables the kernel if it is ``0``."""

KernelState = Literal["in use", "disabled", "not built"]


def kernel_state() -> KernelState:
    """Return whether the native kernel is in use, and if not, the reason.

    The environment variable counts when the package is imported.

    Returns:
        ``"in use"``; ``"disabled"`` by the environment variable
        ``AMPLITUDE_COHORT_S3_KERNEL=0``; or ``"not built"``, if the package was installed
        from source without a C compiler, or as a wheel without the kernel.

    >>> kernel_state() in ("in use", "disabled", "not built")
    True
    """
    return _STATE


def _load() -> KernelState:
    if os.environ.get(SWITCH) == "0":
        return "disabled"
    try:
        from . import _kernel  # noqa: F401, PLC0415 -- an extension module, which may be absent
    except ImportError:
        return "not built"
    return "in use"


_STATE = _load()
