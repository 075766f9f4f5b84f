"""The result of a sync as JSON, for schedulers and logs."""

import json

from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, prepare_sync, sync_cohort

SYNC = CohortSync(destination=Destination(name="d", path="c"), project_id=1, cohort_id="abc")


def test_a_result_is_json_that_names_the_files_and_no_user():
    storage = MemoryStorage()
    result = sync_cohort(SYNC, [("1", "ann")], storage)
    found = json.loads(json.dumps(result.to_json()))
    assert found == result.to_json()
    assert found["synced_at"] == result.record.synced_at.isoformat()
    assert (found["members"], found["members_before"], found["already_done"]) == (1, 0, False)
    assert found["files"] == {
        diff_type.value: {"key": file.key, "rows": file.rows, "sha256": file.sha256}
        for diff_type, file in result.record.files.items()
    }
    assert "ann" not in json.dumps(found)


def test_a_plan_has_the_same_json_as_the_result():
    storage = MemoryStorage()
    with prepare_sync(SYNC, [("1", "ann")], storage) as prepared:
        result = prepared.commit()
    assert result.to_json() == prepared.plan.to_json() | {"recoveries": []}


def test_a_repeated_run_says_so_in_json():
    storage = MemoryStorage()
    first = sync_cohort(SYNC, [("1", "a")], storage)
    again = sync_cohort(SYNC, [("1", "a")], storage, synced_at=first.record.synced_at)
    assert again.to_json() == first.to_json() | {"already_done": True}
