"""The syncs that the schedulers in this folder run: each of them calls ``sync_due``.

A call may be repeated, and may overlap with another one: the log in the bucket shows what is due.
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
    # The members come from a file. Those of Amplitude: AmplitudeCohorts(...).members("26umsb5").
    jobs = [(actives, MemberFile(os.environ["COHORT_MEMBERS"]))]
    # COHORT_STORAGE is a folder, or s3://my-bucket.
    report = run_due(jobs, open_storage(os.environ["COHORT_STORAGE"]))
    print(report)
    report.raise_failures()
    return report
