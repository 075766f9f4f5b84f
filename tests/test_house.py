"""The house: what may import what, what is public, and that it stays as it is written down.

`python tests/test_house.py` writes the snapshot of the public names anew.
"""

import ast
import enum
import inspect
import pkgutil
import re
import subprocess
import sys
import types
import typing
from functools import cache
from pathlib import Path

import attrs
import pytest

import amplitude_cohort_s3
from amplitude_cohort_s3 import errors

PACKAGE = amplitude_cohort_s3.__name__
ROOT = Path(amplitude_cohort_s3.__file__).parent
SNAPSHOT = Path(__file__).with_name("public_api.txt")

# From the top of the house to its ground. A room may use those below it, and
# those of its own floor.
FLOORS = (
    {"testing"},
    {""},  # the package itself, its table of contents
    {"cli", "config", "__main__"},
    {"forgetting", "pruning", "schedule"},
    {"sync", "access", "spark"},
    {"storage", "sources", "archives", "sql", "frames"},
    {
        *("diff", "plan", "sync_log", "records", "history", "members", "stays", "verification"),
        *("listing", "events", "findings", "adoption", "_record_json"),
        *("member_source", "engine_protocol", "engine"),
        *("_divide", "_join", "_positions", "_progress", "_spill", "_workers"),
        *("arrow", "composition", "content", "external_sort", "notifications"),
    },
    {"filename", "destination", "policy", "lifecycle", "rows"},
    {
        *(
            "errors",
            "_arguments",
            "_grammar",
            "_keys",
            "_csv",
            "_buckets",
            "_optional",
            "compression",
        ),
        *("display", "plot"),
    },
)
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}

# Values without behaviour, which pure rooms may hold.
VALUES = "storage._protocol"

FOREIGN = {"boto3", "botocore", "smart_open", "urllib3"}
FOREIGN_MAY_BE_NAMED_IN = (
    "access",
    "storage.s3",
    "storage._s3_errors",
    "storage._s3_reading",
    "storage._s3_requests",
    "storage",
    "policy",
    "sources",
)


def source_file(module):
    path = ROOT.joinpath(*module.split(".")) if module else ROOT
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def source_tree(module):
    return ast.parse(source_file(module).read_text(encoding="utf-8"))


