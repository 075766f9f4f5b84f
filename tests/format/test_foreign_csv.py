"""Files of other programs: each is read as it is meant, or refused at its line with the cause."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
import time
import zipfile

import pytest
from backports import zstd
from hypothesis import example, given
from hypothesis import strategies as st

from amplitude_cohort_s3 import MemberFile, RowSchema, diff_members, errors
from amplitude_cohort_s3.diff import PartitionEngine
from amplitude_cohort_s3.errors import MalformedCsvError
from amplitude_cohort_s3.format import csv_blocks
from amplitude_cohort_s3.format.csv_blocks import read_blocks
from amplitude_cohort_s3.format.reader import read_table
from amplitude_cohort_s3.sources import CsvSource

TWO = ("amplitude_id", "user_id")
PLAN = RowSchema(properties=("plan",))
BOM = b"\xef\xbb\xbf"
HEAD = b"amplitudeID,userID\n"


def table(data, **options):
    """Return the columns and rows of a file."""
    read = read_table([data], **options)
    return read.columns, [row for batch in read.batches for row in batch]


def source(data):
    return CsvSource(chunks=lambda: iter([data]), file="members.csv")


def refusal(data, **options):
    with pytest.raises(MalformedCsvError) as caught:
        table(data, **options)
    return caught.value


# --- Line ends --------------------------------------------------------------------------

# Bytes with a CR outside of quotes, and the first line of the row.
LONE_CRS = {
    "an old Mac": (b"amplitudeID,userID\r1,ann\r2,bob\r", 1),
    "an old Mac with quotes": (b'"amplitudeID","userID"\r"1","ann"\r', 1),
    "a Mac header over LF": (b"amplitudeID,userID\r1,ann\n2,bob\n", 1),
    "CR CR LF": (b"amplitudeID,userID\r\r\n1,ann\r\r\n", 1),
    "CR CR LF in one row": (HEAD + b"1,ann\n2,bob\r\r\n", 3),
    "CR CR LF after a quote": (HEAD + b'1,"ann"\r\r\n', 2),
    "in a cell": (HEAD + b"1,a\rb\n", 2),
    "at the begin of a row": (HEAD + b"1,a\n\r2,b\n", 3),
    "before a comma": (HEAD + b"1\r,a\n", 2),
    "at the end of the file": (HEAD + b"1,a\n2,b\r", 3),
    "alone in the last line": (HEAD + b"1,a\n\r", 3),
    "after a row of two lines": (HEAD + b'1,"a\nb"\n2,c\rd\n', 4),
    "after a quoted cell": (HEAD + b'1,"a"\r2,b\n', 2),
    "in one column": (b"user_id\na\rb\n", 2),
}


@pytest.mark.parametrize("canonical", [False, True])
@pytest.mark.parametrize(("data", "line"), LONE_CRS.values(), ids=LONE_CRS)
def test_a_cr_outside_of_quotes_is_refused_at_its_line(data, line, canonical):
    error = refusal(data, canonical=canonical)
    assert error.line == line
    assert "CR" in error.rule
    assert "LF" in error.hint


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
@pytest.mark.parametrize("columns", [{}, {"amplitudeID": "amplitude_id"}])
def test_a_member_file_of_an_old_mac_is_refused_and_named(tmp_path, pack, columns):
    path = tmp_path / "mac.csv"
    path.write_bytes(pack(LONE_CRS["an old Mac"][0]))
    with pytest.raises(MalformedCsvError, match="CR") as caught:
        diff_members((), MemberFile(path, columns=columns), schema=RowSchema())
    assert (caught.value.line, caught.value.file) == (1, str(path))


def test_a_large_file_of_an_old_mac_is_not_refused_for_the_size_of_its_row(monkeypatch):
    monkeypatch.setattr(csv_blocks, "MAX_ROW_BYTES", 1 << 17)
    assert "CR" in refusal(b"amplitudeID,userID\r" + b"1,ann\r" * 100_000).rule


@pytest.mark.parametrize("workers", [1, 2])
def test_every_thread_of_the_engine_refuses_a_lone_cr(workers):
    rows = b"".join(b"%d,u%d\n" % (n, n) for n in range(60_000))
    data = HEAD + rows + b"x,y\r\nz,\rz\n"
    engine = PartitionEngine(workers=workers, batch_bytes=1 << 16)
    with pytest.raises(MalformedCsvError) as caught:
        diff_members((), source(data), schema=RowSchema(), engine=engine)
    assert (caught.value.line, caught.value.file) == (60_003, "members.csv")


# --- Other formats ----------------------------------------------------------------------


def packed(kind, data=HEAD + b"1,ann\n", name="members.csv"):
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, data)
    elif kind == "tar":
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


TEXT = "amplitude_id,user_id\n1,ann\n"

# Bytes, and the word by which the error calls them.
OTHER_FORMATS = {
    "zip": (packed("zip"), "zip"),
    "empty zip": (packed("zip")[-22:], "zip"),
    "workbook": (packed("zip", b"<xml/>", "xl/workbook.xml"), "workbook"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "workbook"),
    "bzip2": (bz2.compress(TEXT.encode()), "bzip2"),
    "empty bzip2": (bz2.compress(b""), "bzip2"),
    "xz": (lzma.compress(TEXT.encode()), "xz"),
    "LZMA": (lzma.compress(TEXT.encode(), lzma.FORMAT_ALONE), "LZMA"),
    "gzip": (gzip.compress(TEXT.encode()), "gzip"),
    "tar": (packed("tar"), "tar"),
    "UTF-16": (TEXT.encode("utf-16"), "UTF-16"),
    "UTF-16, big": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16"),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "UTF-16"),
    "UTF-16, big, without a mark": (TEXT.encode("utf-16-be"), "UTF-16"),
    "UTF-32": (TEXT.encode("utf-32"), "UTF-32"),
    "UTF-32 without a mark": (TEXT.encode("utf-32-le"), "UTF-32"),
    "web page": (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page"),
    "web page in capitals": (b"\r\n <HTML lang=en>", "web page"),
    "web page with a mark": (BOM + b"<html>", "web page"),
    "error of a store": (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "XML"),
    "JSON": (json.dumps([{"amplitude_id": "1"}]).encode(), "JSON"),
    "JSON lines": (b'{"amplitude_id": "1"}\n{"amplitude_id": "2"}\n', "JSON"),
    "Parquet": (b"PAR1\x15\x04\x15\x10" + bytes(20), "Parquet"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
}


@pytest.mark.parametrize(("data", "word"), OTHER_FORMATS.values(), ids=OTHER_FORMATS)
def test_another_format_is_named(data, word):
    error = refusal(data)
    assert (error.line, word in error.rule) == (1, True)
    assert error.hint


@pytest.mark.parametrize("header", ["BZh", "PAR1", "PK", "<x>", "{x}", "[x]", "Obj", "7z"])
def test_a_header_that_begins_like_another_format_is_csv(header):
    data = f"{header},amplitude_id\nx,1\n".encode()
    assert table(data) == ((header, "amplitude_id"), [("x", "1")])


@pytest.mark.parametrize("marks", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 1000])
def test_byte_order_marks_at_the_beginning_are_removed_in_chunks_of_any_size(marks, size):
    data = BOM * marks + HEAD + b"1,ann\n"
    chunks = [data[begin : begin + size] for begin in range(0, len(data), size)]
    assert list(RowSchema().decode(chunks)) == [("1", "ann")]


# --- Headers ----------------------------------------------------------------------------

# Bytes in which the header is repeated, and the line.
JOINED = {
    "the same": (HEAD + b"1,ann\n" + HEAD + b"2,bob\n", 3),
    "at once": (HEAD + HEAD, 2),
    "with a byte order mark": (BOM + HEAD + b"1,ann\n" + BOM + HEAD, 3),
    "with CRLF": (b"amplitude_id,user_id\r\n1,a\r\n\r\namplitude_id,user_id\r\n", 4),
    "in quotes": (b'"amplitude_id","user_id"\n"1","a"\n"amplitude_id","user_id"\n', 3),
    "in another style": (HEAD + b"1,ann\namplitude_id,user_id\n", 3),
    "in capitals": (b"AMPLITUDE_ID,USER_ID\n1,a\nAMPLITUDE_ID,USER_ID\n", 3),
    "with other properties": (b"amplitudeID,userID,a\n1,x,y\namplitudeID,userID,b\n", 3),
    "in another order": (b"amplitudeID,userID,plan\n1,a,p\nuserID,amplitudeID,plan\n", 3),
    "with the ids last": (b"amplitudeID,userID,plan\n1,a,p\nplan,user_id,amplitude_id\n", 3),
    "only Amplitude ids, last": (b"amplitude_id,plan\n1,p\nplan,amplitude_id\n", 3),
    "only user ids, last": (b"user_id,plan\na,p\nplan,user_id\n", 3),
    "after TABs": (b"\tamplitude_id,\tuser_id\n\t1,\ta\n\tamplitude_id,\tuser_id\n", 3),
    "only Amplitude ids": (b"plan,amplitude_id\np,1\nplan,amplitude_id\n", 3),
    "only user ids": (b"user_id,plan\na,p\nuser_id,plan\n", 3),
    "one column": (b"user_id\na\nuser_id\n", 3),
    "an id twice": (b"amplitude_id,amplitude_id\n1,1\namplitude_id,amplitude_id\n", 3),
}


@pytest.mark.parametrize(("data", "line"), JOINED.values(), ids=JOINED)
def test_a_header_in_the_middle_is_refused_at_its_line(data, line):
    error = refusal(data)
    assert (error.line, "header again" in error.rule) == (line, True)
    key = "amplitude_id" if b"mplitude" in data.lower() else "user_id"
    with pytest.raises(MalformedCsvError, match="header again"):
        diff_members((), source(data), schema=RowSchema(key=key))


def test_a_header_in_the_middle_is_found_after_columns_were_renamed(tmp_path):
    path = tmp_path / "joined.csv"
    path.write_bytes(b"\nid,name\n1,ann\n" * 2)
    file = MemberFile(path, columns={"id": "amplitude_id", "name": "user_id"})
    with pytest.raises(MalformedCsvError, match="header again") as caught:
        diff_members((), file, schema=RowSchema())
    assert (caught.value.line, caught.value.file) == (5, str(path))


def test_a_cell_that_is_the_name_of_a_column_is_not_a_header():
    data = HEAD + b"1,userID\n2,amplitudeID\n3,user_id\n"
    assert table(data)[1] == [("1", "userID"), ("2", "amplitudeID"), ("3", "user_id")]
    data = b"amplitudeID,userID,plan\n1,userID,amplitudeID\n2,plan,user_id\n"
    assert table(data)[1] == [("1", "userID", "amplitudeID"), ("2", "plan", "user_id")]
    data = b'user_id,plan\nuser_id,pro\n"user_id,plan\nx",p\n'
    assert table(data)[1] == [("user_id", "pro"), ("user_id,plan\nx", "p")]


@pytest.mark.parametrize(
    ("data", "columns", "rows"),
    [
        (b",amplitude_id,user_id\n0,1,a\n1,2,b\n", TWO, [("1", "a"), ("2", "b")]),
        (b"amplitude_id,user_id,\n1,a,\n2,b,x\n", TWO, [("1", "a"), ("2", "b")]),
        (b"amplitude_id,,user_id,\n1,x,a,y\n", TWO, [("1", "a")]),
        (b"amplitude_id,user_id,,,,\n1,a,,,,\n", TWO, [("1", "a")]),
        (b'"","amplitude_id"\r\n"0","1"\r\n', ("amplitude_id",), [("1",)]),
        (b"\t,\tamplitude_id\n\t0,\t1\n", ("amplitude_id",), [("1",)]),
        (b'amplitude_id,\n1,"a\nb"\n', ("amplitude_id",), [("1",)]),
    ],
)
def test_a_column_without_a_name_is_ignored_and_listed(data, columns, rows):
    assert table(data) == (columns, rows)
    with diff_members((), source(data), schema=RowSchema()) as diff:
        assert diff.report.ignored_columns == ("",)
        assert [row[: len(rows[0])] for row in diff.rows("entering")] == rows


@pytest.mark.parametrize(
    ("data", "columns", "rows"),
    [
        (b"1,x,x\n2,y,y\n", ("plan",), [("x",), ("y",)]),
        (b"1,x,x\n2,y,z\n", ("plan", "plan_2"), [("x", "x"), ("y", "z")]),
        (b"1,x,\n", ("plan", "plan_2"), [("x", "")]),
        (b"1,x,y,x\n", ("plan", "plan_2"), [("x", "y")]),
        (b"1,x,x,y\n", ("plan", "plan_3"), [("x", "y")]),
        (b"1,x,y,z\n", ("plan", "plan_2", "plan_3"), [("x", "y", "z")]),
        (b"", ("plan",), []),
    ],
)
def test_repeated_properties_are_merged_if_equal_and_numbered_otherwise(data, columns, rows):
    width = data.split(b"\n")[0].count(b",") or 2
    data = b"amplitude_id" + b",plan" * width + b"\n" + data
    found = source(data).read_table()
    assert found.columns == ("amplitude_id", *columns)
    assert [row[1:] for batch in found.batches for row in batch] == rows
    with diff_members((), source(data), schema=PLAN) as diff:
        assert diff.report.ignored_columns == columns[1:]
        assert [row[2] for row in diff.rows("entering")] == [row[0] for row in rows]


def test_a_source_that_can_be_read_once_has_the_same_repeated_properties():
    chunks = iter([b"amplitude_id,plan,plan,city,city\n1,x,x,a,b\n"])
    once = CsvSource(chunks=lambda: chunks, repeatable=False)
    with diff_members((), once, schema=RowSchema(properties=("plan", "city_2"))) as diff:
        assert list(diff.rows("entering")) == [("1", "", "x", "b")]
        assert diff.report.ignored_columns == ("city",)


def test_a_repeated_property_has_a_name_that_no_other_column_has():
    data = b"amplitude_id,plan_2,plan,plan,plan\n1,a,b,c,d\n"
    assert table(data) == (
        ("amplitude_id", "plan_2", "plan", "plan_3", "plan_4"),
        [("1", "a", "b", "c", "d")],
    )


def test_the_time_of_a_header_is_linear_in_its_columns():
    def seconds(columns):
        names = [f"c{number}" for number in range(columns)]
        data = f"{','.join(['amplitude_id', *names])}\n{'1,' * columns}1\n".encode()
        begin = time.process_time()
        schema = RowSchema(properties=names[::-1])
        assert list(schema.decode([data])) == [("1", "", *"1" * columns)]
        return time.process_time() - begin

    seconds(1000)
    assert seconds(16_000) < 8 * max(seconds(4000), 0.02)


def test_an_id_column_that_repeats_must_be_equal():
    assert refusal(b"user_id,plan,userID,plan\na,x,a,y\nb,x,c,x\n").line == 3


@pytest.mark.parametrize(
    "data",
    [
        b"group_type,group_value\norg,acme\n",
        b"\tgroup_value\n\tacme\n",
        b" Group_Type, GROUP_VALUE ,plan\norg,acme,pro\n",
    ],
)
def test_a_cohort_of_groups_is_refused_as_such(data):
    error = refusal(data)
    assert "groups" in error.rule
    assert "acme" not in str(error)


# --- Every error names the file -----------------------------------------------------------

HUNDREDS = {
    "nothing": (b"", MalformedCsvError),
    "a NUL": (HEAD + b"1,\0\n", MalformedCsvError),
    "bad UTF-8": (HEAD + b"1,\xff\n", MalformedCsvError),
    "ragged": (HEAD + b"1\n", MalformedCsvError),
    "cut off": (gzip.compress(HEAD)[:-5], errors.CompressionError),
    "cut off Zstandard": (zstd.compress(HEAD)[:-2], errors.CompressionError),
    "no key": (b"userID\nann\n", errors.MissingColumnsError),
    "an empty key": (HEAD + b",ann\n", errors.EmptyKeyError),
    "two rows of one key": (HEAD + b"1,a\n1,b\n", errors.DuplicateKeyError),
}


@pytest.mark.parametrize("columns", [{}, {"userID": "user_id"}])
@pytest.mark.parametrize(("data", "kind"), HUNDREDS.values(), ids=HUNDREDS)
def test_an_error_about_a_member_file_names_it(tmp_path, data, kind, columns):
    path = tmp_path / "members.csv"
    path.write_bytes(data)
    with pytest.raises(kind) as caught:
        diff_members((), MemberFile(path, columns=columns), schema=RowSchema())
    assert caught.value.file == str(path)
    assert repr(str(path)) in str(caught.value)


# --- Long rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, 0, 1])
@pytest.mark.parametrize("cell", [b"x", b"\n", b'""', b",\n"])
def test_the_limit_of_a_row_is_exact_even_if_the_row_ends(monkeypatch, cell, size):
    limit = 1 << 18
    monkeypatch.setattr(csv_blocks, "MAX_ROW_BYTES", limit)
    body = (cell * limit)[: limit + size - len(b'2,""\n')]
    if body.replace(b'""', b"").count(b'"'):
        body = body[:-1] + b"x"
    data = HEAD + b"1,a\n" + b'2,"' + body + b'"\n' + b"3,c\n"
    if size > 0:
        error = refusal(data)
        assert (error.line, "MiB" in error.rule) == (3, True)
    else:
        rows = table(data)[1]
        assert [row[0] for row in rows] == ["1", "2", "3"]
        assert rows[1][1] == body.decode().replace('""', '"')


@pytest.mark.parametrize("cell", [b"\n", b'""\n', b",\n", b"\r\n", b'""', b"x"])
def test_the_time_of_a_row_is_linear_in_its_bytes(cell):
    def seconds(size):
        data = HEAD + b'1,"' + cell * (size // len(cell)) + b'"\n'
        begin = time.process_time()
        with diff_members((), source(data), schema=RowSchema()) as diff:
            assert diff.report.members_now == 1
        return time.process_time() - begin

    small, large = (seconds(n << 18) for n in (1, 8))
    assert large < 20 * small + 0.2


@given(st.binary(max_size=60).map(lambda data: bytes(b'"\n,a'[byte % 4] for byte in data)))
@example(b'"""\n"\n')
def test_blocks_end_after_a_line_end_that_is_not_in_quotes(data):
    for size in (1, 2, 5, 64):
        if data.count(b'"') % 2:
            with pytest.raises(MalformedCsvError, match="never closed"):
                list(read_blocks([data], size))
            continue
        blocks = list(read_blocks([data], size))
        assert b"".join(block.data for block in blocks) == data
        for block in blocks:
            assert block.data.count(b'"') % 2 == 0
        assert all(block.data.endswith(b"\n") for block in blocks[:-1])
        lines = [1 + data[: sum(b.size for b in blocks[:n])].count(b"\n") for n in range(9)]
        assert [block.first_line for block in blocks][:9] == lines[: len(blocks)]


