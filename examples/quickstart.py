"""Sync three downloads of one cohort into a folder, then read the folder back.

Run it with ``nox -s quickstart`` or ``python examples/quickstart.py [folder]``. All that
it prints below "Read back" comes from the files in the folder.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    DiffType,
    LocalStorage,
    UserProperty,
    read_history,
    sync_cohort,
)

DOWNLOADS = Path(__file__).parent / "downloads"


def main(folder: str) -> None:
    """Sync three downloads and print the results."""
    storage = LocalStorage(folder)
    sync = CohortSync(
        destination=Destination(name="quickstart", path="cohorts"),
        project_id=123,
        cohort_id="26umsb5",
        user_properties=(UserProperty("plan"), UserProperty("company")),
        routing_key="demo",
    )
    for download in sorted(DOWNLOADS.glob("*.csv")):
        synced_at = datetime.fromisoformat(f"{download.stem}T06:30").replace(tzinfo=UTC)
        result = sync_cohort(sync, download, storage, synced_at=synced_at)
        print("already done" if result.already_done else "synced", download.name)

    history = read_history(storage, sync.stream)
    print(f"\nRead back from {folder}\n\nFiles")
    for one in history:
        for diff_type in DiffType:
            rows = sum(1 for _ in history.rows(one, diff_type))
            print(f"{rows:7,} rows  {one.files[diff_type].key}")

    print("\nMembership")
    for one in history:
        members = list(history.members_at(one))
        anonymous = sum(1 for row in members if not row["user_id"])
        print(f"{one.synced_at:%Y-%m-%d %H:%M}  {len(members):5,} members, {anonymous} anonymous")

    print("\nHistory")
    for one in history.churn():
        print(
            f"{one.synced_at:%Y-%m-%d %H:%M}  {one.members:5,} members, {one.entered:,} entered "
            f"({one.returned} of them returned), {one.exited:,} exited"
        )

    print("\nVerified:", history.verify())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "quickstart_bucket")
