"""Members that are renamed, filtered and hashed on their way from a source to a sync."""

import hashlib
import hmac
import marshal
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from inspect import getclosurevars
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import cast

from attrs import field, frozen

from .._arguments import check_kind
from .._display import short_repr
from ..errors import ConfigurationError, InvalidCellError
from ..format.cells import FLOAT_ID_HINT, FLOAT_ID_RULE, broken_rule, is_float_id
from ..format.columns import ID_COLUMNS, Row, id_column
from ..format.schema import RowSchema
from .file_set import as_source
from .names import shared_name_faults
from .protocol import CsvSource, MemberSource, SupportsUnchanged
from .rows import as_csv

Condition = str | Collection[str] | Callable[[str], bool]
"""A condition for a cell: its text, several texts, or a function that returns whether it fits."""

_DIGEST = "selection"
"""The key in the origin of a source that describes what was selected."""

_HASHED = "hashed"
"""The key in the origin of a source that names the hashed columns."""


@frozen(repr=False)
class Selection:
    """The result of :func:`select`. The repr shows neither the source nor the secret.

    Attributes:
        rename: The new names of columns by the names in the source.
        where: The conditions by the names of columns in the source.
        hashed: The columns that are hashed, by their new names.
    """

    _source: MemberSource = field(repr=False, alias="source")
    rename: Mapping[str, str]
    where: Mapping[str, Condition] = field(repr=lambda where: repr([*where]))
    hashed: tuple[str, ...]
    _secret: bytes = field(repr=False, alias="secret")

    __repr__ = short_repr

    def csv_source(self, schema: RowSchema) -> CsvSource:
        """Return the selected members as CSV: see ``SupportsCsv``.

        Raises:
            ConfigurationError: A column that is hashed or renamed is not a column of the sync.
        """
        own = self._own_columns(schema)
        asked = _schema_of([*own.values(), *self.where], key=own[schema.key])
        source = as_csv(self._source, asked, fill=False)
        return CsvSource(
            chunks=lambda: schema.encode(self._rows(source, asked, schema, own)),
            repeatable=source.repeatable,
            unit="row",
            file=source.file,
            origin={**source.origin, **self._own_origin(), **self._all_hashed(source.origin)},
            ignored=source.ignored,
        )

    def is_unchanged(self, origin: Mapping[str, str], /) -> bool:
        """Return whether source and selection are those of an earlier sync."""
        own = self._own_origin()
        if not isinstance(self._source, SupportsUnchanged) or _DIGEST not in own:
            return False
        others = {name: text for name, text in origin.items() if name not in own}
        return own.items() <= origin.items() and self._source.is_unchanged(others)

    def _own_columns(self, schema: RowSchema) -> dict[str, str]:
        """Return the name in the source of each column of a schema."""
        own = {id_column(new) or new: name for name, new in self.rename.items()}
        found = dict[str, str]()
        for column, name in zip(schema.columns, (*ID_COLUMNS, *schema.names), strict=True):
            renamed = [new for new in (column, name) if new in own]
            found[column] = own.pop(renamed[0]) if renamed else name
        faults = [f"rename: {new!r} is not a column of the sync" for new in own]
        faults += [
            f"hash: {name!r} is not a column of the sync"
            for name in self.hashed
            if name not in (*schema.columns, *schema.names)
        ]
        if faults:
            columns = ", ".join(map(repr, schema.columns))
            raise ConfigurationError("select", tuple(f"{one}; it has {columns}" for one in faults))
        return found

    def _rows(
        self, source: CsvSource, asked: RowSchema, schema: RowSchema, own: Mapping[str, str]
    ) -> Iterator[Row]:
        place = {name: number for number, name in enumerate(asked.columns)}
        tests = [(place[id_column(n) or n], _test(one)) for n, one in self.where.items()]
        places = [place[id_column(own[column]) or own[column]] for column in schema.columns]
        hashed = [
            column in self.hashed or name in self.hashed
            for column, name in zip(schema.columns, (*ID_COLUMNS, *schema.names), strict=True)
        ]
        ids = places[0] if hashed[0] else None
        for number, row in enumerate(source.rows_of(asked), 1):
            if ids is not None and is_float_id(row[ids]):  # The engine would see only its hash.
                rule, hint = FLOAT_ID_RULE, FLOAT_ID_HINT
                raise InvalidCellError(ID_COLUMNS[0], rule, hint, (number,), file=source.file)
            if all(test(row[number]) for number, test in tests):
                cells = (row[number] for number in places)
                yield tuple(
                    self._hash(cell, column) if is_hashed else cell
                    for cell, column, is_hashed in zip(cells, schema.columns, hashed, strict=True)
                )

    def _hash(self, cell: str, column: str) -> str:
        if not cell:
            return cell
        try:
            data = cell.encode()
        except UnicodeEncodeError:
            rule = str(broken_rule(cell))
            raise InvalidCellError(column, rule, "remove it before the sync") from None
        return hmac.new(self._secret, data, hashlib.sha256).hexdigest()

    def _all_hashed(self, origin: Mapping[str, str]) -> dict[str, str]:
        """Return the entry of the columns that this or an inner selection hashes."""
        inner = origin[_HASHED].split(",") if _HASHED in origin else []
        both = dict.fromkeys([*inner, *self.hashed])
        return {_HASHED: ",".join(both)} if both else {}

    def _own_origin(self) -> dict[str, str]:
        """Return what the record of a sync says about the selection, without the secret."""
        conditions = {name: _fingerprint(one) for name, one in self.where.items()}
        origin = self._all_hashed({})
        if None not in conditions.values():
            facts = repr((sorted(self.rename.items()), sorted(conditions.items()), self.hashed))
            # With another secret, the members are others too.
            origin[_DIGEST] = hmac.new(self._secret, facts.encode(), hashlib.sha256).hexdigest()
        return origin


