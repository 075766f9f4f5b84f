"""The public names of the package and of its folders, and that each is described and typed.

`python tests/test_public_api.py` writes the snapshot of the public names, public_api.txt.
"""

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import amplitude_cohort_s3

SNAPSHOT = Path(__file__).with_name("public_api.txt")
MAX_ROOT_NAMES = 50

ROOT = amplitude_cohort_s3.__name__
FOLDERS = [
    ROOT,
    *(
        info.name
        for info in pkgutil.walk_packages(amplitude_cohort_s3.__path__, f"{ROOT}.")
        if info.ispkg
    ),
]


def exports(folder: str) -> dict[str, object]:
    """Return the public values of a folder by their names."""
    module = importlib.import_module(folder)
    return {name: getattr(module, name) for name in getattr(module, "__all__", ())}


EXPORTED = {id(value) for folder in FOLDERS for value in exports(folder).values()}


def definitions(cls: type) -> list[type]:
    """Return a class and its bases in this package that no folder exports."""
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith(ROOT)]
    return [cls, *(base for base in bases if id(base) not in EXPORTED)]


def public_members(cls: type) -> Iterator[tuple[str, types.FunctionType]]:
    """Yield the public methods and properties of a class."""
    for definition in definitions(cls):
        for name, member in vars(definition).items():
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if inspect.isfunction(function) and not name.startswith("_"):
                yield name, function


# Each class and function once, however many folders export it.
PUBLIC = {
    f"{value.__module__.removeprefix(f'{ROOT}.')}.{value.__qualname__}": value
    for folder in FOLDERS
    for value in exports(folder).values()
    if inspect.isclass(value) or inspect.isfunction(value)
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
METHODS = {
    f"{name}.{inner}": member
    for name, value in PUBLIC.items()
    if inspect.isclass(value)
    for inner, member in public_members(value)
}
PROTOCOLS = [cls for cls in PUBLIC.values() if getattr(cls, "_is_protocol", False)]


# --- The snapshot ------------------------------------------------------------------------


def snapshot() -> str:
    """List the public names of each folder; describe each value at its first folder."""
    lines, described = list[str](), set[int]()
    for folder in [*FOLDERS[1:], ROOT]:
        lines += ["", f"[{folder}]"]
        for name, value in exports(folder).items():
            lines += [name] if id(value) in described else describe(name, value)
            described.add(id(value))
    return "\n".join(lines[1:]) + "\n"


def describe(name: str, value: object) -> list[str]:
    """Describe a class or function by its source, without bodies and private members."""
    if inspect.isfunction(value):
        node = syntax(value)
        assert isinstance(node, ast.FunctionDef)
        return [signature(node)]
    if not inspect.isclass(value):
        return [name]
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    found = [line for definition in definitions(value) for line in members(syntax(definition))]
    return [f"class {name}({bases})", *(f"    {line}" for line in found)]


def syntax(value: type | types.FunctionType) -> ast.stmt:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    return node


def members(node: ast.stmt) -> Iterator[str]:
    assert isinstance(node, ast.ClassDef)
    for member in node.body:
        match member:
            case ast.FunctionDef(name=name) if name == "__init__" or name[0] != "_":
                kinds = [f"@{ast.unparse(kind)} " for kind in member.decorator_list]
                yield "".join(kinds) + signature(member)
            case ast.AnnAssign(target=ast.Name(id=name)) if name[0] != "_":
                yield ast.unparse(member)
            case ast.Assign(targets=[ast.Name(id=name)]) if name[0] != "_":
                yield ast.unparse(member)


def signature(node: ast.FunctionDef) -> str:
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{node.name}({ast.unparse(node.args)}){returns}"


def test_the_public_names_are_those_of_the_snapshot():
    assert snapshot() == SNAPSHOT.read_text(encoding="utf-8"), (
        "the public API has changed; if that is intended, run python tests/test_public_api.py"
    )


def test_the_package_itself_exports_at_most_50_names():
    assert len(exports(ROOT)) <= MAX_ROOT_NAMES
    assert dir(amplitude_cohort_s3) == sorted([*exports(ROOT), "__version__"])


def test_the_package_has_its_version():
    assert amplitude_cohort_s3.__version__ == importlib.metadata.version("amplitude_cohort_s3")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_exports_classes_functions_and_constants(folder):
    found = exports(folder)
    assert not [name for name in found if name.startswith("_")]
    assert not [value for value in found.values() if isinstance(value, types.ModuleType)]


# --- Each public name is described and typed ---------------------------------------------


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_every_public_name_has_a_docstring(name):
    if name in PUBLIC:
        assert PUBLIC[name].__doc__
    else:  # a storage or engine need not repeat the protocol that it fulfils
        method = name.rpartition(".")[2]
        assert METHODS[name].__doc__ or any(
            inspect.getdoc(getattr(protocol, method, None))
            for protocol in PROTOCOLS
            if hasattr(protocol, method)
        )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_names_every_argument_of_a_function(name):
    docstring = FUNCTIONS[name].__doc__
    if re.search(r"^\s*Args: see ``\w+``", docstring, re.MULTILINE):
        return  # the arguments are those of another function
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        assert re.search(rf"^\s*\**{parameter}: ", docstring, re.MULTILINE), parameter


@pytest.mark.parametrize("name", PUBLIC)
def test_the_type_hints_of_every_public_name_can_be_read_at_run_time(name):
    value = PUBLIC[name]
    typing.get_type_hints(value, include_extras=True)
    if attrs.has(value):
        attrs.resolve_types(value)
        typing.get_type_hints(value.__init__)


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_every_public_function_has_types_for_its_arguments_and_its_result(name):
    function = (FUNCTIONS | METHODS)[name]
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
    assert parameters | {"return"} == set(hints) - {"self", "cls"}


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if FUNCTIONS[n] in exports(ROOT).values()])
def test_help_shows_a_short_signature_of_a_function_of_the_package(name):
    shown = str(inspect.signature(FUNCTIONS[name]))
    # A union that is written out fills the screen, and an address says nothing.
    assert f"{ROOT}." not in shown
    assert " at 0x" not in shown


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
