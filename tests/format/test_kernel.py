"""The native kernel does what the Python code does, or leaves it to that code.

The installed kernel is tested, or a build of the sources if the package was installed without
it. `kernel_calls` computes what each call must return.
"""

import ast
import mmap
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_calls import (
    CanonizeCall,
    CheckCall,
    ColumnsCall,
    CountFilledCall,
    CountLineEndsCall,
    JoinCall,
    KeysCall,
    PartitionCall,
    ReadSpansCall,
    SidesCall,
    StaysCall,
)
from kernel_cases import edge_calls, random_calls

from amplitude_cohort_s3.format import _kernel_loading as kernel_loading
from amplitude_cohort_s3.format._kernel_loading import INTERFACE

# Bytes with a meaning for the kernel, whole characters, and parts of characters.
TOKENS = [b",", b"\n", b'"', b"\r", b"\0", b"\xc3", b"\xa9", b"\xf0\x9f\x98\x80", b"\xed\xa0"]
TOKENS += [b"a", b"b", b"7", b".", b"12345678", b'""', b'","', b"\r\n"]

hostile_bytes = st.one_of(
    st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join), st.binary(max_size=60)
)
widths = st.integers(2, 4)


@given(source=st.randoms(use_true_random=False))
def test_results_are_those_of_the_python_code(kernel, source):
    for call in random_calls(source):
        assert call.run(kernel) == call.expected(), call


@given(data=st.data(), lines=hostile_bytes, other=hostile_bytes, width=widths)
def test_any_bytes_have_the_expected_result_or_none(kernel, data, lines, other, width):
    key = data.draw(st.integers(0, width - 1))
    bounds = st.one_of(st.none(), hostile_bytes)
    heads = data.draw(st.sets(st.binary(min_size=8, max_size=8), max_size=4))
    join = JoinCall(
        before=lines,
        now=other,
        width=width,
        key=key,
        begin=data.draw(bounds),
        end=data.draw(bounds),
        is_sorted=data.draw(st.booleans()),
        meaning=data.draw(st.integers(0, 2)),
    )
    heads = tuple(sorted(head.replace(b"\0", b"\1") for head in heads))
    calls = [
        PartitionCall(lines=lines, width=width, key=key, heads=tuple(dict.fromkeys(heads))),
        join,
        CanonizeCall(rows=lines, width=width, out_size=data.draw(st.integers(0, 200))),
        CountFilledCall(lines=lines, width=width),
        CountLineEndsCall(lines),
        CheckCall(lines=lines, width=width, key=key, after=other),
        KeysCall(lines=lines, width=width, key=key, out_size=data.draw(st.integers(0, 60))),
        SidesCall((lines, other, lines[: len(other)])),
        ColumnsCall(
            lines=lines,
            width=width,
            stride=data.draw(st.integers(1, 30)),
            as_views=data.draw(st.booleans()),
        ),
        StaysCall(
            sides=tuple(
                (of, data.draw(st.integers(0, 9)), data.draw(st.integers(0, 2)), more)
                for of, more in ((lines, data.draw(st.booleans())), (other, False))
            ),
            width=width,
            key=key,
        ),
    ]
    for call in calls:
        assert call.run(kernel) == call.expected(), call


def test_results_at_the_edge_of_a_buffer_are_those_of_the_python_code(kernel, record_property):
    calls = [call for call in edge_calls() if is_possible(call)]
    for call in calls:
        assert call.run(kernel) == call.expected(), call
    record_property("cases", len(calls))


def is_possible(call):
    """Return whether the module allows the arguments of a call."""
    if isinstance(call, ColumnsCall):
        return call.stride > 0
    if isinstance(call, ReadSpansCall):
        return call.out_size == ReadSpansCall.of(call.file, *call.spans).out_size
    is_partition = isinstance(call, PartitionCall)
    return not is_partition or (call.out_size is None and len(call.heads) < (1 << 16) - 1)