def select(
    source: MemberSource | str | os.PathLike[str],
    *,
    rename: Mapping[str, str] | None = None,
    where: Mapping[str, Condition] | None = None,
    hash: Collection[str] = (),  # noqa: A002 -- the word that people look for
    secret: str | bytes = b"",
) -> Selection:
    """Return members with renamed columns, without some members, and with hashed columns.

    The members are still streamed, and a source that knows that nothing has changed is still
    not read (``SupportsUnchanged``), as long as the selection is the same.

    Args:
        source: The members, as ``sync_cohort`` takes them.
        rename: The new names of columns by the names in the source.
        where: The condition for each column, by the names in the source, which the sync need
            not have. A member is selected if all conditions hold. A condition is a text,
            several texts, or a function of the text of a cell, which is empty for null.
        hash: The columns, by their new names, whose values are replaced by their HMAC-SHA256 in
            hex (64 characters). Empty values stay empty. The same value always gets the same
            hash, so members can be matched by it.
        secret: The key of the hash. Keep it: with another one all hashes change. The record
            of the sync names the hashed columns, but does not contain the secret.

    Raises:
        ConfigurationError: Columns are to be hashed without a secret, there is a secret and
            nothing to hash, or two columns get the same name.
        ArgumentTypeError: An argument has the wrong type.

    >>> from amplitude_cohort_s3 import diff_members
    >>> users = [{"amplitude_id": 1, "email": "ann@x.io", "plan": "pro"},
    ...          {"amplitude_id": 2, "email": "bob@x.io", "plan": "free"}]
    >>> hashed = select(users, where={"plan": "pro"}, hash=["email"], secret="s3cret")
    >>> with diff_members((), hashed, schema=RowSchema(properties=["email"])) as diff:
    ...     [(id, email[:8]) for id, _, email in diff.rows("entering")]
    [('1', '1a38c9f9')]
    """
    hint = 'pass the new names by the names in the source: {"id": "amplitude_id"}'
    check_kind("rename", rename, Mapping | None, hint)
    renamed = dict(rename or {})
    for name in (*renamed, *renamed.values()):
        check_kind("a name in rename", name, str, hint)
    hint = 'pass a condition for each column: {"plan": "pro"}'
    check_kind("where", where, Mapping | None, hint)
    conditions = dict(where or {})
    for name, condition in conditions.items():
        check_kind("a name in where", name, str, hint)
        _check_condition(condition)
    columns = (hash,) if isinstance(hash, str) else hash
    hint = 'pass names of columns: ["email"]'
    check_kind("hash", columns, Collection, hint)
    for column in columns:
        check_kind("each of hash", column, str, hint)
    check_kind("secret", secret, str | bytes, "pass a text that you keep secret")
    faults = shared_name_faults("rename", renamed.values())
    if bool(columns) != bool(secret):
        faults.append("secret is for columns in hash" if secret else "set secret= to hash columns")
    if isinstance(secret, str) and (rule := broken_rule(secret)) is not None:
        faults.append(f"secret {rule}")
    if faults:
        raise ConfigurationError("select", tuple(faults))
    return Selection(
        source=as_source(source),
        rename=renamed,
        where=conditions,
        hashed=tuple(id_column(name) or name for name in columns),
        secret=secret.encode() if isinstance(secret, str) else secret,
    )


