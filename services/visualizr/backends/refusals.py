"""What other servers refuse and fail with, as errors of our own."""

from typing import Any, Final

import httpx

from chatacter.chassis.errors import (
    Busy,
    ChatacterError,
    InvalidInput,
    Misconfigured,
    OutOfMemory,
    Unavailable,
    UpstreamFailed,
)

# What another server's refusal says is written for its caller; longer texts are not.
LONGEST_MESSAGE: Final = 300
# What the caller can change; the last ones are said by servers of OpenAI's videos API.
OF_THE_REQUEST: Final = frozenset(
    {"invalid_input", "unsupported", "too_large", "not_found", "invalid_request_error", "moderation_blocked"}
)


def refusal(response: httpx.Response, who: str) -> ChatacterError:
    """Turn a refusal into our own error; `who` refused, e.g. "The Visualizr behind this one"."""
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Busy(f"{who} is busy.", retry_after=retry_after(response))
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return Misconfigured(f"{who} refuses the key in VISUALIZR_REMOTE_API_KEY.")
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return Unavailable(f"{who} is not ready.", retry_after=retry_after(response))
    if httpx.codes.is_client_error(status):
        return InvalidInput(message_of(response) or f"{who} refused with status {status}.")
    return UpstreamFailed(f"{who} failed with status {status}.")


def failure(code: str, message: str, *, retryable: bool = False) -> ChatacterError:
    """Turn a film that failed into our own error."""
    message = message[:LONGEST_MESSAGE]
    if code == "out_of_memory":
        return OutOfMemory(message)
    if retryable:
        return Unavailable(message)
    return InvalidInput(message) if code in OF_THE_REQUEST else UpstreamFailed(message)


def message_of(response: httpx.Response) -> str | None:
    """Read the sentence of an error in OpenAI's shape."""
    try:
        content: Any = response.json()
        return str(content["error"]["message"])[:LONGEST_MESSAGE]
    except (ValueError, KeyError, TypeError):
        return None


def retry_after(response: httpx.Response) -> float | None:
    """Read `Retry-After` where it is a number of seconds."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
