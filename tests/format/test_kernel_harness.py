"""The C code of the native kernel: in the harness without Python, and with failing allocations.

These tests build the sources, and do not depend on the version of Python.
"""

import ctypes
import os
import random
import shutil

import pytest
from kernel_build import (
    HAS_COMPILER,
    SOURCES,
    build_harness,
    build_module,
    load_module,
    run_harness,
)
from kernel_cases import edge_calls, harness_calls, random_calls

# Clang finds what gcc does not, such as arithmetic with a null pointer.
COMPILERS = ["cc", "clang"] if "KERNEL_TARGETS" in os.environ else ["cc"]

ROUNDS = int(os.environ.get("KERNEL_ROUNDS", "100"))
"""The number of random calls of each function that the harness makes."""

needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="no C compiler is installed")


def test_the_build_compiles_every_source():
    text = SOURCES.with_name("CMakeLists.txt").read_text(encoding="utf-8")
    for path in SOURCES.glob("*.c"):
        assert f"kernel/{path.name}" in text


@needs_compiler
def test_a_failing_allocation_is_a_memory_error_and_loses_no_memory(tmp_path):
    path = build_module(tmp_path, failing_allocations=True)
    kernel, library = load_module(path), ctypes.CDLL(str(path))
    before_failure = ctypes.c_long.in_dll(library, "allocations_before_failure")
    blocks_in_use = ctypes.c_long.in_dll(library, "blocks_in_use")
    source, failures = random.Random(1), 0
    for call in [call for _ in range(30) for call in random_calls(source)]:
        for n in range(100):
            before_failure.value = n
            try:
                result = call.run(kernel)
            except MemoryError:
                failures += 1
                result = None
            has_failed = before_failure.value < 0
            before_failure.value = -1
            assert blocks_in_use.value == 0, call
            if not has_failed:
                assert result == call.expected(), call
                break
        else:
            raise AssertionError(call)
    assert failures > 100


# --- The harness ----------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_sanitizers_find_nothing(compiler, tmp_path, record_property):
    require_programs(compiler)
    build_harness(tmp_path / "harness", compiler=compiler)
    calls = harness_calls(ROUNDS)
    run_harness([tmp_path / "harness"], calls)
    record_property("cases", len(calls))


@pytest.mark.parametrize(
    ("name", "is_big_endian"), [("aarch64", False), ("s390x", True)], ids=["arm", "big-endian"]
)
def test_results_on_another_processor_are_the_same(name, is_big_endian, tmp_path, record_property):
    needed = [f"{name}-linux-gnu-gcc", f"qemu-{name}"]
    require_programs(*needed)
    build_harness(tmp_path / "harness", "-O3", compiler=needed[0])
    header = (tmp_path / "harness").read_bytes()[:6]
    assert header == b"\x7fELF\x02" + (b"\x02" if is_big_endian else b"\x01")
    calls = harness_calls(ROUNDS)
    run_harness([needed[1], "-L", f"/usr/{name}-linux-gnu", tmp_path / "harness"], calls)
    record_property("cases", len(calls))


@needs_compiler
def test_results_without_extensions_of_the_compiler_are_the_same(tmp_path):
    build_harness(tmp_path / "harness", "-O1 -DKERNEL_PORTABLE -fsanitize=address,undefined")
    run_harness([tmp_path / "harness"], edge_calls())


def require_programs(*names):
    missing = [name for name in names if not shutil.which(name)]
    if missing and "KERNEL_TARGETS" in os.environ:
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
