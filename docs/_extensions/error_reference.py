"""The description of every error, for the page of the errors."""

import inspect
import re
from collections.abc import Iterator

from amplitude_cohort_s3 import errors


def error_lines() -> Iterator[str]:
    """Yield the lines that document the tree, and then every error under its heading."""
    source = inspect.getsource(errors)
    heading = re.compile(r"# --- (.+?) -+$|^class (\w+)", re.MULTILINE)
    yield "```{eval-rst}"
    yield f".. automodule:: {errors.__name__}"
    yield "   :no-members:"
    yield "```"
    yield "\n## The root\n"
    for found in heading.finditer(source):
        if found[1]:
            yield f"\n## {found[1]}\n"
        else:
            yield "```{eval-rst}"
            yield f".. autoexception:: {errors.__name__}.{found[2]}"
            yield "   :show-inheritance:"
            yield "```"
