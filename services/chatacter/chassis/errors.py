"""What can go wrong, in words of the domain. Errors know no HTTP; `chassis.problems` maps them in one table.

ChatacterError
├── InvalidInput            the request is wrong; `param` names the field
│   ├── NotFound            what it names does not exist
│   ├── Unsupported         it exists, and cannot do what is asked
│   ├── TooLarge            the body, or something in it, is over a limit
│   └── Conflict            it contradicts what is stored
│       └── Stale           what it was written for has changed since
├── Unauthenticated         no key, or an unknown one
├── Forbidden               the key lacks a scope
├── NotBuilt                a door that exists and has nothing behind it yet
├── Unavailable             retryable: something we need is away
│   ├── Busy                the queue is full
│   └── NotReady            a model is loading, or a GPU is cold
├── DeadlineExceeded        retryable: it took longer than it was given
├── OutOfMemory             the device has no room for this request
├── UpstreamFailed          a provider answered with an error of its own
├── Cancelled               somebody asked for it to stop
└── Misconfigured           the operator has to change something; the message says what
"""

from typing import ClassVar


class ChatacterError(Exception):
    """Base of all errors that are meant. `message` tells the caller what to change; `code` is for programs."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class InvalidInput(ChatacterError):
    """The request is wrong; the message says what to change."""

    code: ClassVar[str] = "invalid_input"


class NotFound(InvalidInput):
    """What the request names does not exist."""

    code: ClassVar[str] = "not_found"


class Unsupported(InvalidInput):
    """It exists, and cannot do what is asked."""

    code: ClassVar[str] = "unsupported"


class TooLarge(InvalidInput):
    """Over a limit; the message names the limit."""

    code: ClassVar[str] = "too_large"


class Conflict(InvalidInput):
    """It contradicts what is stored, or a twin of this request is still running."""

    code: ClassVar[str] = "conflict"


class Stale(Conflict):
    """What a request was written for is no longer what is stored: its precondition failed."""

    code: ClassVar[str] = "stale"


class Unauthenticated(ChatacterError):
    """No key, or one that is not known."""

    code: ClassVar[str] = "unauthenticated"


class Forbidden(ChatacterError):
    """The key is known and lacks a scope."""

    code: ClassVar[str] = "forbidden"


class NotBuilt(ChatacterError):
    """The door exists; what belongs behind it does not yet."""

    code: ClassVar[str] = "not_built"


class Unavailable(ChatacterError):
    """Something that is needed is away for now."""

    code: ClassVar[str] = "unavailable"
    retryable: ClassVar[bool] = True


class Busy(Unavailable):
    """All places in the queue are taken."""

    code: ClassVar[str] = "busy"


class NotReady(Unavailable):
    """The model is still loading."""

    code: ClassVar[str] = "not_ready"


class DeadlineExceeded(ChatacterError):
    """It took longer than it was given."""

    code: ClassVar[str] = "deadline_exceeded"
    retryable: ClassVar[bool] = True


class OutOfMemory(ChatacterError):
    """The device has no room for this request; a smaller one may fit."""

    code: ClassVar[str] = "out_of_memory"


class UpstreamFailed(ChatacterError):
    """A provider that we asked answered with an error of its own."""

    code: ClassVar[str] = "upstream_failed"
    retryable: ClassVar[bool] = True


class Cancelled(ChatacterError):
    """Somebody asked for it to stop."""

    code: ClassVar[str] = "cancelled"


class Misconfigured(ChatacterError):
    """The operator has to change a setting; the message says which and how."""

    code: ClassVar[str] = "misconfigured"


def named(code: str) -> type[ChatacterError] | None:
    """Return the error of a code, so that one which travelled can be raised as itself; None for an unknown code."""
    waiting: list[type[ChatacterError]] = [ChatacterError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind
        waiting += (below for below in kind.__subclasses__() if below.__module__ == __name__)
    return None
