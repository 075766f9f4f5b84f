"""The description of every error, for the page of the errors."""

import inspect
import re
from collections.abc import Iterator

from amplitude_cohort_s3 import errors

HEADING = re.compile(r"# --- (.+?) -+$|^class (\w+)", re.MULTILINE)
CODE = re.compile(
    r"pip install \S+|aws sso login|[\w.]+\([^()]*\)|\w+=[^\s,;.]*|[\w.:-]*\w_\w[\w.:-]*|s3:\w+"
    r"|(?<!\w)'\w+'"
)


def error_lines() -> Iterator[str]:
    """Yield the lines that document every error, under the headings of the source."""
    yield f"```{{eval-rst}}\n.. py:module:: {errors.__name__}\n```"
    heading, classes = "The root", list[type]()
    for found in HEADING.finditer(inspect.getsource(errors)):
        if found[1]:
            yield from _family_lines(heading, classes)
            heading, classes = found[1], []
        else:
            classes.append(getattr(errors, found[2]))
    yield from _family_lines(heading, classes)


def _family_lines(heading: str, classes: list[type]) -> Iterator[str]:
    """Yield the heading of some errors, what they have in common, a table, and the details."""
    yield f"\n## {heading}\n"
    raised = [cls for cls in classes if _example(cls)]
    yield from (line for cls in classes if cls not in raised for line in _details(cls))
    if raised:
        yield "{.stacked}"
        yield "| error | cause | what to do, in the example |"
        yield "| --- | --- | --- |"
        for cls in raised:
            builtin = cls.__bases__[-1]
            again = " \\*" if issubclass(cls, errors.RetryableError) else ""
            name = f"{{exc}}`~{errors.__name__}.{cls.__name__}`"
            yield f"| {name} <br>`{builtin.__name__}`{again} | {_cause(cls)} | {_action(cls)} |"
        yield ""
    yield from (line for cls in raised for line in _details(cls))


def _details(cls: type) -> Iterator[str]:
    yield "```{eval-rst}"
    yield f".. autoexception:: {errors.__name__}.{cls.__name__}"
    yield "   :show-inheritance:"
    yield "```"


def _example(cls: type) -> str:
    """Return the message that the docstring shows; "" for a family, which is never raised."""
    found = re.search(r"Example: ``(.+?)``", inspect.getdoc(cls) or "", re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _cause(cls: type) -> str:
    """Return the first paragraph of the docstring."""
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())


def _action(cls: type) -> str:
    """Return the end of the message, which names an action, with its code in backticks."""
    sentences = re.split(r"\. (?=[A-Z])", _example(cls))
    action = sentences[-1] if len(sentences) > 1 else sentences[0].partition(": ")[2]
    return CODE.sub(r"`\g<0>`", action[0].upper() + action[1:])
