# ruff: noqa: T201 -- a program that prints a table
"""Remove one rule from the package at a time, and check that a test fails without it.

`nox -s mutants` runs this program. Each mutant is a copy of the package without one rule; one
of the named tests must fail there. The program prints the first test that failed for each
mutant, and ends with an error if a mutant passes all its tests. `nox -s mutants -- disk` runs
only the mutants with this word in their rule.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "src" / "amplitude_cohort_s3"


@frozen
class Mutant:
    """A copy of the package in which one rule is missing.

    Attributes:
        rule: The rule.
        file: The file that is changed.
        old: The code that is replaced; it occurs once in the file.
        new: The code in its place.
        tests: The tests of which at least one must fail.
        also: A second replacement in the same file: the old code and the new.
    """

    rule: str
    file: str
    old: str
    new: str
    tests: str
    also: tuple[str, str] | None = None


CUT = "sync/test_cut_matrix.py::TestMemoryCut"
STORAGE = "storage"
POWER = "storage/test_power_cuts.py"
CLEAN_UP = "maintenance/test_clean_up.py"
NETWORK = "s3/test_s3_network.py"
REFUSALS = "sync/test_store_refusals.py"
S3_REFUSALS = "s3/test_s3_refusals.py"
FORGERIES = "log/test_amendment_rules.py"
RACES = "maintenance/test_maintenance_races.py"
FORGETTING = "maintenance/test_forgetting.py"
JOBS = "sources/amplitude/test_amplitude_jobs.py"
ASKING = "cli/test_maintain_commands.py"
PATTERNS = "cli/test_cohort_patterns.py"

MUTANTS = (
    Mutant(
        "the jobs of a run share one list of cohorts",
        "sources/amplitude/listing.py",
        "if now > self._outdated_at:",
        "if True:",
        JOBS,
    ),
    Mutant(
        "the list that jobs share is requested again after a minute",
        "sources/amplitude/listing.py",
        "_RECENT_SECONDS = 60.0",
        "_RECENT_SECONDS = 1e9",
        JOBS,
    ),
    Mutant(
        "an export is compared with a new list, not with that of the jobs",
        "sources/amplitude/cohorts.py",
        "return self._cohort().last_computed ==",
        "return self._cohort(self._recent).last_computed ==",
        JOBS,
    ),
    Mutant(
        "archived cohorts match no pattern",
        "sources/amplitude/listing.py",
        "if matches(one.name) and not one.archived",
        "if matches(one.name)",
        JOBS,
    ),
    Mutant(
        "without a terminal nothing is deleted unless --yes is passed",
        "cli/_confirm.py",
        "if not sys.stdin.isatty():",
        "if False:",
        ASKING,
    ),
    Mutant(
        "only yes is a yes",
        "cli/_confirm.py",
        'if sys.stdin.readline().strip().lower() in ("y", "yes"):',
        "if sys.stdin.readline():",
        ASKING,
    ),
    Mutant(
        "an id that the parser does not know is not printed",
        "cli/main.py",
        'shown = "" if options.run is forget_people else',
        "shown =",
        ASKING,
    ),
    Mutant(
        "a cohort with a table of its own is not synced by a pattern too",
        "cli/_run_jobs.py",
        "taken: set[CohortStream | str] = {one.sync.stream for one in single}",
        "taken: set[CohortStream | str] = set()",
        PATTERNS,
    ),
    Mutant(
        "existing is published last",
        "sync/commit_protocol.py",
        "handles = (record.files[diff_type].staged for diff_type in DiffType)",
        "handles = (record.files[diff_type].staged for diff_type in reversed(DiffType))",
        CUT,
    ),
    Mutant(
        "the record is created before files are published",
        "sync/commit.py",
        "        record = plan.record(number=plan.number",
        "        for one in staged.values():\n"
        "            location.data.publish(one)\n"
        "        record = plan.record(number=plan.number",
        CUT,
    ),
    Mutant(
        "a sync recovers an unfinished one first",
        "sync/start.py",
        "if dry_run else recovering(location, recoveries)",
        "",
        CUT,
    ),
    Mutant(
        "a dry run does not finish an unfinished record",
        "sync/start.py",
        "partial(predict_for_dry_run, location) if dry_run else ",
        "",
        "sync/test_preview.py",
    ),
    Mutant(
        "the guard is checked",
        "settings/guard.py",
        "        if allowed is not None and exits > allowed:",
        "        if False:",
        "sync/test_refusals.py",
    ),
    Mutant(
        "the files of a void sync are discarded",
        "sync/commit_protocol.py",
        "        storage.discard(s)\n    return all",
        "        pass\n    return all",
        "sync/test_recovery.py",
    ),
    Mutant(
        "files are discarded before their sync is void",
        "sync/commit_protocol.py",
        "        storage.discard(s)\n    return all",
        "        pass\n    return all",
        "sync/test_recovery.py",
        also=(
            "    return _conclude(location, outcome)\n\n\ndef finish(",
            (
                "    outcome = _conclude(location, outcome)\n"
                "    if isinstance(record, SyncRecord) and not outcome.published:\n"
                "        for one in staged_files(record):\n"
                "            location.data.discard(one)\n"
                "    return outcome\n\n\ndef finish("
            ),
        ),
    ),
    Mutant(
        "all files are inspected before one is published",
        "sync/commit_protocol.py",
        "    if not states & {StagedState.GONE, StagedState.TAKEN}:",
        "    if True:",
        "sync/test_recovery.py sync/test_refusals.py",
    ),
    Mutant(
        "the slower writer discards its staged files",
        "sync/commit.py",
        "        undecided.close()\n",
        "",
        "sync/test_races.py",
    ),
    Mutant(
        "a record names the head before it",
        "sync/commit_protocol.py",
        "    if record.previous != (None if head is None else head.ref):",
        "    if False:",
        "format/test_fuzz.py",
    ),
    Mutant(
        "after an unknown outcome nothing is discarded",
        "sync/decision.py",
        "        if _is_certain(error):\n",
        "        if True:\n",
        CUT,
    ),
    Mutant(
        "staged bytes are those that were planned",
        "diff/cohort_diff.py",
        "    if sha256 == file.sha256:",
        "    if True:",
        "sync/test_refusals.py",
    ),
    Mutant(
        "a file that was changed after the diff is read again",
        "diff/_sealed.py",
        "            return _status_of(self.path) == self.status",
        "            return True",
        "sync/test_taken_over_files.py",
    ),
    Mutant(
        "a finished file is marked by its time",
        "diff/_sealed.py",
        "        os.utime(path, ns=(_SEAL, _SEAL))",
        "        pass",
        "sync/test_taken_over_files.py",
    ),
    Mutant(
        "a file with another name is copied, so that a published one never becomes private",
        "storage/_local_staging.py",
        " or status.st_nlink != 1",
        "",
        "sync/test_taken_over_files.py",
    ),
    Mutant(
        "a taken over file is flushed",
        "storage/_local_staging.py",
        "            os.utime(descriptor if os.utime in os.supports_fd else source)\n"
        "            os.fsync(descriptor)",
        "            pass",
        "storage/test_power_cuts.py",
    ),
    Mutant(
        "a work folder disappears at once",
        "storage/_local_work.py",
        "            path.rename(removed)\n            shutil.rmtree(removed)",
        "            [file.unlink() for file in path.rglob('*') if file.is_file()]",
        "sync/test_taken_over_files.py",
    ),
    Mutant(
        "only a sync that will be committed stages early",
        "sync/prepare.py",
        "early_staging_of(start) if commits else None",
        "early_staging_of(start)",
        "sync/test_early_staging.py",
    ),
    Mutant(
        "a share of the guard never allows that a cohort becomes empty",
        "settings/guard.py",
        "isinstance(self.max_exits, float) and not members:",
        "False:",
        "sync/test_plan.py",
    ),
    Mutant(
        "an observer that raises stops nothing",
        "log/stream_events.py",
        "except Exception as error:",
        "except ZeroDivisionError as error:",
        "sync/test_stream_events.py",
    ),
    Mutant(
        "an interrupted observer leaves nothing staged",
        "sync/commit.py",
        "            discarding.callback(location.data.discard, staged[diff_type])\n",
        "",
        "sync/test_stream_events.py",
    ),
    Mutant(
        "a folder that can't be read is not left out",
        "sources/_file_patterns.py",
        "            raise member_file_error(error, str(inner)) from None",
        "            continue",
        "sources/test_file_sets.py",
    ),
    Mutant(
        "an Amplitude id is checked before it is hashed",
        "sources/selection.py",
        "if ids is not None and is_float_id(row[ids]):",
        "if False:",
        "sources/test_selection.py",
    ),
    Mutant(
        "a condition that uses unknown values is never unchanged",
        "sources/selection.py",
        "    if not _is_data(values):\n        return None\n",
        "",
        "sources/test_selection.py",
    ),
    Mutant(
        "a repeated run is recognised",
        "sync/start.py",
        "        if repeated is not None:",
        "        if False:",
        CUT,
    ),
    Mutant(
        "a time of another class becomes a plain datetime",
        "_time.py",
        "    if type(utc) is datetime:",
        "    if True:",
        "sync/test_times.py",
    ),
    Mutant(
        "a day is one of the time zone of now",
        "_time.py",
        '_in_zone(to_utc(when, "now"), zone, "now").date()',
        "date()",
        "settings/test_cadence.py",
    ),
    Mutant(
        "the offset of this machine is treated as its time zone",
        "_time.py",
        "        return None\n    return zone",
        "        pass\n    return zone",
        "settings/test_cadence.py",
    ),
    Mutant(
        "a file of an object that the store refuses counts as lost",
        "sync/commit_protocol.py",
        "        except _REFUSALS as error:\n            on_refusal(error)\n",
        "        except ZeroDivisionError as error:\n            on_refusal(error)\n",
        REFUSALS,
    ),
    Mutant(
        "a refused caller never makes a sync void",
        "sync/commit_protocol.py",
        "_REFUSALS = (ObjectRefusedError, ObjectTooLargeError, InvalidKeyError)",
        "_REFUSALS = (ObjectRefusedError, ObjectTooLargeError, InvalidKeyError, OSError)",
        REFUSALS,
    ),
    Mutant(
        "a key that can't be inspected is not a published file",
        "sync/commit_protocol.py",
        "    except _REFUSALS:\n        # No object",
        "    except ZeroDivisionError:\n        # No object",
        REFUSALS,
    ),
    Mutant(
        "an abandoned entry is revoked first",
        "sync/commit_protocol.py",
        "    published = _revoke(location.data, staged_files(record))\n",
        "    published = False\n",
        REFUSALS,
    ),
    Mutant(
        "an abandoned amendment is revoked first",
        "sync/commit_protocol.py",
        "            if not _revoke(location.data, [replacement(file)])\n",
        "",
        REFUSALS,
    ),
    Mutant(
        "a sync is void only if not everything was published",
        "sync/commit_protocol.py",
        "    return all(_state(storage, s) is StagedState.PUBLISHED for s in staged)",
        "    return False",
        REFUSALS,
    ),
    Mutant(
        "an amendment is checked before it is carried out",
        "sync/commit_protocol.py",
        "        check_amendment(record, log)\n",
        "",
        FORGERIES,
    ),
    Mutant(
        "a handle that the storage can't have made has nothing to revoke",
        "sync/commit_protocol.py",
        "        with suppress(InvalidKeyError):\n",
        "        if True:\n",
        REFUSALS,
    ),
    Mutant(
        "a sync that was moved to the next day counts for its own",
        "log/records.py",
        "        return min(self.synced_at, self.requested_at)",
        "        return self.synced_at",
        "sync/test_schedule.py",
    ),
    Mutant(
        "a record counts the entries that its writer finished first",
        "sync/start.py",
        "            recovered=len(self.recoveries),\n",
        "",
        "history/test_runs.py",
    ),
    Mutant(
        "a daily sync is overdue only after a whole day without one",
        "settings/cadence.py",
        "last_day < timedelta(days=2)",
        "last_day < timedelta(days=1)",
        "settings/test_cadence.py",
        ("last_day + timedelta(days=2))", "last_day + timedelta(days=1))"),
    ),
    Mutant(
        "an older history does not change the run log in the tables",
        "sql/_run_log.py",
        "        if newest > log.last_ended:\n            return\n",
        "",
        "sql/test_sql_runs.py",
    ),
    Mutant(
        "an entry is written again if its temporary file is discarded",
        "storage/local.py",
        "            with contextlib.suppress(StagedGoneError):\n",
        "            if True:\n",
        CLEAN_UP,
    ),
    Mutant(
        "nothing is deleted while the files of the head are not there",
        "sync/commit_protocol.py",
        "    check_files(location, record)\n",
        "",
        FORGERIES,
    ),
    Mutant(
        "prune deletes nothing while the newest sync lacks files",
        "sync/amend.py",
        "        check_files(location, amendment)\n",
        "",
        FORGERIES,
    ),
    Mutant(
        "an amendment is checked before it is recorded",
        "sync/amend.py",
        "        check_amendment(amendment, log)\n",
        "        pass\n",
        "maintenance/test_amending.py",
    ),
    Mutant(
        "an amendment removes only files older than the head",
        "log/amendment_rules.py",
        "        if name.synced_at >= head.synced_at:",
        "        if False:",
        FORGERIES,
    ),
    Mutant(
        "an amendment removes only files that a record names",
        "log/amendment_rules.py",
        "            return key in record.keys\n        begun",
        "            return True\n        begun",
        FORGERIES,
    ),
    Mutant(
        "an amendment names the amendment before it",
        "log/amendment_rules.py",
        "    if amendment.earlier != head.amendment:",
        "    if False:",
        FORGERIES,
    ),
    Mutant(
        "an amendment continues the head",
        "log/amendment_rules.py",
        "    if amendment.previous != head.ref:",
        "    if False:",
        FORGERIES,
    ),
    Mutant(
        "an amendment does what its purpose does",
        "log/amendment_rules.py",
        '    if (prunes, forgets) != (amendment.purpose == "prune", amendment',
        '    if False and (0, 0) != (amendment.purpose == "prune", amendment',
        FORGERIES,
    ),
    Mutant(
        "an amendment changes no counts without a file",
        "log/amendment_rules.py",
        "    if amendment.counts and not amendment.replaced:",
        "    if False:",
        FORGERIES,
    ),
    Mutant(
        "a replaced file has fewer rows",
        "log/amendment_rules.py",
        "            if file.rows >= record.files[name.diff_type].rows:",
        "            if False:",
        FORGERIES,
    ),
    Mutant(
        "members are replaced together with their count",
        "log/amendment_rules.py",
        "            if record.number not in amendment.counts and",
        "            if False and",
        FORGERIES,
    ),
    Mutant(
        "counts are those of published syncs",
        "log/amendment_rules.py",
        "        if not 0 < number < amendment.number or not log.outcome(number).published:",
        "        if False:",
        FORGERIES,
    ),
    Mutant(
        "an amendment raises no count",
        "log/amendment_rules.py",
        "    if counts.members > record.members or",
        "    if False or",
        FORGERIES,
    ),
    Mutant(
        "an amendment raises no count of members before",
        "log/amendment_rules.py",
        " or counts.members_before > record.members_before:",
        ":",
        FORGERIES,
    ),
    Mutant(
        "a count of members is that of its file",
        "log/amendment_rules.py",
        "            and (counts.members, counts.members_sha256) != (file.rows, file.sha256)\n",
        "            and False\n",
        FORGERIES,
    ),
    Mutant(
        "the counts of two syncs agree",
        "log/amendment_rules.py",
        "    if before and counts.members_before != before.members:",
        "    if False:",
        FORGERIES,
    ),
    Mutant(
        "an amendment's handle belongs to its file",
        "log/amendments.py",
        " or f.staged.key != f.key for f",
        " for f",
        FORGERIES,
    ),
    Mutant(
        "an adopted sync is the first of its log",
        "log/records.py",
        "        if self.adopted and self.number != 1:",
        "        if False:",
        FORGERIES,
    ),
    Mutant(
        "a record is newer than the head before it",
        "sync/commit_protocol.py",
        "    if head is not None and record.synced_at <= head.synced_at:",
        "    if False:",
        FORGERIES,
    ),
    Mutant(
        "texts of a bucket are escaped in a report",
        "history/report/page.py",
        'return f"<code>{escape(text)}</code>"',
        'return f"<code>{text}</code>"',
        "history/test_report.py",
    ),
    Mutant(
        "times of published syncs grow",
        "history/_log_checks.py",
        "        if head is not None and record.synced_at <= head.synced_at:",
        "        if False:",
        FORGERIES,
    ),
    Mutant(
        "the search and the counts use a listing during which the log did not change",
        "history/read.py",
        "        if log.newest == before.newest:",
        "        if True:",
        RACES,
    ),
    Mutant(
        "forget and prune search again if another writer came first",
        "maintenance/_retries.py",
        "            if not left or location.read_log().newest == before:",
        "            if True:",
        RACES,
    ),
    Mutant(
        "the data is listed before the log",
        "history/read.py",
        "    listed = list(_list_files(location, window))\n    log = location.read_log()\n",
        "    log = location.read_log()\n    listed = list(_list_files(location, window))\n",
        "history/test_read_history.py",
    ),
    Mutant(
        "an empty id matches nobody in forget",
        "maintenance/_search.py",
        'for one in people) - {""}',
        "for one in people)",
        FORGETTING,
    ),
    Mutant(
        "a slow generator is reported by time and not by batch",
        "diff/progress.py",
        "if self._clock() - began < INTERVAL / 4 else 1",
        "if began >= 0 else 1",
        "diff/test_progress.py",
    ),
    Mutant(
        "the error of a callback is not taken for a fault of the file that is read",
        "diff/progress.py",
        "                self._error = error\n",
        "",
        "sync/test_reported_steps.py",
    ),
    Mutant(
        "a file is discarded if the callback raises after it was staged",
        "sync/early_staging.py",
        "            storage.discard(staged)  # The caller does not know it yet.\n",
        "",
        "sync/test_reported_steps.py",
    ),
    Mutant(
        "an empty key matches nobody in forget",
        "maintenance/_search.py",
        'frozenset(found_keys - {""})',
        "frozenset(found_keys)",
        FORGETTING,
    ),
    Mutant(
        "a file that was not replaced is an error in forget",
        "maintenance/_rewrite.py",
        "    if outcome.lost:",
        "    if False:",
        REFUSALS,
    ),
    Mutant(
        "members_before is amended though the sync before is pruned",
        "maintenance/_rewrite.py",
        "record.members_before - len(_subjects_before(found, sync))",
        "record.members_before",
        FORGETTING,
    ),
    Mutant(
        "the staged file is inspected first",
        "storage/local.py",
        "        staged_exists = status_of(self._staging.path_of(staged)) is not None\n"
        "        published = self._is_published(staged)\n",
        "        published = self._is_published(staged)\n"
        "        staged_exists = status_of(self._staging.path_of(staged)) is not None\n",
        STORAGE,
    ),
    Mutant(
        "a published handle is removed",
        "storage/local.py",
        "        self._staging.remove_published(temporary)\n"
        "        return _info(staged.key, path, path.lstat())\n\n    def disc",
        "        return _info(staged.key, path, path.lstat())\n\n    def disc",
        STORAGE,
    ),
    Mutant(
        "a name that the file system forbids is refused",
        "storage/_local_files.py",
        "_IMPOSSIBLE_NAME = (errno.EINVAL, errno.EILSEQ)",
        "_IMPOSSIBLE_NAME = ()",
        STORAGE,
    ),
    Mutant(
        "parts are equal on stores other than AWS (S3)",
        "storage/s3/storage.py",
        "        if self._bucket.is_aws:\n            return plan_parts",
        "        if True:\n            return plan_parts",
        S3_REFUSALS,
    ),
    Mutant(
        "a refused object is certain after any failure (S3)",
        "storage/s3/_write_once.py",
        "if is_object_refused(error) or (first",
        "if (first",
        S3_REFUSALS,
    ),
    Mutant(
        "uploads outside the prefix are kept (S3)",
        "storage/s3/_bucket_reads.py",
        '                if upload["Key"].startswith(prefix):',
        "                if True:",
        "s3/test_s3_storage.py",
    ),
    Mutant(
        "an entry of the log contains its digest",
        "log/_json.py",
        '{**value, "sha256": sha256}',
        '{**value, "sha256": "0" * 64}',
        "format/test_fuzz.py",
    ),
    Mutant(
        "an entry of the log is compared with its digest",
        "log/_json.py",
        "    if encoded != data:",
        "    if False:",
        "format/test_fuzz.py",
    ),
    Mutant(
        "the log lists the newest first",
        "log/keys.py",
        "{MAX_NUMBER - number:08}-{number:08}",
        "{number:08}-{MAX_NUMBER - number:08}",
        "log/test_sync_log.py",
    ),
    Mutant(
        "files read are compared with their digests",
        "format/content.py",
        "    if not any(found == (other.size, other.sha256) for other in others()):",
        "    if False:",
        CUT,
    ),
    Mutant(
        "create never overwrites (memory)",
        "storage/memory.py",
        "there, _ = self._visible.setdefault(key, (bytes(data), None))",
        "there, _ = self._visible[key] = (bytes(data), None)",
        STORAGE,
    ),
    Mutant(
        "a file's bytes are on the disk before its name",
        "storage/_local_staging.py",
        "                file.flush()\n                os.fsync(descriptor)\n",
        "",
        POWER,
    ),
    Mutant(
        "a created name is on the disk",
        "storage/local.py",
        "            self._staging.remove(temporary)\n"
        "        # Flush even if another writer made the link: it may have died before that.\n"
        "        sync_folder(path.parent)\n",
        "            self._staging.remove(temporary)\n",
        POWER,
    ),
    Mutant(
        "a published name is on the disk",
        "storage/local.py",
        "        # Flush even if another writer made the link: it may have died before that.\n"
        "        sync_folder(path.parent)\n        self._staging.remove_published(temporary)\n",
        "        self._staging.remove_published(temporary)\n",
        POWER,
    ),
    Mutant(
        "a replaced name is on the disk",
        "storage/local.py",
        "        sync_folder(path.parent)\n        # If both names are already",
        "        # If both names are already",
        POWER,
    ),
    Mutant(
        "the removal of a name is on the disk, even if the file was gone",
        "storage/local.py",
        "            path.unlink(missing_ok=True)\n",
        "            path.unlink()\n",
        POWER,
    ),
    Mutant(
        "a folder is on the disk before its files",
        "storage/_local_files.py",
        "                sync_folder(folder.parent)\n",
        "                pass\n",
        POWER,
    ),
    Mutant(
        "a discarded file stays discarded after a power cut",
        "storage/local.py",
        "            sync_nearest_folder(temporary.parent)\n",
        "            pass\n",
        POWER,
    ),
    Mutant(
        "a record is on the disk before anybody acts on it",
        "sync/commit_protocol.py",
        "    location.log.create(record.key, record.to_bytes())\n\n\ndef _log_before",
        "    pass\n\n\ndef _log_before",
        POWER,
    ),
    Mutant(
        "a staged file is private",
        "storage/_local_staging.py",
        "os.O_WRONLY, 0o600)",
        "os.O_WRONLY, 0o666)",
        STORAGE,
    ),
    Mutant(
        "a used handle is removed",
        "storage/local.py",
        "        # If both names are already links to the same file, replace() does nothing.\n"
        "        self._staging.remove_published(temporary)\n",
        "",
        STORAGE,
    ),
    Mutant(
        "a root that disappeared is not an empty bucket",
        "storage/_local_root.py",
        "            if device is None:\n",
        "            if False:\n",
        STORAGE,
    ),
    Mutant(
        "no staged name of a published file comes back after a power cut",
        "storage/_local_staging.py",
        "        sync_nearest_folder(self.remove_empty_folders(path))\n",
        "        self.remove_empty_folders(path)\n",
        POWER,
    ),
    Mutant(
        "an unmounted root is not an empty bucket",
        "storage/_local_root.py",
        "            if not any(self.path.iterdir()):\n",
        "            if False:\n",
        STORAGE,
    ),
    Mutant(
        "a root is not made again during a call",
        "storage/_local_files.py",
        "                self._check_root()\n",
        "                pass\n",
        STORAGE,
    ),
    Mutant(
        "a listing shows the key that was written",
        "storage/_local_staging.py",
        "        check_spelling(path, self._folder, key)\n",
        "",
        STORAGE,
    ),
    Mutant(
        "no key gets the file of another letter case",
        "storage/_local_staging.py",
        "        if self._ignores_case:\n",
        "        if False:\n",
        STORAGE,
    ),
    Mutant(
        "a link in place of a staged file is refused",
        "storage/_local_staging.py",
        "        check_not_linked(path)\n        return path\n",
        "        return path\n",
        STORAGE,
    ),
    Mutant(
        "forget covers staged files of any age",
        "maintenance/forget.py",
        "discard_leftovers(location, None)",
        "discard_leftovers(location, LEFTOVER_AGE)",
        CLEAN_UP,
        also=("import discard_leftovers\n", "import LEFTOVER_AGE, discard_leftovers\n"),
    ),
    Mutant(
        "clean-up leaves what an unfinished record names",
        "sync/leftovers.py",
        "if not any(i.is_same(staged) for staged in named)",
        "if not any(i.is_same(staged) for staged in named[:0])",
        CLEAN_UP,
    ),
    Mutant(
        "forget discards what is staged",
        "maintenance/forget.py",
        "        discard_leftovers(location, None)\n",
        "",
        CLEAN_UP,
    ),
    Mutant(
        "nothing stays staged after a certain refusal",
        "sync/decision.py",
        "            discard()\n",
        "            pass\n",
        "sync/test_refusals.py maintenance/test_amending.py",
    ),
    Mutant(
        "a file is linked and never moved over another",
        "storage/local.py",
        "            os.link(source, target)",
        "            os.replace(source, target)",
        STORAGE,
    ),
    Mutant(
        "a published file is recognised by its bytes",
        "storage/local.py",
        'return hashlib.file_digest(file, "sha256").hexdigest() == staged.sha256',
        "return True",
        STORAGE,
    ),
    Mutant(
        "create has a condition (S3)",
        "storage/s3/_bucket.py",
        '    return {"IfNoneMatch": "*"} if conditional else {}',
        "    return {}",
        "s3/test_s3_contract.py::TestMinistack",
    ),
    Mutant(
        "a contested write is looked up (S3)",
        "storage/s3/_write_once.py",
        "            if ours:\n                return\n"
        "            if ours is not None:\n"
        "                raise ObjectExistsError(key) from failure\n",
        "            if ours is not None:\n"
        "                raise ObjectExistsError(key) from failure\n",
        NETWORK,
    ),
    Mutant(
        "a refusal after a lost answer is not final (S3)",
        "storage/s3/_write_once.py",
        "first = failure is None and not contested",
        "first = not contested",
        "s3/test_s3_faults.py",
    ),
    Mutant(
        "a response without S3's fields is not one of S3",
        "storage/s3/responses.py",
        '        if not any(_has_value(response, one) for one in path.split("|")):',
        "        if False:",
        "s3/test_s3_endpoints.py",
    ),
    Mutant(
        "a listing has an end (S3)",
        "storage/s3/responses.py",
        "        if token == last_token:",
        "        if False:",
        "s3/test_s3_endpoints.py",
    ),
    Mutant(
        "the token is found in any spelling (S3)",
        "storage/s3/_bucket_reads.py",
        "{name.lower(): value for",
        "{name: value for",
        "s3/test_s3_proxies.py",
    ),
    Mutant(
        "the token of the probe comes back (S3)",
        "storage/s3/_conditional_writes.py",
        "    if bucket.token_of(key) != _TOKEN:\n        raise",
        "    if False:\n        raise",
        "s3/test_s3_proxies.py",
    ),
    Mutant(
        "an object that differs from ours is read twice (S3)",
        "storage/s3/_write_once.py",
        "            return read() == data\n",
        "            return False\n",
        NETWORK,
    ),
    Mutant(
        "an object counts as absent only after several looks (S3)",
        "storage/s3/_write_once.py",
        "            if published is not None:\n                return published\n"
        "            time.sleep(pause)\n",
        "            return published\n",
        "s3/test_s3_faults.py",
    ),
)


def changed_module(mutant: Mutant) -> str:
    """Return the text of the mutant's file with its change."""
    text = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    for old, new in ((mutant.old, mutant.new), *([mutant.also] if mutant.also else [])):
        assert text.count(old) == 1, f"{mutant.rule}: found {text.count(old)} times"
        text = text.replace(old, new)
    return text


def apply(mutant: Mutant, folder: Path) -> None:
    """Write a copy of the package with the mutant's change into a folder."""
    copy = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / mutant.file).write_text(changed_module(mutant), encoding="utf-8")


def caught_by(mutant: Mutant) -> str | None:
    """Return the first test that fails with the mutant, or None if all pass."""
    with tempfile.TemporaryDirectory() as folder:
        apply(mutant, Path(folder))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider"),
                *("--no-header", "--tb=no", *mutant.tests.split()),
            ],
            cwd=TESTS,
            env=os.environ | {"PYTHONPATH": folder, "HYPOTHESIS_PROFILE": "dev"},
            capture_output=True,
            text=True,
            check=False,
        )
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[1] if failed else None


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if all(word in m.rule for word in words)]
    living = 0
    for mutant in chosen:
        found = caught_by(mutant)
        living += found is None
        print(f"{mutant.rule:<52} {found or '*** NO TEST FAILED ***'}", flush=True)
    print(f"{len(chosen) - living} of {len(chosen)} mutants were caught")
    return living


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
