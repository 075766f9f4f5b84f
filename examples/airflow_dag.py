"""A DAG of Airflow 3 that syncs what is due, at five past each hour."""

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, BaseOperator, Context
from cohort_jobs import sync_due


class SyncDueCohorts(BaseOperator):
    """One task for all syncs: a retry does only those that failed."""

    def execute(self, context: Context) -> str:
        """Run the syncs that are due, with the members and the time of now."""
        return str(sync_due())


with DAG(
    "cohorts",
    schedule="5 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,  # the members of an hour that has passed are not to be had any more
    max_active_runs=1,
) as dag:
    SyncDueCohorts(task_id="sync_due", retries=3, retry_delay=timedelta(minutes=5))
