"""Sets of files on which a listing could go wrong: nothing is left out, and nothing hangs."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import RowSchema, diff_members
from amplitude_cohort_s3.errors import (
    ConfigurationError,
    MalformedCsvError,
    MemberFileError,
    MemberFileNotFoundError,
)
from amplitude_cohort_s3.sources import MemberFiles
from amplitude_cohort_s3.sources._file_patterns import Pattern, split_pattern
from amplitude_cohort_s3.sources.file_set import member_files

on_posix = pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")


def ids_of(members):
    with diff_members((), members, schema=RowSchema()) as diff:
        return "".join(row[0] for row in diff.rows("entering"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"amplitude_id\n{text}\n")


@pytest.fixture
def unload(tmp_path):
    write(tmp_path / "unload" / "a.csv", "1")
    write(tmp_path / "unload" / "day" / "b.csv", "2")
    return tmp_path / "unload"


@on_posix
def test_folders_and_files_behind_links_count(unload, tmp_path):
    write(tmp_path / "elsewhere" / "c.csv", "3")
    write(tmp_path / "d.csv", "4")
    (unload / "linked").symlink_to(tmp_path / "elsewhere")
    (unload / "d.csv").symlink_to(tmp_path / "d.csv")
    assert ids_of(MemberFiles(unload)) == ids_of(MemberFiles(unload / "**" / "*.csv")) == "1234"
    assert ids_of(MemberFiles(unload / "*" / "*.csv")) == "23"


@on_posix
def test_loops_of_links_end(unload):
    for number in range(8):
        (unload / f"loop{number}").symlink_to(unload)
        (unload / "day" / f"up{number}").symlink_to(unload)
    for files in (MemberFiles(unload), MemberFiles(unload / "**" / "**" / "*.csv")):
        assert len([*files.files()]) == 2
        assert ids_of(files) == "12"


@on_posix
def test_a_link_to_nothing_is_an_error(unload, tmp_path):
    (unload / "part.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(MemberFileNotFoundError, match=r"part\.csv"):
        ids_of(MemberFiles(unload))
    (unload / "part.csv").unlink()
    (unload / "self.csv").symlink_to(unload / "self.csv")
    with pytest.raises(MemberFileError):
        ids_of(MemberFiles(unload))


@on_posix
def test_a_pipe_in_a_folder_is_not_a_file(unload):
    os.mkfifo(unload / "pipe.csv")
    assert ids_of(MemberFiles(unload)) == "12"


@on_posix
@pytest.mark.parametrize("part", ["day", "day/b.csv"])
@pytest.mark.parametrize("pattern", ["", "*/*.csv", "**/*.csv"])
def test_a_folder_or_file_without_access_is_an_error(part, pattern):
    # Another user can't reach the folders of pytest.
    with tempfile.TemporaryDirectory() as folder:
        unload = Path(folder, "unload")
        write(unload / "a.csv", "1")
        write(unload / "day" / "b.csv", "2")
        Path(folder).chmod(0o755)
        stderr = without_access(unload, part, pattern)
    assert f"MemberFileError: the member file '{unload / part}'" in stderr
    assert "Permission denied" in stderr


def without_access(unload, part, pattern):
    """Return what is printed if a program that is not root reads the files."""
    program = f"""
import os
from amplitude_cohort_s3 import RowSchema
from amplitude_cohort_s3.sources import MemberFiles
if os.geteuid() == 0:
    os.seteuid(65534)
for file in MemberFiles(os.path.join({str(unload)!r}, {pattern!r})).files():
    b"".join(file.csv_source(RowSchema()).chunks())
