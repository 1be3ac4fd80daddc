"""What is said of a field that holds what it may not."""

from pydantic_core import PydanticCustomError


def mistake(sentence: str) -> PydanticCustomError:
    """Make a validation error whose text is the sentence alone."""
    return PydanticCustomError("mistake", "{sentence}", {"sentence": sentence})
