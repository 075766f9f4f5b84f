"""A job of Dagster that runs the syncs that are due, and its schedule: five past each hour."""

from cohort_jobs import sync_due
from dagster import (
    Backoff,
    Definitions,
    OpExecutionContext,
    RetryPolicy,
    ScheduleDefinition,
    job,
    op,
)


@op(retry_policy=RetryPolicy(max_retries=3, delay=300, backoff=Backoff.EXPONENTIAL))
def sync_due_cohorts(context: OpExecutionContext) -> None:
    """One op for all syncs: a retry runs only those that failed."""
    context.log.info(str(sync_due()))


@job
def cohorts() -> None:
    """Run the syncs that are due."""
    sync_due_cohorts()


definitions = Definitions(
    jobs=[cohorts], schedules=[ScheduleDefinition(job=cohorts, cron_schedule="5 * * * *")]
)