@cache
def imports(module):
    """What a module imports, anywhere in it: modules of the house by their inner names."""
    package = module.split(".") if module else []
    if source_file(module).name != "__init__.py":
        package = package[:-1]
    found = set()
    for node in ast.walk(source_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            base += node.module.split(".") if node.module else []
            inner = ".".join(base)
            for alias in node.names:
                name = f"{inner}.{alias.name}".lstrip(".")
                found.add("." + (name if name in MODULES else inner))
    return found


def modules():
    """All modules, by their names without the package's."""
    yield ""
    for info in pkgutil.walk_packages([str(ROOT)], f"{PACKAGE}."):
        yield info.name.removeprefix(f"{PACKAGE}.")


MODULES = frozenset(modules())
each_module = pytest.mark.parametrize("module", sorted(MODULES), ids=lambda name: name or PACKAGE)


def room(module):
    return module.split(".")[0]


def inner_imports(module):
    return {name[1:] for name in imports(module) if name.startswith(".")}


@each_module
def test_imports_go_down_only(module):
    assert room(module) in FLOOR, "give the new room its floor"
    climbing = {
        name
        for name in inner_imports(module)
        if FLOOR[room(name)] < FLOOR[room(module)] and name != VALUES
    }
    assert not climbing


@each_module
def test_the_house_is_imported_by_relative_names(module):
    assert not {name for name in imports(module) if name.split(".")[0] == PACKAGE}


@each_module
def test_foreign_packages_are_named_where_they_are_at_home(module):
    named = {name for name in imports(module) if name.split(".")[0] in FOREIGN}
    at_home = module in FOREIGN_MAY_BE_NAMED_IN or room(module) == "sources"
    assert at_home or not named


@pytest.mark.parametrize("module", sorted(m for m in MODULES if room(m) == "storage"))
def test_a_storage_knows_keys_and_bytes_and_never_names_or_rows(module):
    rooms = {room(name) for name in inner_imports(module)}
    assert rooms <= {"storage", "errors", "_arguments", "_keys", "_buckets"} | (
        {"destination"} if module == "storage" else set()
    )


def test_the_shell_knows_the_protocol_and_no_backend():
    assert {name for name in inner_imports("sync") if room(name) == "storage"} == {VALUES}


@pytest.mark.parametrize(
    "module", sorted(m for m in MODULES if FLOOR.get(room(m), 0) >= FLOOR["diff"])
)
def test_the_pure_rooms_have_no_clock_and_no_network(module):
    assert not imports(module) & {"time", "socket", "http.client", "urllib.request", "logging"}
    called = {
        node.func.attr
        for node in ast.walk(source_tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & {"now", "utcnow", "today"}


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "py.typed").exists()


def test_importing_the_package_imports_no_heavy_one():
    heavy = FOREIGN | {"pytest", "hypothesis", "pandas", "pyarrow"}
    code = f"import sys, {PACKAGE}; print(*sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []


# --- The public names ------------------------------------------------------------------


def public():
    """The public classes and functions by their names; constants are described by their module."""
    found = {name: getattr(amplitude_cohort_s3, name) for name in amplitude_cohort_s3.__all__}
    return {name: value for name, value in found.items() if callable(value)}


def members(value):
    """The public names that a class defines, itself or in a base that is not public."""
    found = {}
    for cls in reversed(value.__mro__):
        own = cls is value or cls.__name__ not in amplitude_cohort_s3.__all__
        if own and cls.__module__.startswith(PACKAGE) and cls.__module__ != errors.__name__:
            found |= vars(cls)
    for name, member in sorted((found | dict(vars(value))).items()):
        if not name.startswith("_"):
            yield name, member


def functions():
    """All public functions and methods, by their whole names."""
    for name, value in public().items():
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for inner, member in members(value):
                function = unwrapped(member)
                if inspect.isfunction(function):
                    yield f"{name}.{inner}", function


def unwrapped(member):
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def annotation(value):
    """One spelling for all versions of Python."""
    if value is inspect.Parameter.empty:
        return "?"
    text = inspect.formatannotation(value) if not isinstance(value, str) else value
    text = text.replace("pathlib._local.", "pathlib.")
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
    text = re.sub(r"^\*([\w.]+)$", r"typing.Unpack[\1]", text)  # as Python 3.13 shows it
    return re.sub(
        r"\b(?:collections\.abc|datetime|pathlib|typing|amplitude_cohort_s3(?:\.\w+)*)\.", "", text
    )


def signature(function):
    found = inspect.signature(function)
    parts, star = [], False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        text = parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            default = repr(parameter.default)
            text += f" = {'...' if '<' in default else default}"
        parts.append(text)
    returned = annotation(found.return_annotation)
    return f"({', '.join(parts)})" + ("" if returned in ("?", "None") else f" -> {returned}")


def describe():
    """The public names and signatures, a line each."""
    lines = []
    for name, value in sorted(public().items()):
        if not inspect.isclass(value):
            lines.append(f"{name}{signature(value)}")
            continue
        if issubclass(value, enum.Enum):
            lines.append(f"{name}: {', '.join(f'{m.name}={m.value!r}' for m in value)}")
        elif typing.is_typeddict(value) or getattr(value, "_is_protocol", False):
            lines.append(f"{name}: Protocol")
        elif issubclass(value, Exception):
            lines.append(f"{name}: Exception")
        else:
            lines.append(f"{name}{signature(value)}")
        for inner, member in members(value):
            if isinstance(member, property):
                lines.append(f"{name}.{inner}: {annotation(member.fget.__annotations__['return'])}")
            elif inspect.isfunction(unwrapped(member)):
                lines.append(f"{name}.{inner}{signature(unwrapped(member))}")
    return "\n".join(lines) + "\n"


def test_the_public_names_are_those_that_are_written_down():
    assert describe() == SNAPSHOT.read_text(encoding="utf-8"), (
        "the public API has changed: if it is meant to, run python tests/test_house.py"
    )


def test_the_table_of_contents_is_sorted_and_whole():
    assert list(amplitude_cohort_s3.__all__) == sorted(set(amplitude_cohort_s3.__all__))
    assert dir(amplitude_cohort_s3) == amplitude_cohort_s3.__all__
    for name, value in public().items():
        assert not name.startswith("_")
        assert not isinstance(value, types.ModuleType)


@pytest.mark.parametrize("name", sorted(public()))
def test_every_public_name_has_a_docstring(name):
    value = public()[name]
    assert inspect.getdoc(value)
    assert value.__doc__
    if inspect.isclass(value):
        undocumented = {
            inner
            for inner, member in members(value)
            if (isinstance(member, property) or inspect.isfunction(unwrapped(member)))
            and not has_doc(value, inner)
        }
        assert not undocumented


def has_doc(cls, name):
    """Whether it is described, here or in the protocol that it fulfils."""
    names = ("Storage", "SupportsCompose", "SupportsDelete", "SupportsReplace")
    protocols = tuple(getattr(amplitude_cohort_s3, name) for name in names)
    return any(
        inspect.getdoc(getattr(found, name, None))
        for found in (cls, *protocols)
        if hasattr(found, name)
    )


@pytest.mark.parametrize("name", sorted(public()))
def test_type_hints_of_every_public_name_can_be_read_at_run_time(name):
    value = public()[name]
    typing.get_type_hints(value, include_extras=True)
    if attrs.has(value):
        attrs.resolve_types(value)
        typing.get_type_hints(value.__init__)


@pytest.mark.parametrize(("name", "function"), list(functions()), ids=[n for n, _ in functions()])
def test_every_public_function_is_typed_from_end_to_end(name, function):
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
    assert parameters | {"return"} == set(hints)


@pytest.mark.parametrize("name", sorted(public()))
def test_a_docstring_names_every_argument_of_a_function(name):
    value = public()[name]
    if inspect.isfunction(value):
        for parameter in inspect.signature(value).parameters:
            assert re.search(rf"^\s*\**{parameter}: ", value.__doc__, re.MULTILINE), parameter


if __name__ == "__main__":
    SNAPSHOT.write_text(describe(), encoding="utf-8")
