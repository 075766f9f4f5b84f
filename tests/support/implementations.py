"""The choice between the two implementations: the native kernel and Python."""

import importlib
import re
from pathlib import Path

from amplitude_cohort_s3.format import kernel as kernel_module

_PACKAGE = Path(kernel_module.__file__).parents[1]
_USERS = [
    ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)
    for path in sorted(_PACKAGE.rglob("*.py"))
    if re.search(r"\bHAS_KERNEL\b", path.read_text(encoding="utf-8"))
]
"""The modules that choose an implementation."""


def use_kernel(monkeypatch, is_used):
    """Let all modules use the kernel, or none."""
    for module in [importlib.import_module(name) for name in _USERS]:
        monkeypatch.setattr(module, "HAS_KERNEL", is_used)
