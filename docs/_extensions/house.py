"""Fills pages from the package itself, so that they can't lag behind it.

A page says what it wants in a line of its own::

    % public-names destination filename
    % errors

The first becomes the descriptions of the public names that are defined in these modules,
in this order, the second every error with an example of its message. A module with public
names that no page names is a warning, and so an error.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
from error_reference import error_lines
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

import amplitude_cohort_s3

PACKAGE = amplitude_cohort_s3.__name__
PLACEHOLDER = re.compile(r"^% (public-names|errors)\b *(.*)$", re.MULTILINE)


def expand(_: Sphinx, docname: str, source: list[str]) -> None:
    """Replaces the placeholders of a page."""

    def text(found: re.Match[str]) -> str:
        if found[1] == "errors":
            return "\n".join(error_lines())
        return describe(found[2].split())

    if docname.startswith("reference/"):
        source[0] = PLACEHOLDER.sub(text, source[0])


def warn_of_missing_rooms(app: Sphinx) -> None:
    """Says which public names stand on no page."""
    described = {
        room
        for page in (Path(app.srcdir) / "reference").glob("*.md")
        for found in PLACEHOLDER.finditer(page.read_text(encoding="utf-8"))
        for room in found[2].split()
    }
    for name, of in rooms().items():
        if of not in described:
            getLogger(__name__).warning("no page of the reference describes %s", name)


@cache
def rooms() -> dict[str, str]:
    """The rooms of all public names, and of the classes that can be reached from them."""
    root = {name: getattr(amplitude_cohort_s3, name) for name in amplitude_cohort_s3.__all__}
    del root["CohortS3Error"]  # it stands among the errors
    found = {f"{PACKAGE}.{name}": room(value) for name, value in root.items()}
    seen = {value for value in root.values() if inspect.isclass(value)}
    waiting = [value for value in root.values() if callable(value)]
    while waiting:
        for cls in classes_of(waiting.pop()):
            module = cls.__module__
            if cls not in seen and module.startswith(PACKAGE) and "._" not in module:
                seen.add(cls)
                waiting.append(cls)
                found[f"{module}.{cls.__name__}"] = room(cls)
    return found


def room(value: Any) -> str:
    """The room in which something is defined; a constant does not know it, ours are of one."""
    return getattr(value, "__module__", f"{PACKAGE}.policy").split(".")[1]


def classes_of(value: Any) -> Iterator[type]:
    """The classes that stand in the annotations of a function or of a class."""
    functions = [value]
    if inspect.isclass(value):
        public = [member for name, member in vars(value).items() if not name.startswith("_")]
        functions = [f for m in public if inspect.isfunction(f := unwrapped(m))]
        functions += [value.__init__] if attrs.has(value) else []
    for function in functions:
        for hint in get_type_hints(function).values():
            yield from classes_in(hint)


def unwrapped(member: Any) -> Any:
    """The function of a property or a class method."""
    return member.fget if isinstance(member, property) else getattr(member, "__func__", member)


def classes_in(hint: Any) -> Iterator[type]:
    """The classes that an annotation is made of."""
    if inspect.isclass(hint) and not get_args(hint):
        yield hint
    for part in get_args(hint):
        if isinstance(part, list):  # the arguments of a callable
            for one in part:
                yield from classes_in(one)
        else:
            yield from classes_in(part)


def describe(wanted: list[str]) -> str:
    """Directives for what is public in some rooms: functions, the root's classes, the others."""

    def place(name: str) -> tuple[int, int, str, int]:
        group, *within = rank(name)
        return group, wanted.index(rooms()[name]), *within

    names = sorted((name for name, of in rooms().items() if of in wanted), key=place)
    return "```{eval-rst}\n" + "\n\n".join(map(directive, names)) + "\n```"


def rank(name: str) -> tuple[int, str, int]:
    """The place of a name within its room: functions of the root first; then as in its module."""
    value = value_of(name)
    in_root = name.removeprefix(f"{PACKAGE}.").count(".") == 0
    line = inspect.getsourcelines(value)[1] if callable(value) else 0
    group = (0 if kind(name) == "function" else 1) if in_root else 2
    return group, getattr(value, "__module__", ""), line


def directive(name: str) -> str:
    """The directive that describes a public name, with what a class has from our own bases."""
    bases = getattr(value_of(name), "__mro__", ())[1:]
    inherits = any(b.__module__.startswith(PACKAGE) and not issubclass(b, Exception) for b in bases)
    options = "\n   :inherited-members: Sequence, ABC, Protocol" if inherits else ""
    return f".. auto{kind(name)}:: {name}{options}"


def kind(name: str) -> str:
    """What autodoc calls it."""
    value = value_of(name)
    if inspect.isfunction(value):
        return "function"
    return "class" if inspect.isclass(value) else "data"


def value_of(name: str) -> Any:
    """What a whole name stands for."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def setup(app: Sphinx) -> dict[str, bool]:
    """For Sphinx."""
    app.connect("builder-inited", warn_of_missing_rooms)
    app.connect("source-read", expand)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
