"""An amendment that breaks a rule is not recorded, because nobody would ever finish it."""

import errno
from datetime import timedelta

import pytest
from attrs import evolve
from forgetting import sync_all
from syncs import contents

from amplitude_cohort_s3 import DiffType, MemoryStorage, read_history
from amplitude_cohort_s3.errors import (
    AccessDeniedError,
    LogLimitError,
    RecordFormatError,
    UnknownOutcomeError,
)
from amplitude_cohort_s3.log.amendments import Amendment
from amplitude_cohort_s3.log.files import RecordedFile
from amplitude_cohort_s3.log.location import StreamLocation
from amplitude_cohort_s3.sync import amend as module
from amplitude_cohort_s3.sync.amend import amend
from amplitude_cohort_s3.testing.faulty_storage import Fault, FaultyStorage
from amplitude_cohort_s3.testing.small_cohort import STREAM, moment


def replacing(storage, rows):
    log = read_history(storage, STREAM).log
    old = log.head.files[DiffType.ENTERING]
    staged = storage.stage(old.key, [b"x"])
    file = RecordedFile(key=old.key, rows=rows, size=1, sha256=staged.sha256, staged=staged)
    amendment = Amendment(
        number=3,
        previous=log.head.ref,
        stream=STREAM,
        requested_at=moment(60) + timedelta(seconds=1),
        purpose="forget",
        replaced={file.key: file},
        writer="w",
    )
    return amendment, log


@pytest.mark.parametrize("limit", [None, 10])
def test_an_entry_that_nobody_would_finish_is_not_recorded(monkeypatch, limit):
    storage = MemoryStorage()
    sync_all(storage, [{1, 2}, {2, 3}])
    location = StreamLocation.of(storage, STREAM, None)
    amendment, log = replacing(storage, rows=1 if limit is None else 0)
    if limit is not None:
        monkeypatch.setattr(module, "MAX_ENTRY_BYTES", limit)
    before = contents(storage)
    with pytest.raises(RecordFormatError if limit is None else LogLimitError):
        amend(location, amendment, log)
    assert contents(storage) == before
    assert not vars(storage)["_staged"]


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (AccessDeniedError("my-bucket", "key", "s3:PutObject"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (UnknownOutcomeError("key", "reset"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_new_files_stay_staged_only_if_the_entry_may_exist(error, stays):
    class Refusing(FaultyStorage):
        def create(self, key, data, /):
            raise error

    storage = MemoryStorage()
    sync_all(storage, [{1, 2}, {2, 3}])
    amendment, log = replacing(storage, rows=0)
    location = StreamLocation.of(Refusing(storage, Fault()), STREAM, None)
    with pytest.raises(type(error)):
        amend(location, amendment, log)
    assert bool(vars(storage)["_staged"]) is stays


def test_an_entry_that_keeps_the_rules_is_carried_out():
    storage = MemoryStorage()
    sync_all(storage, [{1, 2}, {2, 3}])
    amendment, log = replacing(storage, rows=0)
    outcome = amend(StreamLocation.of(storage, STREAM, None), evolve(amendment), log)
    assert (outcome.amended, outcome.lost) == (True, ())
    assert storage.open(next(iter(amendment.replaced))).read() == b"x"
