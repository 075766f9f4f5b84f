"""The command ``amplitude-cohort-s3``."""

from .exit_codes import ExitCode, exit_code
from .main import main, script

__all__ = [
    "ExitCode",
    "exit_code",
    "main",
    "script",
]
