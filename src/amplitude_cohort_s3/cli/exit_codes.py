"""The exit codes of the command."""

from enum import IntEnum

from ..errors import ConfigurationError, GuardError, RetryableError


class ExitCode(IntEnum):
    """The exit status of the command, for schedulers."""

    DONE = 0
    """Success, or nothing to do."""
    FAILED = 1
    """A failure that a retry does not solve, or failures of several syncs for several reasons."""
    USAGE = 2
    """A fault in the command line, the configuration or the environment; nothing was started."""
    GUARD = 3
    """A refusal by the guard: the sync exceeds one of its limits."""
    FINDINGS = 4
    """Findings of ``verify`` or ``report --verify``, or syncs that are overdue."""
    RETRY = 75
    """A failure that a retry may solve, as ``EX_TEMPFAIL`` of ``sysexits.h``."""
    INTERRUPTED = 130
    """Ctrl-C. No sync is partly visible, and the next run continues."""
    BROKEN_PIPE = 141
    """A closed pipe: the program that read the output has ended."""
    TERMINATED = 143
    """SIGTERM, handled like Ctrl-C."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error.

    Args:
        error: The error that a subcommand raised.

    >>> from amplitude_cohort_s3.errors import MassExitError
    >>> exit_code(MassExitError(10, 10, 0, "Guard(max_exits=10)"))
    <ExitCode.GUARD: 3>
    """
    if isinstance(error, ConfigurationError):
        return ExitCode.USAGE
    if isinstance(error, GuardError):
        return ExitCode.GUARD
    return ExitCode.RETRY if isinstance(error, RetryableError) else ExitCode.FAILED