HEADS = b"a".ljust(8, b"\0")
TOO_MANY_HEADS = b"".join(n.to_bytes(8, "big") for n in range(1, 1 << 16))
OUT = bytearray(10)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("partition", (b"1,a", OUT, 1, 0, b"", b"")),
        ("partition", (b"1,a", OUT, 1 << 16, 0, b"", b"")),
        ("partition", (b"1,a", OUT, -2, 0, b"", b"")),
        ("partition", (b"1,a", OUT, 2, 2, b"", b"")),
        ("partition", (b"1,a", OUT, 2, -1, b"", b"")),
        ("partition", (b"1,a", OUT, 2, 0, b"", b"1234567")),
        ("partition", (b"1,a", OUT, 2, 0, b"", HEADS + HEADS)),
        ("partition", (b"1,a", OUT, 2, 0, b"", TOO_MANY_HEADS)),
        ("partition", (b"1,a", bytearray(2), 2, 0, b"", b"")),
        ("partition", (OUT, OUT, 2, 0, b"", b"")),
        ("partition", (memoryview(OUT)[5:], memoryview(OUT)[:6], 2, 0, b"", b"")),
        ("join", (b"", b"", 1, 0, None, None, False, 0, 9)),
        ("join", (b"", b"", 2, 2, None, None, False, 0, 9)),
        ("join", (b"", b"", 2, 0, None, None, 0, 3, 9)),
        ("join", (b"", b"", 2, 0, None, None, 0, -1, 9)),
        ("canonize", (b"", OUT, 1, None)),
        ("canonize", (OUT, OUT, 2, None)),
        ("count_filled", (b"", 1)),
        ("count_filled", (b"", 1 << 30)),
        ("check", (b"", 1, 0, b"")),
        ("check", (b"", 2, 2, b"")),
        ("keys", (b"", OUT, 2, -1)),
        ("keys", (OUT, OUT, 2, 0)),
        ("sides", (b"1\n",) * 9),
        ("columns", (b"", OUT, 1, 1, False)),
        ("columns", (b"", OUT, 2, 0, False)),
        ("columns", (b"", OUT, 2, -1, True)),
        ("columns", (OUT, OUT, 2, 1, True)),
        ("stays", ((b"1,a",), bytes(4), b"\1", OUT, 1, 0)),
        ("stays", ((b"1,a",), bytes(4), b"\1", OUT, 2, 2)),
        ("stays", ((b"1,a",), bytes(4), b"\3", OUT, 2, 0)),
        ("stays", ((b"1,a",), bytes(4), b"\x08", OUT, 2, 0)),
        ("stays", ((b"1,a",), bytes(3), b"\1", OUT, 2, 0)),
        ("stays", ((b"1,a",), bytes(4), b"", OUT, 2, 0)),
        ("stays", ((b"1,a", OUT), bytes(8), b"\0\1", OUT, 2, 0)),
    ],
)
def test_arguments_without_a_meaning_are_refused(kernel, function, arguments):
    with pytest.raises(ValueError, match=r"must"):
        getattr(kernel, function)(*arguments)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("partition", ("1,a", OUT, 2, 0, b"", b"")),
        ("partition", (b"1,a", bytes(9), 2, 0, b"", b"")),
        ("partition", (b"1,a", memoryview(OUT)[::2], 2, 0, b"", b"")),
        ("partition", (memoryview(b"1,a")[::2], OUT, 2, 0, b"", b"")),
        ("partition", (b"1,a", OUT, 2, 0, bytearray(1), b"")),
        ("partition", (b"1,a", OUT, 2, 0, b"", bytearray(8))),
        ("join", (b"", b"", 2, 0, bytearray(b"1"), None, False, 0, 9)),
        ("join", (b"", b"", 2, 0, None, bytearray(b"1"), False, 0, 9)),
        ("canonize", (b"", bytes(9), 2, None)),
        ("canonize", (b"", OUT, 2, bytearray(b"\0"))),
        ("count_filled", (None, 2)),
        ("check", ("1,a", 2, 0, b"")),
        ("check", (b"1,a", 2, 0, None)),
        ("keys", (b"1,a", bytes(9), 2, 0)),
        ("sides", (b"1\n", "1\n")),
        ("sides", (b"1\n", memoryview(OUT)[::2])),
        ("columns", (b"", bytes(9), 2, 1, False)),
        ("columns", ("", OUT, 2, 1, True)),
        ("stays", ([b"1,a"], bytes(4), b"\1", OUT, 2, 0)),
        ("stays", ((b"1,a", "2,b"), bytes(8), b"\1\2", OUT, 2, 0)),
        ("stays", ((b"1,a",), bytes(4), b"\1", bytes(9), 2, 0)),
    ],
)
def test_only_buffers_of_consecutive_bytes_are_read_and_written(kernel, function, arguments):
    with pytest.raises((TypeError, BufferError)):
        getattr(kernel, function)(*arguments)


