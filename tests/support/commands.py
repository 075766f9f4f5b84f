"""The command in this process: a process of its own takes 0.3 s to start."""

import io
import os
import sys

import pytest
from attrs import frozen

from amplitude_cohort_s3.cli.main import main


@frozen
class Ended:
    """What a command returned and printed."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments, env=None, input=""):  # noqa: A002 -- as in subprocess.run
    """Run the command with other variables and standard input, and return how it ended."""
    printed = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("out", "err")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
        patch.setattr(sys, "stdout", printed["out"])
        patch.setattr(sys, "stderr", printed["err"])
        for name in os.environ.keys() - (env or os.environ).keys():
            patch.delenv(name)
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # from the parser of the command line
            code = ended.code
    texts = []
    for stream in printed.values():
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return Ended(code, *texts)
