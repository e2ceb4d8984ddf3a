"""The errors of the service, as the caller of the code sees them. They know nothing of HTTP.

    ServiceError
    ├── InvalidInput          the request or the data is wrong; `errors` point at each place
    │   └── TooLarge          ... because it is over a limit
    ├── Unauthenticated       no token, or one that is unknown or revoked
    ├── Forbidden             the token lacks the scope; or a foreign Host or Origin
    ├── NotFound              there is no such thing
    ├── Conflict              the thing is not in a state that allows it
    │   └── PreconditionFailed    another client changed it first (If-Match)
    ├── UnsupportedMedia      a content type or file format that is not taken
    ├── Timeout               the caller's deadline passed
    ├── Overloaded            a queue or a rate limit is full; try again after `retry_after_s`
    │   └── QueueFull             ... the queue that all callers share
    └── Unavailable           a part that is needed does not answer now; try again after `retry_after_s`

`detail` is for a person: it names the field, the row and the limit and says how to fix it. It never holds a
caller's values, a path, SQL or a traceback. `app/http/problems.py` is the one place that maps kinds to status codes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One wrong place in an input.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the request body, for example `/estimator/args/hidden_units`; or
            `/file` with the line or byte offset in `detail` for an uploaded file.
        detail: what is wrong there, what was expected and how to fix it.
    """

    pointer: str
    detail: str


class ServiceError(Exception):
    """Base of all errors that are meant for the caller."""

    title = "Service error"

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_s = retry_after_s


class InvalidInput(ServiceError):
    title = "Invalid input"

    def __init__(self, detail: str = "", errors: list[FieldError] | None = None) -> None:
        self.errors = list(errors or [])
        if not detail and self.errors:
            detail = self.errors[0].detail
        super().__init__(detail)

    @classmethod
    def at(cls, pointer: str, detail: str) -> InvalidInput:
        """An input with one wrong place."""
        return cls(detail, [FieldError(pointer, detail)])


class TooLarge(InvalidInput):
    title = "Too large"


class Unauthenticated(ServiceError):
    title = "A valid token is needed"


class Forbidden(ServiceError):
    title = "Not allowed"


class NotFound(ServiceError):
    title = "Not found"


class Conflict(ServiceError):
    title = "Conflict"


class PreconditionFailed(Conflict):
    title = "Changed by another request"


class UnsupportedMedia(ServiceError):
    title = "Unsupported media type"


class Timeout(ServiceError):
    title = "Too late"


class Overloaded(ServiceError):
    title = "Overloaded"

    def __init__(self, detail: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class QueueFull(Overloaded):
    pass


class Unavailable(ServiceError):
    title = "Unavailable"

    def __init__(self, detail: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


def quote_name(name: object, limit: int = 100) -> str:
    """A caller's field name as it is written, made safe for a message: what does not print (control characters, text
    direction, half of a surrogate pair) is escaped, it is cut at `limit` characters, and in quotes."""
    text = "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape").decode("ascii")
        for character in str(name)
    )
    return "'" + (text if len(text) <= limit else text[:limit] + "...") + "'"
