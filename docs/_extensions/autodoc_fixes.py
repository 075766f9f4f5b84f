"""Corrections of what autodoc and napoleon make of our classes."""

import inspect
import re

import attrs
from sphinx.application import Sphinx
from sphinx.util.inspect import object_description

ATTRS_DEFAULT = re.compile(r"attr_dict\['(\w+)'\]\.default")
SEVERAL_NAMES = re.compile(r"(?<=^    )\w+Error(?:,\s+\w+Error)+:", re.MULTILINE)
COLON = "\N{RATIO} "


def show_defaults(
    _app: Sphinx,
    _what: str,
    _name: str,
    value: object,
    _options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Show the defaults of fields instead of the code that attrs writes for them."""
    if signature and inspect.isclass(value) and attrs.has(value):
        defaults = {found.name: object_description(found.default) for found in attrs.fields(value)}
        signature = ATTRS_DEFAULT.sub(lambda found: defaults[found[1]], signature)
        signature = signature.replace("= NOTHING", "= ...")
    return signature, returned


def hide_colon(
    _app: Sphinx, what: str, _name: str, _value: object, _options: object, lines: list[str]
) -> None:
    """Hide a colon from napoleon, which reads "The unit: line or row" as a type and its text."""
    if what in {"attribute", "data", "property"} and lines:
        lines[0] = lines[0].replace(": ", COLON)


def restore_colon(
    _app: Sphinx, _what: str, _name: str, _value: object, _options: object, lines: list[str]
) -> None:
    """Restore what ``hide_colon`` hid."""
    lines[:] = [line.replace(COLON, ": ") for line in lines]


def join_wrapped_names(
    _app: Sphinx, _what: str, _name: str, _value: object, _options: object, lines: list[str]
) -> None:
    """Join the names of an entry "AError, BError: text" that has several lines of them.

    Napoleon expects one line, and takes the last name for a part of the text.
    """
    text = SEVERAL_NAMES.sub(lambda found: " ".join(found[0].split()), "\n".join(lines))
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx, around napoleon's priority of 500."""
    app.connect("autodoc-process-signature", show_defaults)
    app.connect("autodoc-process-docstring", hide_colon, priority=400)
    app.connect("autodoc-process-docstring", join_wrapped_names, priority=400)
    app.connect("autodoc-process-docstring", restore_colon, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
