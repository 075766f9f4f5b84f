"""The diff as an expression over the user's own data frames, whatever engine they are of.

Nothing here owns an engine: Narwhals says the same to pandas, Polars, pyarrow, DuckDB and
PySpark. Needs the extra ``frames``.
"""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from attrs import frozen

from .._optional import load
from ..errors import (
    ArgumentTypeError,
    DuplicateKeyError,
    EmptyKeyError,
    InvalidCellError,
    MissingColumnsError,
)
from ..format.existing_meaning import ExistingMeaning


@frozen(kw_only=True)
class FrameDiff:
    """The difference of two data frames of members, as frames of the same kind.

    Lazy frames are lazy still, but over rows that are fixed: whenever they are evaluated,
    they tell of the same members. The repr counts and does not show rows.

    Attributes:
        entering: Rows now whose key was not there before.
        exiting: Rows before whose key is not there now, in the columns of today: a new
            column is null, one that is gone is left out.
        existing: By choice: see ``ExistingMeaning``.
        current: All members now, each once.
        members_before: How many there were.
        members_now: How many there are.
        skipped: Current rows without a key.
        collapsed: Current rows that repeated another.
    """

    entering: Any
    exiting: Any
    existing: Any
    current: Any
    members_before: int
    members_now: int
    skipped: int
    collapsed: int

    def __repr__(self) -> str:
        return f"FrameDiff(<{self.members_before} members before, {self.members_now} now>)"


def diff_frames(
    previous: Any,
    current: Any,
    *,
    on: str,
    existing: ExistingMeaning = ExistingMeaning.MEMBERS,
) -> FrameDiff:
    """Computes who entered, who exited and who exists, with the engine that the frames are of.

    The rules for keys are those of ``diff_members``: a null key is an empty one. A changed
    property alone is neither entering nor exiting. Each side is evaluated once, now: a query
    that is evaluated three times may give three cohorts. Polars collects the rows, DuckDB
    keeps them in temporary tables of the connection, PySpark in local checkpoints.

    Args:
        previous: The members before: a frame of the same engine, with the column ``on``.
        current: The members now: a frame of pandas, Polars (eager or lazy), pyarrow, a
            relation of DuckDB or a data frame of PySpark.
        on: The column by which members are told apart, text or integers.
        existing: Which rows ``existing`` gets.

    Raises:
        MissingExtraError: Narwhals is not installed.
        MissingColumnsError: A side lacks the column ``on``.
        ArgumentTypeError: A side is not such a frame, or they are of two engines.
        InvalidCellError: The keys are not of one type, text or integers.
        EmptyKeyError: Current rows have no Amplitude id, and it is the key. (Rows without
            another key are skipped and counted.)
        DuplicateKeyError: Different rows of one side share a key.

    Example::

        diff = diff_frames(previous, current, on="amplitude_id")
        diff.entering.write_parquet("entering.parquet")
    """
    nw = load("narwhals", "frames")
    before, now = _frame(nw, previous, "previous"), _frame(nw, current, "current")
    if (type(before), before.implementation) != (type(now), now.implementation):
        hint = f"pass both sides as {_kind(current)}"
        raise ArgumentTypeError("previous", _kind(previous), hint)
    _check_key(nw, before.collect_schema(), now.collect_schema(), on)

    columns = now.collect_schema().names()
    has_key = ~nw.col(on).is_null()
    if now.collect_schema()[on] == nw.String:
        has_key = has_key & (nw.col(on) != "")
    # Fixed before a row of it is counted, or the counts could be those of another answer.
    times = "times" + "_" * max(map(len, columns))
    counted = _counted(nw, now, on, times)
    arrived = _total(nw, counted, times)
    skipped = arrived - _total(nw, counted.filter(has_key), times)
    if skipped and on == "amplitude_id":
        raise EmptyKeyError(on, skipped, (), "row")
    unique = counted.filter(has_key).select(*columns)
    members_now = _count_keys(nw, unique, on)
    before = _in_columns(nw, before.filter(has_key), now.collect_schema())
    before = _counted(nw, before, on, times).select(*columns)
    members_before = _count_keys(nw, before, on)

    def without(rows: Any, others: Any) -> Any:
        return rows.join(others.select(on), on=on, how="anti").select(*columns)

    entering, exiting = without(unique, before), without(before, unique)
    if existing.contains_entering:
        exists = unique
    else:
        exists = unique.join(before.select(on), on=on, how="semi").select(*columns)
        if existing.contains_exiting:
            exists = nw.concat([exists, exiting])
    return FrameDiff(
        entering=entering.to_native(),
        exiting=exiting.to_native(),
        existing=exists.to_native(),
        current=unique.to_native(),
        members_before=members_before,
        members_now=members_now,
        skipped=skipped,
        collapsed=arrived - skipped - members_now,
    )


