"""A table of memberships in PostgreSQL, kept up to date with ``COPY`` by psycopg."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import psycopg

STREAM = "1_bench"


def apply_sync(url: str, files: Mapping[str, Path], when: datetime, *, is_first: bool) -> int:
    """Apply the changes of one sync, and return the number of members.

    Args:
        url: The URL of the database.
        files: The files ``entering`` and ``exiting`` of the sync.
        when: The time of the sync.
        is_first: True to create the tables first.
    """
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        if is_first:
            cursor.execute(
                "CREATE TABLE cohort_membership (stream text NOT NULL, member_key text NOT NULL,"
                " amplitude_id text NOT NULL, user_id text NOT NULL, properties jsonb NOT NULL,"
                " entered timestamptz, exited timestamptz)"
            )
            cursor.execute(
                "CREATE UNIQUE INDEX cohort_membership_open ON cohort_membership"
                " (stream, member_key) WHERE exited IS NULL"
            )
            cursor.execute(
                "CREATE TABLE cohort_sync (stream text, synced_at timestamptz, members bigint,"
                " PRIMARY KEY (stream, synced_at))"
            )
        for name in ("exiting", "entering"):
            cursor.execute(
                f"CREATE TEMPORARY TABLE {name} (amplitude_id text, user_id text, country text,"
                " plan text) ON COMMIT DROP"
            )
            command = (
                f"COPY {name} FROM STDIN WITH (FORMAT csv, HEADER,"
                " FORCE_NOT_NULL (amplitude_id, user_id, country, plan))"
            )
            with files[name].open("rb") as file, cursor.copy(command) as copy:
                while chunk := file.read(1 << 20):
                    copy.write(chunk)
        cursor.execute(
            "UPDATE cohort_membership m SET exited = %s, user_id = e.user_id,"
            " properties = jsonb_build_object('country', e.country, 'plan', e.plan)"
            " FROM exiting e WHERE m.stream = %s AND m.member_key = e.amplitude_id"
            " AND m.exited IS NULL",
            (when, STREAM),
        )
        cursor.execute(
            "INSERT INTO cohort_membership SELECT %s, amplitude_id, amplitude_id, user_id,"
            " jsonb_build_object('country', country, 'plan', plan), %s, NULL FROM entering",
            (STREAM, when),
        )
        cursor.execute(
            "INSERT INTO cohort_sync SELECT %s, %s, count(*) FROM cohort_membership"
            " WHERE stream = %s AND exited IS NULL RETURNING members",
            (STREAM, when, STREAM),
        )
        return cursor.fetchone()[0]
