"""Reading a history, compared with scripts of polars and with the CSV readers of data frames.

    python benchmarks/reading.py [--small] [--only PART] [--runs 3] [--folder DIR] [--table FILE]

The history has six syncs with 1,000,000 members each, of whom 5 % change at each sync. ``large``
searches for one user, and measures peak memory, in twenty syncs of 10,000,000 members, of whom 1 %
change. The measurement begins after the imports, as in a notebook. The scripts are in
``scripts/polars_history.py``; the ratios are of CPU.
"""

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from measuring import (
    VARIANTS,
    Candidate,
    Comparison,
    DifferentAnswersError,
    Row,
    Setting,
    Watch,
    main,
    run,
)
from sample_data import cohort, write_bucket

from amplitude_cohort_s3 import CohortFileName, CohortHistory, LocalStorage, read_history


def history_of(bucket: str, library: str | None = None) -> CohortHistory:
    """Return the history, after importing a library of data frames, as in a notebook."""
    for module in () if library is None else {"pyarrow.csv", library.replace("arrow", "pyarrow")}:
        import_module(module)
    return read_history(LocalStorage(bucket), cohort().stream)


# --- The candidates of this library ----------------------------------------------------------


def ours_verify(watch: Watch, bucket: str) -> Any:
    """Verify everything."""
    history = history_of(bucket)
    with watch:
        findings = history.verify()
    return sorted(finding.key or "" for finding in findings)


def ours_churn(watch: Watch, bucket: str) -> Any:
    """Compute the churn."""
    history = history_of(bucket)
    with watch:
        churn = history.churn()
    return [
        [row.synced_at.isoformat(), row.members, row.entered, row.exited, row.returned]
        for row in churn
    ]


def ours_intervals(watch: Watch, bucket: str) -> Any:
    """Return all stays as a data frame of polars."""
    history = history_of(bucket, "polars")
    with watch:
        frame = history.intervals().to_polars()
    return watch.answer(frame)


def ours_members(watch: Watch, bucket: str, library: str) -> Any:
    """Return the members at the newest sync as a data frame."""
    history = history_of(bucket, library)
    with watch:
        members = history.members_at(history[-1])
        frame = getattr(members, f"to_{library}")()
    return watch.answer(frame)


def ours_member_history(watch: Watch, bucket: str, key: str) -> Any:
    """Return the stays of one user."""
    history = history_of(bucket)
    with watch:
        stays = history.member_history(key)
    return [[_text(stay.entered), _text(stay.exited)] for stay in stays]


def ours_names(watch: Watch, bucket: str, copies: int) -> Any:
    """Parse the names in a listing."""
    keys = _keys(bucket, copies)
    with watch:
        names = [CohortFileName.from_key(key) for key in keys]
    return len(names)


# --- The other candidates --------------------------------------------------------------------


def polars_verify(watch: Watch, bucket: str) -> Any:
    """Hash every file, and compare the members at each sync with those before."""
    from scripts import polars_history

    with watch:
        faults = polars_history.verify(Path(bucket))
    return sorted(faults)


def polars_churn(watch: Watch, bucket: str) -> Any:
    """Compute the churn with polars."""
    from scripts import polars_history

    with watch:
        churn = polars_history.churn(Path(bucket))
    return [[when.isoformat(), *counts] for when, *counts in churn.rows()]


def polars_intervals(watch: Watch, bucket: str) -> Any:
    """Compute the stays with polars."""
    from scripts import polars_history

    with watch:
        frame = polars_history.intervals(Path(bucket))
    return watch.answer(frame)


def polars_member_history(watch: Watch, bucket: str, key: str) -> Any:
    """Search for the user in all small files."""
    from scripts import polars_history

    with watch:
        stays = polars_history.member_history(Path(bucket), key)
    return [list(map(_text, stay)) for stay in stays]


def reader_polars(watch: Watch, file: str) -> Any:
    """Read a file with the reader of polars."""
    import polars as pl

    with watch:
        frame = pl.read_csv(file, infer_schema=False)
    return watch.answer(frame)


def reader_arrow(watch: Watch, file: str) -> Any:
    """Read a file with the reader of pyarrow."""
    import pyarrow as pa
    from pyarrow import csv

    names = ("amplitudeID", "userID", "country", "plan")
    options = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    with watch:
        table = csv.read_csv(file, convert_options=options)
    return watch.answer(table)


def reader_pandas(watch: Watch, file: str) -> Any:
    """Read a file with the reader of pandas."""
    import pandas as pd

    with watch:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    return watch.answer(frame)


def floor_of_names(watch: Watch, bucket: str, copies: int) -> Any:
    """Do only the two steps without which a name can't be parsed."""
    from datetime import datetime

    from amplitude_cohort_s3.format._grammar import FILE_NAME

    keys = _keys(bucket, copies)
    with watch:
        for key in keys:
            name = key.rpartition("/")[2]
            FILE_NAME.fullmatch(name)
            datetime.fromisoformat(name[8:24])
    return len(keys)


