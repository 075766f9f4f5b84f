"""The exit codes of the command."""

from enum import IntEnum

from ..errors import (
    AmplitudeBusyError,
    AmplitudeUnavailableError,
    ConcurrentSyncError,
    ConfigurationError,
    ExportChangedError,
    ExportExpiredError,
    ExportFailedError,
    ExportIncompleteError,
    ExportTimeoutError,
    MassExitError,
    StoreUnavailableError,
    SyncVoidError,
    UnfinishedSyncError,
    UnknownOutcomeError,
)


class ExitCode(IntEnum):
    """What a scheduler learns from the command's end."""

    DONE = 0
    """Done, or nothing was to do."""
    FAILED = 1
    """It went wrong, and would again; or several syncs failed for different reasons."""
    USAGE = 2
    """The command line, the configuration or the environment is wrong; nothing was begun."""
    MASS_EXIT = 3
    """The exit guard refused: so many members would leave that the source looks broken."""
    FINDINGS = 4
    """``verify`` found something."""
    RETRY = 75
    """Another writer, the store or Amplitude was in the way: run the same again.
    (``EX_TEMPFAIL`` of ``sysexits.h``.)"""
    INTERRUPTED = 130
    """Ctrl-C. Nothing is half visible; the next run goes on."""
    BROKEN_PIPE = 141
    """Whoever read the output stopped to."""
    TERMINATED = 143
    """A SIGTERM, as Ctrl-C."""


_RETRY = (
    AmplitudeBusyError,
    AmplitudeUnavailableError,
    ConcurrentSyncError,
    ExportChangedError,
    ExportExpiredError,
    ExportFailedError,
    ExportIncompleteError,
    ExportTimeoutError,
    StoreUnavailableError,
    SyncVoidError,
    UnfinishedSyncError,
    UnknownOutcomeError,
)


def exit_code(error: BaseException) -> ExitCode:
    """The code for an error.

    >>> exit_code(MassExitError(10, 10, 0))
    <ExitCode.MASS_EXIT: 3>
    """
    if isinstance(error, ConfigurationError):
        return ExitCode.USAGE
    if isinstance(error, MassExitError):
        return ExitCode.MASS_EXIT
    return ExitCode.RETRY if isinstance(error, _RETRY) else ExitCode.FAILED