def test_lines_may_be_in_any_buffer(kernel):
    lines = b"1,a,x\n3,b,\n2,c,z\n"
    expected = PartitionCall(lines=lines, width=3, key=0).run(kernel)
    with mmap.mmap(-1, len(lines)) as mapped:
        mapped[:] = lines
        for buffer in (bytearray(lines), memoryview(b"?" + lines)[1:], mapped):
            call = PartitionCall(lines=buffer, width=3, key=0)
            assert call.run(kernel) == expected


def test_at_most_max_conflicts_conflicting_keys_are_returned(kernel):
    rows = b"".join(b"%d,a\n%d,b\n" % (n, n) for n in range(10, 30))
    result = kernel.join(b"", rows, 2, 0, None, None, 0, 0, 3)
    assert result[3:5] == (20, ["10", "11", "12"])


def test_eight_sides_are_merged_until_one_has_no_key_left(kernel):
    texts = [b"".join(b"%d\n" % n for n in range(side, 9)) for side in range(8)]
    counts, rests = kernel.sides(*texts)
    assert list(counts) == [*(((1 << n) - 1, 1) for n in range(1, 8)), (255, 2)]
    assert rests == tuple(map(len, texts))


def test_equal_files_are_one_object(kernel):
    joined = kernel.join(b"", b"1,a\n2,b\n", 2, 0, None, None, 0, 0, 9)
    everyone, entering, existing = joined[5], joined[6], joined[8]
    assert everyone is entering is existing


# --- Memory ------------------------------------------------------------------------------


def test_a_failing_allocation_of_python_is_a_memory_error(kernel):
    testcapi = pytest.importorskip("_testcapi", reason="this Python has no test modules")
    rows = b"1,a,x\n1,b,y\n2,c,z\n"
    calls = [
        lambda: kernel.partition(rows, OUT_100, 3, 0, b"", HEADS),
        lambda: kernel.join(rows, b"1,a,x\n3,c,\n3,d,\n", 3, 0, None, None, 0, 2, 9),
        lambda: kernel.canonize(rows, OUT_100, 3, None),
        lambda: kernel.count_filled(rows, 3),
        lambda: kernel.check(rows, 3, 0, b""),
        lambda: kernel.keys(rows, OUT_100, 3, 0),
        lambda: kernel.sides(rows, rows[3:]),
        lambda: kernel.columns(rows, OUT_100, 3, 4, 0),
        lambda: kernel.stays((b"1,a,x\n", b"1,b,y\n"), bytes(8), b"\0\1", OUT_100, 3, 0),
    ]
    failures = 0
    for call in calls:
        expected = call()
        for n in range(60):
            testcapi.set_nomemory(n, n + 1)
            try:
                result = call()
            except MemoryError:
                failures += 1
                continue
            finally:
                testcapi.remove_mem_hooks()
            assert result == expected
    assert failures > 5


OUT_100 = bytearray(100)


# --- The state -----------------------------------------------------------------------------


def test_the_number_of_the_interface_changes_with_its_signatures():
    tree = ast.parse(Path(kernel_loading.__file__).with_name("_kernel.pyi").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    signatures = "".join(f"{one.name}({ast.unparse(one.args)})" for one in functions)
    assert zlib.crc32(signatures.encode()) % 2**31 == INTERFACE


def test_a_build_of_the_sources_has_the_number_of_the_interface(kernel):
    assert kernel.INTERFACE == INTERFACE


@pytest.mark.parametrize(
    ("code", "variable", "state"),
    [
        ("", "0", "disabled"),
        ("sys.modules['amplitude_cohort_s3.format._kernel'] = None", "", "not built"),
        ("sys.modules['amplitude_cohort_s3.format._kernel'] = sys", "", "outdated"),
        (
            f"sys.INTERFACE = {INTERFACE}\nsys.modules['amplitude_cohort_s3.format._kernel'] = sys",
            "",
            "in use",
        ),
    ],
)
def test_kernel_state_says_why_the_kernel_is_not_in_use(code, variable, state):
    code = f"import sys\n{code}\nfrom amplitude_cohort_s3.format import kernel_state\n"
    environment = {**os.environ, "AMPLITUDE_COHORT_S3_KERNEL": variable}
    command = [sys.executable, "-c", f"{code}print(kernel_state())"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{state}\n"
