"""What can go wrong between a client and the server, in sentences for the person who waits.

ClientError
├── Away         nobody answers at the address, or the connection broke for good
├── KeyNeeded    the server wants an API key, or another one
└── Refused      any other answer that is an error; `status` and `code` are the server's
"""


class ClientError(Exception):
    """Base of all errors here. `message` says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Away(ClientError):
    """Nobody answers."""


class KeyNeeded(ClientError):
    """No key was sent, or one that is not known there."""


class Refused(ClientError):
    """The server answered with an error of its own."""

    def __init__(self, message: str, *, status: int, code: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
