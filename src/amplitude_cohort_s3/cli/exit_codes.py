"""The exit codes of the command."""

from enum import IntEnum

from ..errors import ConfigurationError, MassExitError, RetryableError


class ExitCode(IntEnum):
    """The exit status of the command, for schedulers."""

    DONE = 0
    """Success, or nothing to do."""
    FAILED = 1
    """A failure that a retry does not solve, or failures of several syncs for several reasons."""
    USAGE = 2
    """A fault in the command line, the configuration or the environment; nothing was started."""
    MASS_EXIT = 3
    """A refusal by the exit guard: more members would leave than it allows."""
    FINDINGS = 4
    """Findings of ``verify``."""
    RETRY = 75
    """A failure that a retry may solve, as ``EX_TEMPFAIL`` of ``sysexits.h``."""
    INTERRUPTED = 130
    """Ctrl-C. No sync is partly visible, and the next run continues."""
    BROKEN_PIPE = 141
    """The end of the program that read the output."""
    TERMINATED = 143
    """SIGTERM, handled like Ctrl-C."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error.

    Args:
        error: The error that a subcommand raised.

    >>> exit_code(MassExitError(10, 10, 0))
    <ExitCode.MASS_EXIT: 3>
    """
    if isinstance(error, ConfigurationError):
        return ExitCode.USAGE
    if isinstance(error, MassExitError):
        return ExitCode.MASS_EXIT
    return ExitCode.RETRY if isinstance(error, RetryableError) else ExitCode.FAILED
