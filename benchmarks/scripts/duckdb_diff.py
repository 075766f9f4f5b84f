"""The three files of a cohort with DuckDB: two anti-joins and three copies."""

from pathlib import Path

import duckdb


def write_diff(previous: Path, current: Path, out: Path) -> None:
    """Write the members who entered, exited and exist."""
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = false")
    for name, path in {"previous": previous, "current": current}.items():
        connection.execute(f"CREATE VIEW {name} AS FROM read_csv('{path}', all_varchar = true)")
    for name, query in {
        "entering": "FROM current ANTI JOIN previous USING (amplitudeID)",
        "exiting": "FROM previous ANTI JOIN current USING (amplitudeID)",
        "existing": "FROM current",
    }.items():
        connection.execute(f"COPY ({query}) TO '{out / name}.csv' (HEADER)")
