"""The two ways in which a contract treats fields that it does not know."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A shape of our own: an unknown field is a mistake, told to the sender."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Open(BaseModel):
    """A shape that others define and extend (OpenAI's): unknown fields are kept, never an error."""

    model_config = ConfigDict(extra="allow", frozen=True)