def _check_condition(condition: object) -> None:
    """Raise ArgumentTypeError unless a value is a condition for the text of a cell.

    A number in a list would equal no text, and all members would silently be left out.
    """
    hint = "pass a text, several texts, or a function; cells are compared as text"
    if isinstance(condition, str) or callable(condition):
        return
    check_kind("a condition in where", condition, Collection, hint)
    for one in cast("Collection[object]", condition):
        check_kind("each text of a condition in where", one, str, hint)


def _schema_of(names: Iterable[str], key: str) -> RowSchema:
    """Return a schema with columns of a source."""
    columns = dict.fromkeys(name for name in names if id_column(name) is None)
    return RowSchema(properties=tuple(columns), key=id_column(key) or key)


def _test(condition: Condition) -> Callable[[str], bool]:
    if isinstance(condition, str):
        return condition.__eq__
    return condition if callable(condition) else frozenset(condition).__contains__


def _fingerprint(condition: Condition) -> str | None:
    """Return a text that changes with a condition; None if that cannot be known.

    That of a function covers its code, and the values that it uses from outside, as far as they
    are data. A text that changes without need only costs a sync.
    """
    if isinstance(condition, str):
        return repr([condition])
    if not callable(condition):
        return repr(sorted(condition))
    if not isinstance(condition, FunctionType):
        return None
    used: dict[str, object] = {**getclosurevars(condition).nonlocals}
    # A comprehension or a lambda in the function has names of its own.
    names = {name for code in _codes(condition.__code__) for name in code.co_names}
    used |= {name: value for name, value in condition.__globals__.items() if name in names}
    values = [*used.items(), condition.__defaults__, condition.__kwdefaults__]
    if not _is_data(values):
        return None
    code = condition.__code__.replace(co_filename="", co_firstlineno=0, co_linetable=b"")
    return hashlib.sha256(marshal.dumps(code) + repr(values).encode()).hexdigest()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_data(value: object) -> bool:
    """Return whether the repr of a value contains everything that can change in it.

    That of an array is shortened, that of an object may be its address, and a function uses
    values of its own.
    """
    if type(value) in (list, tuple, set, frozenset):
        return all(map(_is_data, cast("Collection[object]", value)))
    if type(value) is dict:
        items = cast("dict[object, object]", value).items()
        return all(map(_is_data, items))
    if isinstance(value, BuiltinFunctionType):
        value = value.__self__  # its module, or the object whose method it is
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0] in sys.stdlib_module_names
    return value is None or type(value) in (bool, int, float, str, bytes)
