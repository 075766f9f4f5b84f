"""A storage refuses to publish after the record exists: an object from everybody, or a caller."""

from threading import Event, Thread

import pytest
from attrs import evolve
from forgetting import clone
from interleaving import calls_of, interrupted
from syncs import (
    AT,
    ENTERING,
    EXISTING,
    EXITING,
    HOUR,
    MINUTE,
    NEW,
    NOW,
    OLD,
    STREAM,
    abandon,
    contents,
    data_files,
    members_now,
    run_sync,
    staged_objects,
)

from amplitude_cohort_s3 import (
    MemoryStorage,
    NameStyle,
    forget,
    prune,
    read_head,
    read_history,
    recover,
)
from amplitude_cohort_s3.errors import (
    AccessDeniedError,
    CredentialsError,
    InvalidKeyError,
    ObjectRefusedError,
    ObjectTooLargeError,
    StagedGoneError,
    StoreRefusedError,
    SyncVoidError,
    UnfinishedSyncError,
)
from amplitude_cohort_s3.history.findings import FindingKind
from amplitude_cohort_s3.log.amendments import Amendment
from amplitude_cohort_s3.testing.faulty_storage import Death, Fault, FaultyStorage
from amplitude_cohort_s3.testing.invariants import assert_invariants

OF_THE_OBJECT = {
    "parts": lambda key: ObjectRefusedError(key, "InvalidPart", "Look it up"),
    "size": lambda key: ObjectTooLargeError(key, 5 << 40),
    "name": lambda key: InvalidKeyError(key, "a folder has this name"),
}
OF_THE_CALLER = {
    "access": lambda key: AccessDeniedError("b", key, "s3:PutObject"),
    "key of KMS": lambda key: AccessDeniedError("b", key, "kms:GenerateDataKey"),
    "credentials": lambda key: CredentialsError("ExpiredToken"),
    "another code": lambda key: StoreRefusedError("b", key, "PutObject", "InvalidRequest"),
    "file system": lambda key: PermissionError(13, "Permission denied"),
}


class Refusing(FaultyStorage):
    """A storage that refuses to make the files of some types visible, or to discard any."""

    def __init__(self, inner, error, *types, discards=True):
        super().__init__(inner, Fault())
        self.error, self.types, self.discards = error, types or (ENTERING,), discards

    def _check(self, key):
        if any(f"_{diff_type}" in key for diff_type in self.types):
            raise self.error(key)

    def publish(self, staged, /):
        self._check(staged.key)
        return super().publish(staged)

    def replace(self, staged, /):
        self._check(staged.key)
        return super().replace(staged)

    def discard(self, staged, /):
        if not self.discards:
            raise self.error(staged.key)
        super().discard(staged)


@pytest.mark.parametrize("kind", OF_THE_OBJECT)
@pytest.mark.parametrize("refused", [ENTERING, EXITING, EXISTING])
def test_a_refused_object_makes_the_sync_void_and_the_next_one_succeeds(storage, kind, refused):
    run_sync(storage, OLD)
    error = OF_THE_OBJECT[kind]
    with pytest.raises(SyncVoidError) as caught:
        run_sync(Refusing(storage, error, refused), NEW, AT + HOUR)
    assert str(caught.value.__cause__) in str(caught.value)
    assert type(caught.value.__cause__) is type(error("k"))
    assert not staged_objects(storage)
    assert members_now(storage) == OLD
    assert not any("T15:05" in key and "existing" in key for key in data_files(storage))
    assert run_sync(storage, NEW, AT + 2 * HOUR).record.members_before == 3
    assert_invariants(storage, STREAM)


