"""Fills pages from the package itself, so that they can't lag behind it.

A page says what it wants in a line of its own::

    % public-names destination filename
    % errors

The first becomes the descriptions of the public names that are defined in these modules,
in this order, the second every error with its cure. A module with public names that no
page names is a warning, and so an error.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

import amplitude_cohort_s3
from amplitude_cohort_s3 import errors

PACKAGE = amplitude_cohort_s3.__name__
PLACEHOLDER = re.compile(r"^% (public-names|errors)\b *(.*)$", re.MULTILINE)

# Facts as they may be, by the name of the field: what the errors say is shown with them.
SAMPLES: dict[str, Any] = {
    "action": "s3:PutObject",
    "argument": "synced_at",
    "bucket": "my-bucket",
    "code": "InvalidRequest",
    "cohort_id": "26umsb5",
    "column": "amplitude_id",
    "columns": ("plan",),
    "count": 2,
    "cure": "format it as text",
    "difference": "the file entering has other bytes",
    "exit_code": -9,
    "exits": 900,
    "expected": 1000,
    "extra": "plot",
    "faults": ("name must not be empty",),
    "folder": "/tmp",  # noqa: S108 - a text
    "found": 998,
    "head": datetime(2026, 11, 23, 6, 30, tzinfo=UTC),
    "host": "amplitude.com",
    "key": "cohorts/123_26umsb5_2026-11-23T06:30_existing.csv",
    "keys": ("cohorts/123_26umsb5_2026-11-23T06:30_existing.csv",),
    "lacks": "upload_id",
    "limit": 500,
    "line": 17,
    "lines": (17, 40),
    "location": "s3://my-bucket/members.csv",
    "log_prefix": "cohorts/_syncs/123_26umsb5/",
    "members_before": 1000,
    "name": "123_26umsb5_2026-11-23_entering.csv",
    "names": ("cohorts/123_26umsb5_2026-11-23T06:30_existing.csv",),
    "next_free": datetime(2026, 11, 23, 6, 31, tzinfo=UTC),
    "now": datetime(2026, 11, 22, 6, 30, tzinfo=UTC),
    "operation": "PutObject",
    "package": "matplotlib",
    "parts": 12000,
    "prefix": "cohorts/_syncs/123_26umsb5/",
    "reason": "ReadTimeout",
    "record_key": "cohorts/_syncs/123_26umsb5/99999997-00000002.json",
    "recorded": "amplitude_id",
    "region": "eu-west-1",
    "requested": "user_id",
    "rule": "the rule that is broken",
    "rows": 990,
    "seconds": 600.0,
    "size": 20500,
    "step": "the download",
    "store": "the store of the bucket 'my-bucket'",
    "stream": "cohorts/123_26umsb5",
    "subject": "Destination ''",
    "synced_at": datetime(2026, 11, 23, 6, 30, tzinfo=UTC),
    "type_name": "float",
    "unit": "line",
    "used": 500,
    "what": "members",
    "when": datetime(2026, 11, 1, tzinfo=UTC),
    "first": datetime(2026, 11, 22, 6, 30, tzinfo=UTC),
    "winner": datetime(2026, 11, 23, 6, 30, tzinfo=UTC),
}

BY_TYPE: dict[Any, Any] = {str: "…", int: 2, float: 60.0, bool: True}

# Where the name alone would tell a wrong story.
SAMPLES_OF: dict[str, dict[str, Any]] = {
    "ArchiveLimitError": {"limit": "68,719,476,736 bytes"},
    "InvalidKeyError": {"key": "cohorts//name.csv", "rule": "a segment is empty"},
    "InvalidFileNameError": {"rule": "the time must look like YYYY-MM-DDTHH:MM"},
    "InvalidTextError": {"column": "plan", "rule": "holds a NUL"},
    "KmsAccessDeniedError": {"action": "kms:GenerateDataKey"},
    "MalformedCsvError": {
        "rule": "the row has 2 cells and the header 4",
        "cure": "Repair the file, or leave it out",
        "file": "members.csv",
    },
    "MissingRoutingKeyError": {
        "subject": "CohortSync of '26umsb5'",
        "faults": ("the destination 'warehouse' requires a routing key, none is given",),
    },
    "NothingToAdoptError": {
        "reason": "there is no complete sync",
        "cure": "check project, cohort, path and routing key",
    },
    "PolicyTooLargeError": {"limit": 20480},
    "AmplitudeRefusedError": {"status": 418},
    "CohortTooLargeError": {"size": 3_000_000, "limit": 2_000_000},
    "ExportFailedError": {"status": "JOB FAILED"},
    "ExportIncompleteError": {"size": 1000},
    "MemberFileError": {"reason": "PermissionError"},
    "MemberFileNotFoundError": {"reason": "404"},
    "TooManyPartsError": {"limit": 10_000},
    "ObjectTooLargeError": {"limit": 5 << 40},
    "StorageUnsuitableError": {
        "lacks": "conditional writes",
        "cure": "Use another store, or pass accept_unconditional_writes=True "
        "if the bucket has one writer only",
    },
    "SyncOrderError": {"synced_at": datetime(2026, 11, 20, 6, 30, tzinfo=UTC)},
    "UnsupportedValueError": {"column": "amplitude_id"},
    "WrongArgumentError": {
        "argument": "stream",
        "type_name": "CohortSync",
        "cure": "give a CohortStream; that of a sync is sync.stream",
    },
}


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
    """The directive that describes a public name."""
    return f".. auto{kind(name)}:: {name}"


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


def error_lines() -> Iterator[str]:
    """Every error by its section of ``errors.py``: when it is raised, its fields, its text."""
    source = inspect.getsource(errors)
    section_of = {
        number: found[1]
        for number, line in enumerate(source.splitlines(), 1)
        if (found := re.fullmatch(r"# --- (.+?) -+", line))
    }
    shown = ""
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        section = next((t for n, t in reversed(section_of.items()) if n < node.lineno), "The root")
        if section != shown:
            yield f"\n## {section}\n"
            shown = section
        yield "```{eval-rst}"
        yield f".. autoexception:: {PACKAGE}.errors.{node.name}"
        yield "   :show-inheritance:"
        yield ""
        if attrs.has(cls := getattr(errors, node.name)):
            yield "   .. code-block:: text"
            yield "      :class: message"
            yield ""
            yield f"      {sample(cls)}"
        yield "```"


def sample(cls: type) -> object:
    """An error of the class, with facts as they may be."""
    own = SAMPLES_OF.get(cls.__name__, {})

    def fact(field: Any) -> Any:
        found = own.get(field.name, SAMPLES.get(field.name))
        fits = not isinstance(field.type, type) or isinstance(found, field.type)
        return found if fits else BY_TYPE.get(field.type)

    return cls(**{field.alias: fact(field) for field in attrs.fields(cls)})


def setup(app: Sphinx) -> dict[str, bool]:
    """For Sphinx."""
    app.connect("builder-inited", warn_of_missing_rooms)
    app.connect("source-read", expand)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
