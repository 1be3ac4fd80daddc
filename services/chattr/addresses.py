"""Where predictors answer, as settings say it: a base URL, and a JSON object of model ids with theirs."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

MODEL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
NO_OBJECT: Final = 'must be a JSON object, {"model": "http://host:port"}'
NO_BASE_URL: Final = "must be an http:// or https:// address without user, query and fragment"
NO_MODEL_ID: Final = "has a model id that is none: use 1 to 128 letters, digits, `.`, `_` or `-`, the first no sign"


class Objects(dict[str, Any]):
    """A JSON object, and which of its names stood in it more than once: plain JSON lets the last one win."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.twice = sorted({name for name in names if names.count(name) > 1})


def base_url(value: str) -> str:
    """Return an address that paths can be put after, without a slash at its end. Raises `ValueError` for others."""
    try:
        parts = urlsplit(value)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or not value.isascii() or not value.isprintable() or set("?#@ \\") & set(value):
        raise ValueError(NO_BASE_URL)
    return value.rstrip("/")


def base_urls(value: Any) -> Mapping[str, str]:
    """Read the base URL of each model, from JSON or from an object. Raises `ValueError`, with no address in it."""
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=Objects)
        except (ValueError, RecursionError):
            raise ValueError(NO_OBJECT) from None
    if not isinstance(value, Mapping):
        raise ValueError(NO_OBJECT)
    if isinstance(value, Objects) and value.twice:
        raise ValueError(f"names {', '.join(value.twice)} more than once; a model has one predictor")
    return {model: url_of(model, url) for model, url in value.items()}


def url_of(model: Any, url: Any) -> str:
    """Check one model's address. Raises `ValueError`, naming the model."""
    if not isinstance(model, str) or not MODEL_ID.fullmatch(model):
        raise ValueError(NO_MODEL_ID)
    try:
        return base_url(url if isinstance(url, str) else "")
    except ValueError:
        raise ValueError(f"the address of {model} {NO_BASE_URL}") from None


BaseUrl = Annotated[str, AfterValidator(base_url)]
BaseUrls = Annotated[dict[str, str], NoDecode, BeforeValidator(base_urls)]
