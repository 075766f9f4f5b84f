"""A table of memberships in DuckDB, kept up to date with SQL over the files."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import duckdb

STREAM = "1_bench"


def apply_sync(path: str, files: Mapping[str, Path], when: datetime, *, is_first: bool) -> int:
    """Apply the changes of one sync, and return the number of members.

    Args:
        path: The file of the database.
        files: The files ``entering`` and ``exiting`` of the sync.
        when: The time of the sync.
        is_first: True to create the tables first.
    """

    def rows_of(name: str) -> str:
        return (
            f"(SELECT *, json_object('country', country, 'plan', plan) AS properties FROM"
            f" read_csv('{files[name]}', all_varchar = true, header = true, auto_detect = false,"
            " columns = {'amplitude_id': 'VARCHAR', 'user_id': 'VARCHAR', 'country': 'VARCHAR',"
            " 'plan': 'VARCHAR'}, force_not_null = ['amplitude_id', 'user_id', 'country', 'plan']))"
        )

    time = f"TIMESTAMPTZ '{when.isoformat()}'"
    with duckdb.connect(path) as connection:
        connection.execute("BEGIN")
        if is_first:
            connection.execute(
                "CREATE TABLE cohort_membership (stream text NOT NULL, member_key text NOT NULL,"
                " amplitude_id text NOT NULL, user_id text NOT NULL, properties JSON NOT NULL,"
                " entered timestamptz, exited timestamptz)"
            )
            connection.execute(
                "CREATE TABLE cohort_sync (stream text, synced_at timestamptz, members bigint,"
                " PRIMARY KEY (stream, synced_at))"
            )
        connection.execute(
            f"UPDATE cohort_membership m SET exited = {time}, user_id = e.user_id,"
            f" properties = e.properties FROM {rows_of('exiting')} e"
            f" WHERE m.stream = '{STREAM}' AND m.member_key = e.amplitude_id AND m.exited IS NULL"
        )
        connection.execute(
            f"INSERT INTO cohort_membership SELECT '{STREAM}', amplitude_id, amplitude_id,"
            f" user_id, properties, {time}, NULL FROM {rows_of('entering')}"
        )
        count = (
            "INSERT INTO cohort_sync SELECT $1, $2, count(*) FROM cohort_membership"
            " WHERE stream = $1 AND exited IS NULL RETURNING members"
        )
        members = connection.execute(count, [STREAM, when]).fetchone()[0]
        connection.execute("COMMIT")
        return members
