"""Errors as they travel: RFC 9457 problem details, and OpenAI's error shape under `/v1/`."""

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_JSON = "application/problem+json"


class Problem(BaseModel):
    """RFC 9457 problem details. `detail` says what to change; it never carries exception or user text of a 500."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="URN of the kind of problem, e.g. urn:chatacter:problem:not-found")
    title: str
    status: int
    detail: str
    instance: str | None = Field(default=None, description="The request's trace id, to look it up in the logs")
    param: str | None = Field(default=None, description="The field that is wrong, where there is one")
    retry_after: float | None = Field(default=None, description="Seconds after which the same request may succeed")


class OpenAIError(BaseModel):
    """What OpenAI clients read out of `error`. Source: OpenAI API reference, "Error codes"."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIErrorBody(BaseModel):
    """The body of an error under `/v1/`."""

    error: OpenAIError
