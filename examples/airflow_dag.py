"""A DAG of Airflow 3 that runs the syncs that are due, at five past each hour."""

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, BaseOperator, Context
from cohort_jobs import sync_due


class SyncDueCohorts(BaseOperator):
    """One task for all syncs: a retry runs only those that failed."""

    def execute(self, context: Context) -> str:
        """Run the syncs that are due, with the present members and the present time."""
        return str(sync_due())


with DAG(
    "cohorts",
    schedule="5 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,  # the members of a past hour are usually no longer available
    max_active_runs=1,
) as dag:
    SyncDueCohorts(task_id="sync_due", retries=3, retry_delay=timedelta(minutes=5))
