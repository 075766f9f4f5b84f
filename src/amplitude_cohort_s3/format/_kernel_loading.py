"""Loading the native kernel, if it was built and fits these sources."""

import os
from types import ModuleType
from typing import Literal

SWITCH = "AMPLITUDE_COHORT_S3_KERNEL"
"""The environment variable that disables the kernel if it is ``0``."""

INTERFACE = 1_718_483_679
"""The number of the kernel's interface, which ``module.c`` has too. It is the CRC-32 of the
signatures in ``_kernel.pyi``: a test computes it."""

KernelState = Literal["in use", "disabled", "not built", "outdated"]


def load_kernel() -> tuple[ModuleType | None, KernelState]:
    """Return the kernel, or None and the reason.

    In an editable installation, the kernel stays as it is when the sources change. One with
    another interface must not be called.
    """
    if os.environ.get(SWITCH) == "0":
        return None, "disabled"
    try:
        from . import _kernel as module  # noqa: PLC0415 -- an extension module, perhaps absent
    except ImportError:
        return None, "not built"
    if getattr(module, "INTERFACE", None) != INTERFACE:
        return None, "outdated"
    return module, "in use"
