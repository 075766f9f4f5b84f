"""Syncs into a folder, killed with SIGKILL at random moments: none is lost or done twice."""

from functools import partial
from itertools import count

from killing import kill_often

from amplitude_cohort_s3 import LocalStorage

ROUNDS = 180


def test_killed_syncs_into_a_folder_are_finished(tmp_path, record_property):
    numbers = count()
    counts = kill_often(lambda: partial(LocalStorage, tmp_path / str(next(numbers))), ROUNDS)
    # The number depends on the load of the machine; it only must not be too small.
    assert counts["killed"] > ROUNDS / 10
    record_property("cases", counts["rounds"])