def _kind(frame: object) -> str:
    return f"{type(frame).__module__.partition('.')[0]}.{type(frame).__qualname__}"


def _frame(nw: Any, frame: Any, side: str) -> Any:
    found = nw.from_native(frame, pass_through=True)
    if not isinstance(found, (nw.DataFrame, nw.LazyFrame)):
        hint = "pass a data frame of pandas, Polars, pyarrow, DuckDB or PySpark"
        raise ArgumentTypeError(side, _kind(frame), hint)
    return found


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


def _counted(nw: Any, frame: Any, on: str, times: str) -> Any:
    """Each row once and how many times it was there, evaluated once and for all."""
    native = frame.to_native()
    spark = frame.implementation in (nw.Implementation.PYSPARK, nw.Implementation.PYSPARK_CONNECT)
    if spark:
        # Divided by the key now, so that no join moves the rows again.
        frame = nw.from_native(native.repartition(native["`" + on.replace("`", "``") + "`"]))
    # Narwhals' own unique numbers the rows, for which Spark sorts them.
    counted = frame.group_by(*frame.collect_schema().names()).agg(nw.len().alias(times))
    if isinstance(counted, nw.DataFrame):
        return counted
    if spark:
        # Unlike a cache, which is filled anew from the query where a machine is lost.
        return nw.from_native(counted.to_native().localCheckpoint(eager=True))
    match frame.implementation:
        case nw.Implementation.POLARS:
            return counted.collect().lazy()
        case nw.Implementation.DUCKDB:
            # A relation knows its connection only through its queries.
            table = f"cohort_{uuid4().hex}"
            query = f"create temp table {table} as from members"
            counted.to_native().query("members", query)
            return nw.from_native(native.query("members", f"from {table}"))
        case _:
            hint = "collect it first, or pass one of Polars, DuckDB or PySpark"
            raise ArgumentTypeError("current", _kind(native), hint)


def _in_columns(nw: Any, frame: Any, schema: Any) -> Any:
    there = frame.collect_schema().names()
    cells = [
        nw.col(name) if name in there else nw.lit(None).cast(kind).alias(name)
        for name, kind in schema.items()
    ]
    return frame.select(*cells)


def _total(nw: Any, counted: Any, times: str) -> int:
    return _figures(nw, counted, [nw.col(times).sum()])[0]


def _count_keys(nw: Any, frame: Any, on: str) -> int:
    """How many rows there are, if none of them has another one's key.

    Raises:
        DuplicateKeyError: One has.
    """
    sizes = frame.select(nw.col(on).alias("key")).group_by("key").agg(nw.len().alias("rows"))
    keys, repeated = _figures(
        nw,
        sizes,
        [nw.len().alias("keys"), (nw.col("rows") > 1).cast(nw.Int64).sum().alias("repeated")],
    )
    if repeated:
        raise DuplicateKeyError(on, repeated, (), "row")
    return keys


def _figures(nw: Any, frame: Any, expressions: Sequence[Any]) -> list[int]:
    found = frame.select(*expressions)
    if isinstance(found, nw.LazyFrame):
        found = found.collect()
    return [int(figure or 0) for figure in found.row(0)]