# --- Against another reader -------------------------------------------------------------------


def simple_reader(text):
    """Read CSV character by character; return the records, or None if they are not valid."""
    records, record, cell = [], [], None
    place = 0
    while place < len(text):
        if text[place] == '"':
            if cell is not None:
                return None
            cell, place = "", place + 1
            while True:
                if place >= len(text):
                    return None
                if text[place] != '"':
                    cell, place = cell + text[place], place + 1
                elif text[place + 1 : place + 2] == '"':
                    cell, place = cell + '"', place + 2
                else:
                    place += 1
                    break
            if place < len(text) and text[place] not in ",\r\n":
                return None
        elif text[place] == ",":
            record.append(cell or "")
            cell, place = None, place + 1
            if place == len(text):
                cell = ""
        elif text[place] == "\n" or text[place : place + 2] == "\r\n":
            is_blank = not record and cell is None
            if not is_blank:
                records.append([*record, cell or ""])
            record, cell = [], None
            place += 1 if text[place] == "\n" else 2
        elif text[place] in "\r\0":
            return None
        else:
            cell, place = (cell or "") + text[place], place + 1
    if record or cell is not None:
        records.append([*record, cell or ""])
    return records


PIECES = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", "a", "é", "\t", " ", "1,b\n", '"x\ny",', "\0", "\ufeff"]
)


@given(st.lists(PIECES, max_size=25).map("".join), st.integers(1, 70))
@example('"a"', 1)
@example("1,b\n\r\n1,", 3)
def test_the_reader_agrees_with_a_simple_one_and_with_the_csv_module(text, size):
    data = ("user_id,plan\n" + text).encode()
    expected = simple_reader(text)
    if expected is not None and any(len(record) != 2 for record in expected):
        expected = None
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_blocks, "BLOCK_BYTES", size)
            _, found = table(data)
    except MalformedCsvError:
        assert expected is None
        return
    assert [list(row) for row in found] == expected
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert [row for row in lines if row] == expected
