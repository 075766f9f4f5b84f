"""Fill pages of the reference from the package itself, so that they are never out of date.

A page has a line of its own for each part that is generated::

    % public-names sources sources.amplitude
    % errors

The first line is replaced by the descriptions of the public names of these folders or modules,
the second by the descriptions of all errors. Classes without a public name are described too if
an annotation of a public name leads to them, so that every type is a link. A public name that no
page describes is a warning, and so fails the build.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import walk_packages
from textwrap import indent
from types import ModuleType
from typing import Any, get_args, get_type_hints

from error_reference import error_lines
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger

import amplitude_cohort_s3

PACKAGE = amplitude_cohort_s3.__name__
PLACEHOLDER = re.compile(r"^% (public-names|errors)\b *(.*)$", re.MULTILINE)


def fill_placeholders(_: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the placeholders of a page."""

    def text(found: re.Match[str]) -> str:
        if found[1] == "errors":
            return "\n".join(error_lines())
        directives = "\n\n".join(directives_for(found[2].split()))
        return f"```{{eval-rst}}\n{directives}\n```"

    if docname.startswith("reference/"):
        source[0] = PLACEHOLDER.sub(text, source[0])


def warn_of_undescribed_names(_: Sphinx, env: BuildEnvironment) -> None:
    """Log a warning for each public name that no page describes."""
    described = env.domains.python_domain.objects
    for name in sorted({name for folder in folders() for name in public_names(folder)}):
        if name not in described and where_defined(value_of(name)) not in described:
            getLogger(__name__).warning("no page of the reference describes %s", name)


def where_defined(value: object) -> str:
    """Return the whole name under which a class is defined; Sphinx knows it by both names."""
    return f"{value.__module__}.{value.__qualname__}" if inspect.isclass(value) else ""


def folders() -> Iterator[str]:
    """Yield the root and every folder of the package, as "" and "sources.amplitude"."""
    yield ""
    for info in walk_packages(amplitude_cohort_s3.__path__, f"{PACKAGE}."):
        if info.ispkg:
            yield info.name.removeprefix(f"{PACKAGE}.")


@cache
def public_names(folder: str) -> list[str]:
    """Return the whole public names of a folder or module; a name of the root only as such.

    They are those in ``__all__``, or, of a module without it, those that it defines.
    """
    module = module_of(folder)
    if hasattr(module, "__all__"):
        names = module.__all__
    else:
        names = [name for name, value in vars(module).items() if defines(module, name, value)]
    in_root = {name for name in names if is_in_root(name, getattr(module, name))}
    return [f"{PACKAGE if name in in_root else module.__name__}.{name}" for name in names]


@cache
def classes_in_annotations() -> set[type]:
    """Return the public classes of the package that annotations of public names lead to."""
    found: set[type] = set()
    waiting = [value_of(name) for folder in folders() for name in public_names(folder)]
    while waiting:
        for cls in annotated_classes(waiting.pop()):
            is_ours = cls.__module__.startswith(PACKAGE) and "._" not in cls.__module__
            if is_ours and cls not in found:
                found.add(cls)
                waiting.append(cls)
    return found


def annotated_classes(value: object) -> Iterator[type]:
    """Yield the classes in the annotations of a function, or of a class's methods and fields."""
    annotated = [value] if inspect.isfunction(value) or inspect.isclass(value) else []
    if inspect.isclass(value):
        members = [member for name, member in vars(value).items() if not name.startswith("_")]
        annotated += [f for member in members if inspect.isfunction(f := function_of(member))]
    for part in annotated:
        for hint in get_type_hints(part).values():
            yield from classes_in(hint)


def function_of(member: Any) -> object:
    """Return the function of a property or a class method, or the member itself."""
    return member.fget if isinstance(member, property) else getattr(member, "__func__", member)


def classes_in(hint: Any) -> Iterator[type]:
    """Yield the classes that an annotation is made of."""
    if isinstance(hint, list):  # the arguments of a callable
        parts = hint
    else:
        parts = get_args(hint)
        if inspect.isclass(hint) and not parts:
            yield hint
    for part in parts:
        yield from classes_in(part)


def defines(module: ModuleType, name: str, value: object) -> bool:
    """Return whether a module defines a public class or function, rather than imports it."""
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


def is_in_root(name: str, value: object) -> bool:
    """Return whether the package itself exports a value under this name."""
    return name in amplitude_cohort_s3.__all__ and getattr(amplitude_cohort_s3, name) is value


def directives_for(wanted: list[str]) -> list[str]:
    """Return the directives for some folders: functions and classes of the root, then the others.

    Within each group they are in the order of the folders, and then in that of the source.
    """

    def place(found: tuple[str, str]) -> tuple[int, int, str, int]:
        folder, name = found
        value = value_of(name)
        is_root = name.rpartition(".")[0] == PACKAGE
        group = 2 if not is_root else 1 if inspect.isclass(value) else 0
        line = inspect.getsourcelines(value)[1] if is_described_by_autodoc(value) else 0
        return group, wanted.index(folder), getattr(value, "__module__", "") or "", line

    names = [(folder, name) for folder in wanted for name in names_to_describe(folder)]
    return [directive(folder, name) for folder, name in sorted(names, key=place)]


def names_to_describe(folder: str) -> list[str]:
    """Return the public names of a folder, and the classes in it that annotations lead to."""
    public = public_names(folder)
    described = {value_of(name) for name in public if inspect.isclass(value_of(name))}
    others = {
        where_defined(cls)
        for cls in classes_in_annotations() - described
        if cls.__module__.rpartition(".")[0] == module_of(folder).__name__
    }
    return [*public, *sorted(others)]


def directive(folder: str, name: str) -> str:
    """Return the directive that describes a public name."""
    value = value_of(name)
    if not is_described_by_autodoc(value):
        return constant(folder, name)
    return f".. auto{'class' if inspect.isclass(value) else 'function'}:: {name}"


def is_described_by_autodoc(value: object) -> bool:
    """Return whether a value has a docstring and a module: aliases and constants have neither."""
    return inspect.isfunction(value) or inspect.isclass(value)


def constant(folder: str, name: str) -> str:
    """Return the description of a constant or a type alias: its source and the text below it."""
    for path in sorted(Path(module_of(folder).__path__[0]).glob("*.py")):
        for statement, below in pairwise(ast.parse(path.read_text(encoding="utf-8")).body):
            match statement, below:
                case (
                    ast.Assign(targets=[ast.Name(id=found)], value=ast.expr() as value)
                    | ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ) if found == name.rpartition(".")[2]:
                    plain = value_of(name)
                    shown = repr(plain) if isinstance(plain, tuple | int) else ast.unparse(value)
                    head = f".. py:data:: {name}\n   :value: {shown}\n\n"
                    return head + indent(inspect.cleandoc(text), "   ")
    message = f"{name} has no docstring below its definition"
    raise LookupError(message)


def value_of(name: str) -> object:
    """Return the value that a whole name refers to."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def module_of(folder: str) -> ModuleType:
    """Return the module of a folder, or the package itself for ""."""
    return import_module(f"{PACKAGE}.{folder}" if folder else PACKAGE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", fill_placeholders)
    app.connect("env-check-consistency", warn_of_undescribed_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