CANDIDATES = (
    *(ours_verify, ours_churn, ours_intervals, ours_members, ours_member_history, ours_names),
    *(polars_verify, polars_churn, polars_intervals, polars_member_history),
    *(reader_polars, reader_arrow, reader_pandas, floor_of_names),
)


def _text(when: Any) -> str | None:
    return None if when is None else when.isoformat()


def _keys(bucket: str, copies: int) -> list[str]:
    return [path.name for path in Path(bucket).glob("*.csv")] * copies


# --- The parts -------------------------------------------------------------------------------


def bucket_of(setting: Setting) -> Path:
    """Return the bucket of all parts except ``large``."""
    rows = 10_000 if setting.small else 1_000_000
    return write_bucket(setting.folder / f"bucket-{rows}", rows=rows, syncs=6, changed=0.05)


def question(
    setting: Setting, name: str, measure: str, targets: tuple[float, float]
) -> Iterator[Row]:
    """Compare a method with the script of polars."""
    options = {"bucket": bucket_of(setting)}
    ours, theirs = Candidate(f"ours_{name}", options), Candidate(f"polars_{name}", options)
    compared = Comparison(measure, ours, theirs, runs=setting.runs)
    yield Row(f"`{measure}` / polars, CPU", compared.ratios("cpu"), targets)


def members(setting: Setting) -> Iterator[Row]:
    """Compare the members as a data frame with the CSV reader of its library."""
    bucket = bucket_of(setting)
    file = max(bucket.glob("*_existing.csv"))
    for library in ("polars", "arrow", "pandas"):
        measure = f"members_at(t).to_{library}()"
        ours = Candidate("ours_members", {"bucket": bucket, "library": library})
        theirs = Candidate(f"reader_{library}", {"file": file})
        compared = Comparison(measure, ours, theirs, runs=setting.runs)
        yield Row(
            f"`{measure}` / the CSV reader of the library, CPU", compared.ratios("cpu"), (1.5, 3.0)
        )


def names(setting: Setting) -> Iterator[Row]:
    """Compare the parsing of names with one match and one time for each name."""
    options = {"bucket": bucket_of(setting), "copies": 100 if setting.small else 10_000}
    ours, theirs = Candidate("ours_names", options), Candidate("floor_of_names", options)
    compared = Comparison("names in a listing", ours, theirs, runs=setting.runs)
    yield Row(
        "names in a listing / one match and one `fromisoformat` each, CPU", compared.ratios("cpu")
    )


def large(setting: Setting) -> Iterator[Row]:
    """Search for one user in a large history, and measure the peak memory of all methods."""
    rows = 20_000 if setting.small else 10_000_000
    bucket = write_bucket(setting.folder / f"bucket-{rows}", rows=rows, syncs=20, changed=0.01)
    options = {"bucket": bucket}
    # This user exits at the second sync and enters again at the fifth.
    lines = sorted(bucket.glob("*_exiting.csv"))[1].read_text().splitlines()
    with_key = options | {"key": lines[len(lines) // 2].partition(",")[0]}
    size = f"{rows:,} rows, 20 syncs"
    measure = f"member_history(key), {size}"
    ours = Candidate("ours_member_history", with_key)
    theirs = Candidate("polars_member_history", with_key)
    compared = Comparison(measure, ours, theirs, runs=setting.runs)
    milliseconds = {v: wall * 1000 for v, wall in compared.medians("wall").items()}
    yield Row(f"`member_history(key)`, {size}, wall", milliseconds, (50, 50), "ms")
    yield Row(f"`member_history(key)` / polars, {size}, CPU", compared.ratios("cpu"))
    for call, candidate in {
        "verify()": Candidate("ours_verify", options),
        "churn()": Candidate("ours_churn", options),
        "intervals().to_polars()": Candidate("ours_intervals", options),
        "members_at(t).to_polars()": Candidate("ours_members", options | {"library": "polars"}),
        "member_history(key)": ours,
    }.items():
        runs = {variant: run(candidate, variant) for variant in VARIANTS}
        if len({str(one.answer) for one in runs.values()}) > 1:
            message = f"{call}: the answers with the kernel and without it differ"
            raise DifferentAnswersError(message)
        peaks = {variant: one.mb - one.frame_mb for variant, one in runs.items()}
        yield Row(f"`{call}`, {size}, peak memory without the frame", peaks, (250, 250), "MB")


PARTS = {
    "verify": partial(question, name="verify", measure="verify()", targets=(1.0, 5.0)),
    "churn": partial(question, name="churn", measure="churn()", targets=(0.5, 0.5)),
    "intervals": partial(
        question, name="intervals", measure="intervals().to_polars()", targets=(1.0, 4.0)
    ),
    "members": members,
    "names": names,
    "large": large,
}


if __name__ == "__main__":
    main("Reading a history", __doc__, PARTS, CANDIDATES)
