"""The diff of the user's own data frames, computed by the engine of the frames.

Narwhals provides one interface to pandas, Polars, pyarrow, DuckDB and PySpark. The module needs
the extra ``frames``.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from attrs import field, frozen

from .._optional import load
from ..errors import (
    ArgumentTypeError,
    CohortS3Error,
    DuplicateKeyError,
    EmptyKeyError,
    InvalidCellError,
    MissingColumnsError,
)
from ..format.columns import id_column, repeated_column
from ..format.existing_meaning import ExistingMeaning
from ..format.notes import count_notes
from ._text_frames import quoted


@frozen(kw_only=True)
class FrameDiff:
    """The diff of two data frames of members, as frames of the same kind.

    If the given frames are lazy, these are lazy too, but their members are fixed: each evaluation
    returns the same ones. The repr does not show rows.

    Attributes:
        entering: The current rows whose key is new.
        exiting: The previous rows whose key is not in the current rows. They have the columns of
            the current rows: a new column is null, and a removed one is left out.
        existing: The rows of the file ``existing``: see ``ExistingMeaning``.
        current: All current members, each once.
        members_before: The number of previous members.
        members_now: The number of current members.
        skipped: The number of current rows without a key.
        collapsed: The number of current rows that repeat another row.
        filled: The number of current members that have a value, for each column that is not an
            id. Null, NaN and an empty text are not values.
    """

    entering: Any
    exiting: Any
    existing: Any
    current: Any
    members_before: int
    members_now: int
    skipped: int
    collapsed: int
    filled: Mapping[str, int]
    _on: str = field(repr=False, alias="on")

    def __repr__(self) -> str:
        notes = count_notes(
            key=self._on,
            members=self.members_now,
            skipped=self.skipped,
            collapsed=self.collapsed,
            filled=self.filled,
        )
        counts = f"{self.members_before} to {self.members_now} members"
        return f"FrameDiff(<{'; '.join([counts, *notes])}>)"


def diff_frames(
    previous: Any,
    current: Any,
    *,
    on: str,
    existing: ExistingMeaning = ExistingMeaning.MEMBERS,
) -> FrameDiff:
    """Compute which users entered and exited, and the members, with the engine of the frames.

    Keys follow the rules of ``diff_members``, and a null key counts as empty. A member whose
    properties have changed, but not the key, neither enters nor exits. Each side is evaluated
    exactly once, during the call, because a query that is evaluated three times may return three
    different cohorts. Polars collects the rows, DuckDB stores them in temporary tables of the
    connection, and PySpark in local checkpoints.

    Args:
        previous: The previous members: a frame of the same engine, with the column ``on``.
        current: The current members: a frame of pandas, Polars (eager or lazy) or PySpark, a
            table of pyarrow, or a relation of DuckDB.
        on: The key, a column of text or integers.
        existing: The meaning of ``existing``.

    Raises:
        MissingExtraError: Narwhals is not installed.
        MissingColumnsError: A side lacks the column ``on``.
        ArgumentTypeError: A side is not such a frame, or the engines of the two sides differ.
        InvalidCellError: The keys are neither text nor integers on both sides, or the engine
            can't compare the values of a column, such as lists in pandas.
        EmptyKeyError: The key is ``amplitude_id``, and current rows have none. (If the key is
            another column, rows without it are skipped and counted.)
        DuplicateKeyError: Different rows of one side share a key.
        MalformedCsvError: A side has a column more than once.

    Example::

        diff = diff_frames(previous, current, on="amplitude_id")
        diff.entering.write_parquet("entering.parquet")
    """
    nw = load("narwhals", "frames")
    before, now = _frame(nw, previous, "previous"), _frame(nw, current, "current")
    if (type(before), before.implementation) != (type(now), now.implementation):
        hint = f"pass both sides as {_kind(current)}"
        raise ArgumentTypeError("previous", _kind(previous), hint)
    schema = now.collect_schema()
    _check_key(nw, before.collect_schema(), schema, on)
    try:
        return _diff(nw, before, now, on, existing)
    except CohortS3Error:
        raise
    except Exception:
        if isinstance(now, nw.LazyFrame):
            raise
        _refuse_odd_column(nw, before, now, on)
        raise


def _diff(nw: Any, before: Any, now: Any, on: str, existing: ExistingMeaning) -> FrameDiff:
    schema = now.collect_schema()
    new = evaluate_members(nw, now, on, refuse_empty=on == "amplitude_id")
    old = evaluate_members(nw, _in_columns(nw, before, schema), on)

    def joined(rows: Any, others: Any, how: str) -> Any:
        return rows.join(others.select(on), on=on, how=how).select(*schema.names())

    entering, exiting = joined(new.rows, old.rows, "anti"), joined(old.rows, new.rows, "anti")
    exists = new.rows if existing.contains_entering else joined(new.rows, old.rows, "semi")
    if existing.contains_exiting:
        exists = nw.concat([exists, exiting])
    return FrameDiff(
        entering=entering.to_native(),
        exiting=exiting.to_native(),
        existing=exists.to_native(),
        current=new.rows.to_native(),
        members_before=old.members,
        members_now=new.members,
        skipped=new.skipped,
        collapsed=new.collapsed,
        filled=new.filled,
        on=on,
    )


def _refuse_odd_column(nw: Any, before: Any, now: Any, on: str) -> None:
    """Raise if the engine can't compare the values of a column, such as lists in pandas.

    Raises:
        InvalidCellError: The values of a column can't be compared; the error is about the first
            such column.
    """
    schema = now.collect_schema()
    for name, kind in schema.items():
        old = before.select(on, *({name, on} - {on} if name in before.columns else ()))
        try:
            _diff(nw, old, now.select(*dict.fromkeys((on, name))), on, ExistingMeaning.MEMBERS)
        except CohortS3Error:
            continue
        except Exception:  # noqa: BLE001 -- each engine has errors of its own
            rule = f"is of type {kind}, by which the engine of the frames can't compare rows"
            raise InvalidCellError(name, rule, "make it text, or leave it out") from None


def _kind(frame: object) -> str:
    return f"{type(frame).__module__.partition('.')[0]}.{type(frame).__qualname__}"


def _frame(nw: Any, frame: Any, side: str) -> Any:
    _check_names(frame, side)
    found = nw.from_native(frame, pass_through=True)
    if not isinstance(found, (nw.DataFrame, nw.LazyFrame)):
        hint = "pass a data frame of pandas, Polars, pyarrow, DuckDB or PySpark"
        raise ArgumentTypeError(side, _kind(frame), hint)
    return found


def _check_names(frame: Any, side: str) -> None:
    """Raise unless the names of the columns are texts, and no two are equal."""
    if hasattr(frame, "collect_schema"):  # Polars allows only such names
        return
    columns: Any = getattr(frame, "columns", ())
    names: list[Any] = list(getattr(frame, "column_names", columns))
    for name, count in Counter(names).items():
        if not isinstance(name, str):
            hint = f"name all columns by text; one has the name {name!r}"
            raise ArgumentTypeError(side, _kind(frame), hint)
        if count > 1:
            raise repeated_column(name)


def _check_key(nw: Any, before: Any, now: Any, on: str) -> None:
    for schema in (before, now):
        if on not in schema.names():
            raise MissingColumnsError((on,), found=tuple(schema.names()))
        if schema[on] != nw.String and not schema[on].is_integer():
            hint = "make the column text or integers at the source"
            raise InvalidCellError(on, f"is of type {schema[on]}", hint)
    if (before[on] == nw.String) != (now[on] == nw.String):
        rule = f"is of type {before[on]} in previous and {now[on]} in current"
        raise InvalidCellError(on, rule, f"make it {now[on]} on both sides")


def _in_columns(nw: Any, frame: Any, schema: Any) -> Any:
    names, null = frame.collect_schema().names(), nw.lit(None)
    # A cast of pandas would make other values of nulls, such as False or the text "None".
    is_pandas = frame.implementation.is_pandas()
    cells = [
        nw.col(name) if name in names else (null if is_pandas else null.cast(kind)).alias(name)
        for name, kind in schema.items()
    ]
    return frame.select(*cells)


@frozen
class EvaluatedMembers:
    """The members of one side, which are its distinct rows that have a key."""

    rows: Any
    members: int
    skipped: int
    collapsed: int
    filled: Mapping[str, int]


def evaluate_members(
    nw: Any, frame: Any, on: str, *, refuse_empty: bool = False
) -> EvaluatedMembers:
    """Evaluate a frame once, and return its members and counts.

    Raises:
        EmptyKeyError: Rows have no key, and ``refuse_empty`` is true.
        DuplicateKeyError: Different rows share a key.
    """
    schema = frame.collect_schema()
    columns = schema.names()
    has_key = ~nw.col(on).is_null()
    if schema[on] == nw.String:
        has_key = has_key & (nw.col(on) != "")
    count_column = "count" + "_" * max(map(len, columns))  # longer than every other name
    distinct = _distinct_rows(nw, frame, on, count_column)
    # One query computes as many numbers as possible, because each query of Spark has a fixed
    # cost.
    count = nw.col(count_column)
    properties = [name for name in columns if id_column(name) is None]
    has_value = [_has_value(nw, name, schema[name]) & has_key for name in properties]
    total, kept, *filled = _totals(
        nw,
        distinct,
        count.sum(),
        nw.when(has_key).then(count).otherwise(0).sum(),
        *(is_filled.cast(nw.Int64).sum() for is_filled in has_value),
    )
    if refuse_empty and kept < total:
        raise EmptyKeyError(on, total - kept, (), "row")
    with_key = distinct.filter(has_key)
    per_key = with_key.group_by(on).agg(nw.len().alias(count_column))
    is_repeated = (nw.col(count_column) > 1).cast(nw.Int64)
    members, repeated = _totals(nw, per_key, nw.len(), is_repeated.sum())
    if repeated:
        raise DuplicateKeyError(on, repeated, (), "row")
    return EvaluatedMembers(
        with_key.select(*columns),
        members,
        total - kept,
        kept - members,
        dict(zip(properties, filled, strict=True)),
    )


def _has_value(nw: Any, name: str, kind: Any) -> Any:
    """Return an expression that is true for the rows in which a column has a value."""
    column = nw.col(name)
    has_value = ~column.is_null()
    if kind == nw.String:
        return has_value & (column != "")
    return has_value & ~column.is_nan() if kind.is_float() else has_value


def _distinct_rows(nw: Any, frame: Any, on: str, count_column: str) -> Any:
    """Return the distinct rows and the count of each, as a frame that has been evaluated."""
    native = frame.to_native()
    spark = frame.implementation in (nw.Implementation.PYSPARK, nw.Implementation.PYSPARK_CONNECT)
    if spark:
        # The rows are partitioned by the key once, so that no later join moves them again.
        frame = nw.from_native(native.repartition(native[quoted(on)]))
    # unique() of Narwhals is not used: it numbers the rows, and Spark must sort them for that.
    distinct = frame.group_by(*frame.collect_schema().names()).agg(nw.len().alias(count_column))
    if isinstance(distinct, nw.DataFrame):
        return distinct
    if spark:
        # A cache would not be safe: if a machine is lost, Spark evaluates the query again.
        return nw.from_native(distinct.to_native().localCheckpoint(eager=True))
    match frame.implementation:
        case nw.Implementation.POLARS:
            return distinct.collect().lazy()
        case nw.Implementation.DUCKDB:
            # The connection of a relation can be reached only through its queries.
            table = f"cohort_{uuid4().hex}"
            distinct.to_native().query("members", f"create temp table {table} as from members")
            return nw.from_native(native.query("members", f"from {table}"))
        case _:
            hint = "collect it first, or pass a frame of Polars, DuckDB or PySpark"
            raise ArgumentTypeError("current", _kind(native), hint)


def _totals(nw: Any, frame: Any, *expressions: Any) -> list[int]:
    found = frame.select(*(one.alias(f"total_{n}") for n, one in enumerate(expressions)))
    if isinstance(found, nw.LazyFrame):
        found = found.collect()
    return [int(total or 0) for total in found.rows()[0]]
