# ruff: noqa: T201 -- a program that prints a table
"""Breaks the package in one place at a time and lets the tests that guard it catch it.

`nox -s mutants` runs it: each mutant is a copy of the package with one rule taken out;
the named tests must fail there. It prints which test caught which mutant, and ends with
an error if one lives. `nox -s mutants -- fsync` runs those with a word in their name.
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
    """A rule of the protocol that is missing: in which file, what, and who must notice."""

    rule: str
    file: str
    old: str
    new: str
    tests: str


CUT = "sync/test_cut_matrix.py::TestMemoryCut"
STORAGE = "storage"
NETWORK = "s3/test_s3_network.py"

MUTANTS = (
    Mutant(
        "existing is published last",
        "sync/commit_protocol.py",
        "handles = (record.files[diff_type].staged for diff_type in DiffType)",
        "handles = (record.files[diff_type].staged for diff_type in reversed(DiffType))",
        CUT,
    ),
    Mutant(
        "the record comes before the files",
        "sync/commit.py",
        "    record = plan.record(number=plan.number",
        "    _publish(storage, list(staged.values()))\n    record = plan.record(number=plan.number",
        CUT,
    ),
    Mutant(
        "a recovery goes before a sync",
        "sync/head.py",
        "            log = found.with_outcome(finish(found.unfinished))\n",
        "            pass\n",
        CUT,
    ),
    Mutant(
        "what is void was discarded",
        "sync/commit_protocol.py",
        "        storage.discard(s)\n    return all",
        "        pass\n    return all",
        "sync/test_sync.py",
    ),
    Mutant(
        "all are looked at before one is published",
        "sync/commit_protocol.py",
        "    if not states & {StagedState.GONE, StagedState.TAKEN}:",
        "    if True:",
        "sync/test_sync.py",
    ),
    Mutant(
        "a loser discards what it staged",
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
        "an unknown outcome discards nothing",
        "sync/commit.py",
        "        undecided = discarding.pop_all()\n",
        "        undecided = discarding\n",
        "sync/test_sync.py " + CUT,
    ),
    Mutant(
        "staged bytes are those of the plan",
        "diff/cohort_diff.py",
        "        if sha256 != file.sha256:",
        "        if False:",
        "sync/test_sync.py",
    ),
    Mutant(
        "a repeat is recognised",
        "sync/prepare.py",
        "        if repeated is not None:",
        "        if False:",
        CUT,
    ),
    Mutant(
        "an entry of the log holds its digest",
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
        "    if not any(check.succeeds() for check in checks):",
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
        "storage/local.py",
        "                os.fsync(file.fileno())\n",
        "",
        STORAGE,
    ),
    Mutant(
        "a created name is on the disk",
        "storage/local.py",
        "            temporary.unlink()\n"
        "        # Also after another's link: that writer may have died before this.\n"
        "        _sync_folder(path.parent)\n",
        "            temporary.unlink()\n",
        STORAGE,
    ),
    Mutant(
        "a published name is on the disk",
        "storage/local.py",
        "        _sync_folder(path.parent)\n        temporary.unlink(missing_ok=True)\n",
        "        temporary.unlink(missing_ok=True)\n",
        STORAGE,
    ),
    Mutant(
        "a folder is on the disk before what is in it",
        "storage/local.py",
        "                _sync_folder(folder.parent)\n",
        "                pass\n",
        STORAGE,
    ),
    Mutant(
        "a discarded file stays away after a power cut",
        "storage/local.py",
        "            temporary.unlink()\n            _sync_folder(temporary.parent)\n",
        "            temporary.unlink()\n",
        STORAGE,
    ),
    Mutant(
        "a link is made, nothing is moved over another",
        "storage/local.py",
        "            os.link(source, target)",
        "            os.replace(source, target)",
        STORAGE,
    ),
    Mutant(
        "a published file is known by its bytes",
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
        "a contested write is looked after (S3)",
        "storage/s3/_write_once.py",
        "            if ours:\n                return\n"
        "            if ours is not None:\n"
        "                raise ObjectExistsError(key) from failure\n",
        "            if ours is not None:\n"
        "                raise ObjectExistsError(key) from failure\n",
        NETWORK,
    ),
    Mutant(
        "a refusal after a lost answer is no refusal (S3)",
        "storage/s3/_write_once.py",
        "if failure is None and not contested and is_refusal(error):",
        "if not contested and is_refusal(error):",
        "s3/test_s3_faults.py",
    ),
    Mutant(
        "an answer without ETag is no object (S3)",
        "storage/s3/_reader.py",
        '    if "ETag" not in response:',
        "    if False:",
        NETWORK,
    ),
    Mutant(
        "what differs from ours is read twice (S3)",
        "storage/s3/_write_once.py",
        "            return read() == data\n",
        "            return False\n",
        NETWORK,
    ),
    Mutant(
        "an absence must last (S3)",
        "storage/s3/_write_once.py",
        "            if published is not None:\n                return published\n"
        "            time.sleep(pause)\n",
        "            return published\n",
        "s3/test_s3_faults.py",
    ),
)


def apply(mutant: Mutant, folder: Path) -> None:
    """Writes the package with the mutant's change into a folder."""
    copy = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.rule}: found {text.count(mutant.old)} times"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def caught_by(mutant: Mutant) -> str | None:
    """The first test that fails with the mutant, or None if it lives."""
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
        print(f"{mutant.rule:<52} {found or '*** NOBODY NOTICED ***'}", flush=True)
    print(f"{len(chosen) - living} of {len(chosen)} mutants were caught")
    return living


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