@pytest.mark.parametrize("kind", OF_THE_OBJECT)
def test_recovery_makes_a_sync_void_if_an_object_is_refused(storage, kind):
    run_sync(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    refusing = Refusing(storage, OF_THE_OBJECT[kind], EXITING)
    assert recover(refusing, STREAM).outcome == "void"
    assert not staged_objects(storage)
    run_sync(storage, NEW, AT + 2 * HOUR)
    assert_invariants(storage, STREAM)


def test_a_key_that_can_not_be_inspected_is_not_a_published_file(storage):
    """A folder or a symbolic link has the name; ``inspect`` can't answer then."""

    class Uninspectable(Refusing):
        def inspect(self, staged, /):
            self._check(staged.key)
            return super().inspect(staged)

    run_sync(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    refusing = Uninspectable(storage, OF_THE_OBJECT["name"], EXISTING)
    assert run_sync(refusing, NEW, AT + 2 * HOUR, dry_run=True).members_before == 3
    assert recover(refusing, STREAM).outcome == "void"
    assert members_now(storage) == OLD


@pytest.mark.parametrize("kind", OF_THE_CALLER)
@pytest.mark.parametrize("refused", [ENTERING, EXITING, EXISTING])
def test_a_refused_caller_leaves_the_sync_to_a_process_with_access(storage, kind, refused):
    run_sync(storage, OLD)
    refusing = Refusing(storage, OF_THE_CALLER[kind], refused)
    expected = type(OF_THE_CALLER[kind]("k"))
    for act in (
        lambda: run_sync(refusing, NEW, AT + HOUR),
        lambda: recover(refusing, STREAM),
        lambda: run_sync(refusing, OLD, AT + 2 * HOUR),
    ):
        with pytest.raises(expected):
            act()
        assert staged_objects(storage)
        assert_invariants(storage, STREAM)
    with pytest.raises(UnfinishedSyncError):
        read_head(storage, STREAM)
    assert recover(storage, STREAM).outcome == "published"
    assert members_now(storage) == NEW


@pytest.mark.parametrize("kind", OF_THE_CALLER)
@pytest.mark.parametrize("refused", [ENTERING, EXITING, EXISTING])
def test_abandoning_makes_an_entry_void_that_nobody_can_finish(storage, kind, refused):
    run_sync(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    report = recover(Refusing(storage, OF_THE_CALLER[kind], refused), STREAM, abandon=True)
    assert (report.outcome, report.record.synced_at) == ("void", AT + HOUR)
    assert not staged_objects(storage)
    assert recover(storage, STREAM, abandon=True).outcome == "nothing"
    run_sync(storage, NEW, AT + 2 * HOUR)
    assert_invariants(storage, STREAM)
    assert members_now(storage) == NEW


def test_an_entry_is_not_abandoned_by_a_caller_who_can_not_revoke_it(storage):
    run_sync(storage, OLD)
    abandon(storage, NEW, AT + HOUR)
    refusing = Refusing(storage, OF_THE_CALLER["access"], discards=False)
    with pytest.raises(AccessDeniedError):
        recover(refusing, STREAM, abandon=True)
    assert recover(storage, STREAM).outcome == "published"


def calls_of_a_sync(storage):
    return calls_of(lambda s: run_sync(s, NEW, AT + HOUR), storage)


def with_old():
    storage = MemoryStorage()
    run_sync(storage, OLD)
    return storage


def test_a_slow_writer_publishes_nothing_of_an_abandoned_sync(record_property):
    """Another process abandons the sync just before each call of its writer."""
    calls = calls_of_a_sync(with_old())
    for at in range(calls.index("create") + 1, len(calls)):
        storage = with_old()
        try:
            interrupted(
                lambda s: run_sync(s, NEW, AT + HOUR),
                storage,
                at,
                lambda s: recover(s, STREAM, abandon=True),
            )
        except SyncVoidError:
            assert members_now(storage) == OLD
        else:
            assert members_now(storage) == NEW
            assert calls[at:].count("publish") == 0
        assert not staged_objects(storage)
        assert_invariants(storage, STREAM)
        run_sync(storage, NEW, AT + 2 * HOUR)
    record_property("cases", len(calls) - calls.index("create") - 1)


def test_an_abandonment_that_fails_at_any_call_is_completed(record_property):
    calls = calls_of_a_sync(with_old())
    cases = 0
    for cut in range(calls.index("create"), len(calls)):
        begun = with_old()
        with pytest.raises(Death):
            run_sync(FaultyStorage(begun, Fault(at=cut, when="after")), NEW, AT + HOUR)
        steps = calls_of(lambda s: recover(s, STREAM, abandon=True), clone(begun))
        for at in range(len(steps)):
            for again in (
                lambda s: recover(s, STREAM, abandon=True),
                lambda s: recover(s, STREAM),
            ):
                storage = clone(begun)
                faulty = FaultyStorage(storage, Fault(at=at, when="after"))
                with pytest.raises(Death):
                    recover(faulty, STREAM, abandon=True)
                earlier = assert_invariants(storage, STREAM)
                again(storage)
                assert_invariants(storage, STREAM, earlier=earlier)
                assert members_now(storage) in (OLD, NEW)
                run_sync(storage, OLD, AT + 2 * HOUR)
                cases += 1
    record_property("cases", cases)


def test_files_that_are_all_visible_are_published_though_the_entry_is_abandoned(storage):
    counting = calls_of_a_sync(with_old())
    run_sync(storage, OLD)
    last = len(counting) - 1 - counting[::-1].index("publish")
    with pytest.raises(Death):
        run_sync(FaultyStorage(storage, Fault(at=last, when="after")), NEW, AT + HOUR)
    assert recover(storage, STREAM, abandon=True).outcome == "published"
    assert members_now(storage) == NEW


def test_two_processes_that_finish_and_abandon_agree(storage):
    for number in range(5):
        when = AT + number * HOUR
        abandon(storage, NEW if number % 2 else OLD, when)
        start, found = Event(), []

        def end(*, give_up, start=start, found=found):
            start.wait()
            found.append(recover(storage, STREAM, abandon=give_up).outcome)

        threads = [Thread(target=end, kwargs={"give_up": one}) for one in (True, False)]
        for thread in threads:
            thread.start()
        start.set()
        for thread in threads:
            thread.join()
        assert len(set(found) - {"nothing"}) == 1, found
        assert_invariants(storage, STREAM)


@pytest.mark.parametrize("kind", OF_THE_OBJECT | OF_THE_CALLER)
def test_forgetting_is_not_complete_if_a_new_file_is_refused(storage, kind):
    error = (OF_THE_OBJECT | OF_THE_CALLER)[kind]
    run_sync(storage, OLD)
    expected = StagedGoneError if kind in OF_THE_OBJECT else type(error("k"))
    with pytest.raises(expected):
        forget(Refusing(storage, error, EXISTING), STREAM, ["1"])
    if kind in OF_THE_CALLER:
        assert staged_objects(storage)
        report = recover(Refusing(storage, error, EXISTING), STREAM, abandon=True)
        assert report.outcome == "amended"
    assert not staged_objects(storage)
    [finding] = read_history(storage, STREAM).verify()
    assert finding.kind is FindingKind.UNFINISHED_AMENDMENT
    assert "forget again" in finding.detail
    forget(storage, STREAM, ["1"])
    assert read_history(storage, STREAM).verify() == ()
    assert b"ann" not in b"".join(contents(storage).values())


def test_abandoned_pruning_deletes_nothing_more_and_can_be_run_again(storage):
    for number in range(3):
        run_sync(storage, OLD, AT + number * MINUTE)

    def prune_with(used):
        return prune(used, STREAM, before=NOW, keep="nothing")

    class Undeletable(FaultyStorage):
        def delete(self, key, /):
            raise AccessDeniedError("b", key, "s3:DeleteObject")

    denied = Undeletable(storage, Fault())
    for act in (prune_with, lambda s: run_sync(s, NEW, AT + HOUR)):
        with pytest.raises(AccessDeniedError):
            act(denied)
    assert recover(denied, STREAM, abandon=True).outcome == "amended"
    assert len(data_files(storage)) == 9
    findings = read_history(storage, STREAM).verify()
    assert {finding.kind for finding in findings} == {FindingKind.REMOVED_FILE}
    run_sync(denied, NEW, AT + HOUR)
    assert len(prune_with(storage).plan.files) == 9
    assert len(data_files(storage)) == 3
    assert read_history(storage, STREAM).verify() == ()


def with_handle(file, text):
    handle = dict.fromkeys(file.staged.handle, text)
    return evolve(file, staged=evolve(file.staged, handle=handle))


@pytest.mark.parametrize("text", ["", "..", "../../etc/passwd", "/", "\0", "a" * 32, "x" * 5000])
@pytest.mark.parametrize("abandons", [False, True])
def test_a_forged_handle_that_nobody_can_publish_does_not_stop_the_stream(storage, text, abandons):
    run_sync(storage, OLD)
    head = read_head(storage, STREAM).record
    files = {t: with_handle(file, text) for t, file in head.files.items()}
    name = {t: str(STREAM.name(AT + MINUTE, t, NameStyle())) for t in files}
    for t, file in files.items():
        key = f"cohorts/{name[t]}"
        files[t] = evolve(file, key=key, staged=evolve(file.staged, key=key))
    forged = evolve(
        head, number=2, previous=head.ref, synced_at=AT + MINUTE, members_before=3, files=files
    )
    storage.create(forged.key, forged.to_bytes())
    before = data_files(storage)
    assert recover(storage, STREAM, abandon=abandons).outcome == "void"
    assert data_files(storage) == before
    run_sync(storage, NEW, AT + HOUR)
    assert read_history(storage, STREAM).verify() == ()


@pytest.mark.parametrize("text", ["", "..", "../../etc/passwd", "\0"])
def test_a_forged_handle_of_an_amendment_replaces_nothing(storage, text):
    run_sync(storage, OLD)
    head = read_head(storage, STREAM).record
    file = evolve(with_handle(head.files[ENTERING], text), rows=0)
    forged = Amendment(
        number=2,
        previous=head.ref,
        stream=STREAM,
        requested_at=NOW,
        purpose="forget",
        replaced={file.key: file},
        writer="x",
    )
    storage.create(forged.key, forged.to_bytes())
    before = data_files(storage)
    assert recover(storage, STREAM).outcome == "amended"
    assert data_files(storage) == before
    run_sync(storage, NEW, AT + HOUR)
