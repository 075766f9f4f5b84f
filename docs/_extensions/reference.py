"""Fill pages of the reference from the package itself, so that they are never out of date.

A page has a line of its own for each part that is generated::

    % public-names MemberFile sources sources.amplitude
    % errors

The first line is replaced by the descriptions of the public names of these folders or modules.
Single names in it come first. The second line is replaced by the descriptions of all errors.

Classes without a public name are described too if an annotation of a public name leads to them, so
that every type is a link. A public name that no page describes is a warning, and so fails the
build.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
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
def public_classes() -> set[type]:
    """Return all classes that have a public name."""
    values = [value_of(name) for folder in folders() for name in public_names(folder)]
    return {value for value in values if inspect.isclass(value)}


@cache
def classes_in_annotations() -> set[type]:
    """Return the public classes of the package that annotations of public names lead to."""
    found: set[type] = set()
    waiting = [value_of(name) for folder in folders() for name in public_names(folder)]
    while waiting:
        for cls in annotated_classes(waiting.pop()):
            if is_ours(cls) and "._" not in cls.__module__ and cls not in found:
                found.add(cls)
                waiting.append(cls)
    return found


def is_ours(value: type) -> bool:
    """Return whether a class is defined in the package."""
    return value.__module__.startswith(PACKAGE)


def annotated_classes(value: object) -> Iterator[type]:
    """Yield the classes in the annotations of a function, or of a class's methods and fields."""
    annotated = [value] if inspect.isfunction(value) or inspect.isclass(value) else []
    if inspect.isclass(value):
        spaces = [vars(cls) for cls in value.__mro__ if is_ours(cls)]
        members = [m for space in spaces for name, m in space.items() if not name.startswith("_")]
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
    """Return the directives for some folders, and before them for the names that a page puts first.

    The others follow in this order: functions and classes of the root, those of the folder, and
    classes without a public name; within each group as in the source.
    """
    names = {
        name: folder for folder in wanted if is_folder(folder) for name in names_to_describe(folder)
    }
    first = [item for item in wanted if not is_folder(item)]
    short_names = {name.rpartition(".")[2] for name in names}
    if unknown := set(first) - short_names:
        message = f"{', '.join(sorted(unknown))} is neither a folder nor a name of these folders"
        raise LookupError(message)

    def place(name: str) -> tuple[int, int, int, str, int]:
        module, _, last = name.rpartition(".")
        value = value_of(name)
        group = 1 if inspect.isclass(value) else 0
        if module != PACKAGE:
            group = 2 if name in public_names(names[name]) else 3
        line = inspect.getsourcelines(value)[1] if is_described_by_autodoc(value) else 0
        position = first.index(last) if last in first else len(first)
        folder = wanted.index(names[name])
        return position, group, folder, getattr(value, "__module__", None) or "", line

    return [directive(names[name], name) for name in sorted(names, key=place)]


def is_folder(item: str) -> bool:
    """Return whether a word of a placeholder is a folder or module rather than a name."""
    return find_spec(f"{PACKAGE}.{item}") is not None


def names_to_describe(folder: str) -> list[str]:
    """Return the public names of a folder, and the classes in it that annotations lead to."""
    others = {
        where_defined(cls)
        for cls in classes_in_annotations() - public_classes()
        if cls.__module__.rpartition(".")[0] == module_of(folder).__name__
    }
    return [*public_names(folder), *sorted(others)]


def directive(folder: str, name: str) -> str:
    """Return the directive that describes a public name."""
    value = value_of(name)
    if not is_described_by_autodoc(value):
        return constant(folder, name)
    if not inspect.isclass(value):
        return f".. autofunction:: {name}"
    # A base class without a public name has no description of its own: the class shows its members.
    bases = value.__mro__[1:]
    others = [b.__name__ for b in bases if not is_ours(b) or b in public_classes()]
    inherits = len(others) < len(bases)
    options = f"\n   :inherited-members: {', '.join(others)}" if inherits else ""
    return f".. autoclass:: {name}{options}"


def is_described_by_autodoc(value: object) -> bool:
    """Return whether a value has a docstring and a module: aliases and constants have neither."""
    return inspect.isfunction(value) or inspect.isclass(value)


def constant(folder: str, name: str) -> str:
    """Return the description of a constant or a type alias: its source and the text below it."""
    # An editable installation with the kernel has a second folder, with the kernel alone.
    folders = map(Path, module_of(folder).__path__)
    for path in sorted(path for found in folders for path in found.glob("*.py")):
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
