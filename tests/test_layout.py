"""The layout of the package: its size, its imports, and what its pure part may not do.

import-linter checks which module may import which: see `tool.importlinter` in pyproject.toml.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import amplitude_cohort_s3

PACKAGE = amplitude_cohort_s3.__name__
ROOT = Path(amplitude_cohort_s3.__file__).parent
MODULES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

MAX_FOLDERS = 14
MAX_SINGLE_MODULES = 8
MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 50

# The modules that may use the clock or the network, or wait. All others are pure.
IMPURE = ("cli/", "distributed/", "maintenance/", "policy/access.py", "sources/", "sql/")
IMPURE += ("diff/progress.py", "log/stream_events.py", "storage/", "sync/", "testing/")

each_module = pytest.mark.parametrize("module", MODULES)


def syntax_tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def test_the_top_level_can_be_read_at_a_glance():
    folders = {path.parent for path in ROOT.glob("*/__init__.py")}
    single_modules = {path for path in ROOT.glob("*.py") if path.name != "__init__.py"}
    assert len(folders) <= MAX_FOLDERS
    assert len(single_modules) <= MAX_SINGLE_MODULES


@pytest.mark.parametrize("module", [m for m in MODULES if m != "errors.py"])
def test_no_module_is_too_long(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


@each_module
def test_no_function_is_too_long(module):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(syntax_tree(module)) if isinstance(node, functions)]
    lengths = {f"{node.name}, line {node.lineno}": lines_of_code(node) for node in found}
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


@pytest.mark.parametrize("module", [m for m in MODULES if m.endswith("/__init__.py")])
def test_the_init_module_of_a_folder_only_exports_names(module):
    allowed = (ast.Import, ast.ImportFrom)
    for node in syntax_tree(module).body:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
                assert all(isinstance(inner, allowed) for inner in body)
            case ast.Assign(targets=[ast.Name(id="__all__" | "__getattr__")]):
                pass
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case _:
                assert isinstance(node, allowed), f"line {node.lineno} defines something"


@each_module
def test_the_package_imports_its_own_modules_by_relative_names(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert re.findall(rf"^ *(?:import|from) {PACKAGE}\b", text, re.MULTILINE) == []


@each_module
def test_no_module_imports_names_from_the_folder_that_it_is_in(module):
    """The folder's `__init__` imports the module, so that would be a cycle."""
    for node in ast.walk(syntax_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.level and node.module is None:
            folder = MODULES[module].parents[node.level - 1]
            for alias in node.names:
                modules = (folder / f"{alias.name}{suffix}" for suffix in (".py", ".pyi"))
                assert (folder / alias.name).is_dir() or any(map(Path.is_file, modules))


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith(IMPURE)])
def test_pure_modules_use_no_clock_and_no_network(module):
    imported, called = set(), set()
    for node in ast.walk(syntax_tree(module)):
        match node:
            case ast.Import(names=names):
                imported |= {alias.name for alias in names}
            case ast.ImportFrom(module=name, level=0):
                imported.add(name)
            case ast.Call(func=ast.Attribute(attr=name)):
                called.add(name)
    assert imported & {"time", "socket", "http.client", "urllib.request", "logging"} == set()
    assert called & {"now", "utcnow", "today"} == set()


def test_importing_the_package_imports_no_heavy_package():
    heavy = {"boto3", "botocore", "smart_open", "urllib3"}
    heavy |= {"hypothesis", "pandas", "pyarrow", "pytest", "sqlalchemy"}
    code = f"import sys, {PACKAGE}; print(*sorted({heavy!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "py.typed").exists()
