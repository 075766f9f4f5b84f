"""The progress bar of the extra `progress`."""

import sys

import pytest

from amplitude_cohort_s3 import (
    CohortSync,
    Destination,
    MemoryStorage,
    RowSchema,
    diff_members,
    errors,
    sync_cohort,
)


def test_progress_true_draws_a_bar_for_a_diff(capsys):
    pytest.importorskip("tqdm")
    with diff_members((), [("1", ""), ("2", "")], schema=RowSchema(), progress=True):
        pass
    assert "2.00/2.00" in capsys.readouterr().err


def test_progress_true_draws_a_bar_for_a_sync(capsys):
    pytest.importorskip("tqdm")
    sync = CohortSync(destination=Destination(name="d"), project_id=1, cohort_id="a")
    sync_cohort(sync, [("1", ""), ("2", "")], MemoryStorage(), progress=True)
    assert "2.00/2.00" in capsys.readouterr().err


def test_without_tqdm_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(errors.MissingExtraError, match=r"amplitude_cohort_s3\[progress\]"):
        diff_members((), [], schema=RowSchema(), progress=True, work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
