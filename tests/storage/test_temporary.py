"""Temporary files: an error states what is wrong with their folder."""

import os
import tempfile

import pytest

from amplitude_cohort_s3 import MemoryStorage, diff_members, sync_cohort
from amplitude_cohort_s3.errors import ConfigurationError
from amplitude_cohort_s3.format import RowSchema
from amplitude_cohort_s3.storage.temporary import temporary_folder
from amplitude_cohort_s3.testing.small_cohort import SYNC


def test_a_machine_without_a_temporary_folder_is_named_as_the_cause(monkeypatch):
    # As in a container whose file system is read-only and that has no volume at /tmp.
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])
    with pytest.raises(ConfigurationError, match="TMPDIR"):
        sync_cohort(SYNC, [("1", "ann")], MemoryStorage())


def test_a_missing_work_dir_is_named(tmp_path):
    for work_dir in (tmp_path / "missing", str(tmp_path / "missing")):
        with pytest.raises(ConfigurationError, match=r"missing' is not a folder: create it first"):
            diff_members([], [("1", "ann")], schema=RowSchema(), work_dir=work_dir)


@pytest.mark.parametrize("code", ["EACCES", "EROFS"])
def test_a_work_dir_that_refuses_this_account_is_named(tmp_path, monkeypatch, code):
    def refuse(path, *args):
        raise OSError(getattr(__import__("errno"), code), "refused", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(ConfigurationError, match="can't be written"):
        temporary_folder("x", tmp_path)
