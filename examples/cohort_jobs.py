"""The syncs for the schedulers in this folder, each of which calls ``sync_due`` regularly.

A call may be repeated, and may overlap with another: the log in the bucket shows which syncs are
due.
"""

import os

from amplitude_cohort_s3 import (
    Cadence,
    CohortSync,
    Destination,
    MemberFile,
    UserProperty,
    open_storage,
    run_due,
)
from amplitude_cohort_s3.sync import RunReport

WAREHOUSE = Destination(name="warehouse", path="cohorts")


def sync_due() -> RunReport:
    """Run the syncs that are due, and raise their errors after the last one."""
    actives = CohortSync(
        destination=WAREHOUSE,
        project_id=123,
        cohort_id="26umsb5",
        user_properties=(UserProperty("plan"),),
        cadence=Cadence.HOURLY,
    )
    # The source of the members: a file here, or AmplitudeCohorts(...).members("26umsb5").
    jobs = [(actives, MemberFile(os.environ["COHORT_MEMBERS"]))]
    # A folder, or s3://my-bucket.
    report = run_due(jobs, open_storage(os.environ["COHORT_STORAGE"]))
    print(report)
    report.raise_failures()
    return report