"""
    (unload / part).chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
    finally:
        (unload / part).chmod(0o755)
    return done.stderr


def test_a_file_that_disappears_after_the_listing_is_an_error(unload):
    listed = MemberFiles(unload).files()
    first = next(listed)
    (unload / "day" / "b.csv").unlink()
    assert ids_of(first) == "1"
    with pytest.raises(MemberFileNotFoundError, match=r"b\.csv"):
        ids_of(next(listed))


def test_a_file_may_have_no_rows_but_not_no_header(unload):
    (unload / "c.csv").write_text("userID,amplitudeID\n")
    assert ids_of(MemberFiles(unload)) == "12"
    (unload / "c.csv").write_bytes(b"")
    with pytest.raises(MalformedCsvError, match=r"c\.csv.*is empty and has no header"):
        ids_of(MemberFiles(unload))


def test_each_file_may_spell_its_ids_in_another_way(unload):
    (unload / "c.csv").write_text('"USERID"," Amplitude_ID "\nann,3\n')
    (unload / "d.csv").write_text("\ufeffamplitudeID\r\n4\r\n")
    assert ids_of(MemberFiles(unload)) == "1234"


def test_hidden_names_are_read_only_if_the_pattern_names_them(unload):
    write(unload / "_tmp" / "c.csv", "3")
    write(unload / ".d.csv", "4")
    assert ids_of(MemberFiles(unload)) == ids_of(MemberFiles(unload / "**")) == "12"
    assert ids_of(MemberFiles(unload / "_*" / "*")) == "3"
    assert ids_of(MemberFiles(unload / ".*")) == "4"
    assert ids_of(MemberFiles(unload / "_tmp")) == "3"


def test_a_pattern_that_ends_in_a_slash_is_a_folder(unload):
    assert ids_of(MemberFiles(f"{unload}/d*/")) == "2"


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(unload, monkeypatch):
    monkeypatch.chdir(unload)
    write(Path("x[1].csv"), "9")
    write(Path("[ab]/e.csv"), "8")
    assert ids_of(member_files("x[1].csv")) == "9"
    assert ids_of(member_files("[ab]")) == "8"


def test_a_long_pattern_takes_no_long_time(unload):
    deep = unload.joinpath(*["d"] * 20)
    write(deep / "c.csv", "3")
    assert ids_of(MemberFiles(f"{unload}/" + "**/" * 200 + "*" * 50 + "c.csv")) == "3"
    assert split_pattern("**/" * 500 + "x")[1].matches("a/" * 500 + "y") is False


@pytest.mark.parametrize("pattern", ["[z-a]", "[", "[!]", "a[\\d]"])
def test_odd_classes_have_the_meaning_of_fnmatch(pattern):
    assert not split_pattern(pattern)[1].matches("ax")
    assert not split_pattern("a[!b]c")[1].matches("a/c")
    assert split_pattern("[^a]x")[1].matches("ax")


NAMES = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4)
PARTS = st.lists(st.sampled_from(["a", "b", "*", "**", "?", "[ab]", "a*"]), min_size=1, max_size=4)


@given(NAMES, PARTS)
def test_a_pattern_matches_as_if_each_way_were_tried(names, parts):
    def fits(names, parts):
        if not parts:
            return not names
        if parts[0] == "**":
            return fits(names, parts[1:]) or (bool(names) and fits(names[1:], parts))
        return (
            bool(names) and PurePosixPath(names[0]).match(parts[0]) and fits(names[1:], parts[1:])
        )

    assert Pattern(tuple(parts)).matches("/".join(names)) == fits(names, parts)


@pytest.mark.parametrize("secret", ["SEKRET", "SE/KRET", "SE?K#R@ET"])
@pytest.mark.parametrize("rest", ["unload/", "unload/*.csv"])
def test_credentials_in_a_location_are_refused_and_not_shown(secret, rest):
    location = f"s3://AKIA:{secret}@bucket/{rest}"
    with pytest.raises(ConfigurationError) as caught:
        MemberFiles(location)
    assert str(caught.value).startswith(f"MemberFiles: 's3://bucket/{rest}' has credentials")
    assert "KRET" not in repr(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "https://host/members/",
        "https://host/m.csv?a=[1]*",
        "ftp://[::1]/m.csv",
        "azure://c/m.csv?sig=x",
        "s3://bucket/m.csv?versionId=a*b",
        "s3://key:secret@bucket/m.csv",
    ],
)
def test_a_location_of_one_file_is_not_listed(location):
    assert member_files(location).location == location


@pytest.mark.parametrize("text", ["x" * 5000, "[" + "x" * 5000, "a\0b", "a\0/*", "x" * 300 + "/*"])
def test_a_text_that_is_no_location_is_an_error_about_a_file(unload, monkeypatch, text):
    monkeypatch.chdir(unload)
    with pytest.raises(MemberFileError):
        ids_of(member_files(text))
    with pytest.raises(MemberFileError):
        ids_of(MemberFiles(text))


def test_an_empty_text_is_not_the_current_folder(unload, monkeypatch):
    monkeypatch.chdir(unload)
    for files in (member_files, MemberFiles):
        with pytest.raises(ConfigurationError, match="location is empty"):
            ids_of(files(""))


def test_parameters_for_local_files_are_refused(unload):
    with pytest.raises(ConfigurationError, match="transport_params are for URIs"):
        MemberFiles(unload, transport_params={"client": object()})


def test_the_record_names_each_of_a_few_files(unload):
    def origin(*locations):
        return MemberFiles(locations).csv_source(RowSchema()).origin["files"]

    assert origin("x/a.csv", "y/b.csv") == "a.csv, b.csv"
    assert origin("s3://bucket/unload/", "y/*.csv") == "unload, *.csv"
    assert origin(*"abcde") == "a, b, c and 2 others"
