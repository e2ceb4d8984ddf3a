"""Exit statuses of the command line. They are documented in docs/cli.md and part of its interface."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's status says."""

    OK = 0
    ERROR = 1  # an error that no other status names, for example a file that cannot be written
    USAGE = 2  # the command line itself is wrong: unknown option, missing argument
    REFUSED = 3  # the service refused the request: invalid fields or data, a conflict
    NOT_FOUND = 4  # what the command names does not exist
    DENIED = 5  # no token, an unknown or revoked one, or one without the scope
    UNAVAILABLE = 6  # no answer, or the service cannot do it now (429, 503): try again later
    JOB_FAILED = 7  # the job that was waited for failed
    JOB_CANCELLED = 8  # the job that was waited for was cancelled
    INTERRUPTED = 130  # Ctrl-C; a job that was watched goes on
    PIPE_CLOSED = 141  # the program that read standard output ended first (`| head`), as a shell reports SIGPIPE


def of_status(status: int) -> Exit:
    """The exit status for an HTTP status of at least 400."""
    if status in (401, 403):
        return Exit.DENIED
    if status == 404:
        return Exit.NOT_FOUND
    if status == 429 or status >= 500:
        return Exit.UNAVAILABLE
    return Exit.REFUSED
