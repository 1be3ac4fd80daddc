"""Who calls: API keys, the scopes that they carry, and the dependency that stands before every route.

A key is 256 random bits, so one round of SHA-256 is enough to store it: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from fastapi import Depends
from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from chatacter.chassis.errors import Forbidden, Misconfigured, Unauthenticated
from chatacter.chassis.settings import ServiceSettings
from chatacter.contracts.base import Strict

Scope = Literal["chat", "speech", "voices", "videos", "inference", "memories", "characters", "admin", "inside"]
ALL_SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
DEFAULT_TENANT: Final = "default"
WEBSOCKET_KEY_PROTOCOL: Final = "chatacter-api-key."
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]

NO_KEY = "Send an API key: `Authorization: Bearer <key>`."
WRONG_KEY = "This API key is not known here. Check it, or ask the operator for a new one."


class ApiKey(Strict):
    """One line of the keys file: never the key itself."""

    id: Identifier
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tenant: Identifier = DEFAULT_TENANT
    scopes: frozenset[Scope]


class Principal(Strict):
    """The caller of a request, once it is known."""

    key_id: str
    tenant: str
    scopes: frozenset[str]


ANYONE: Final = Principal(key_id="anonymous", tenant=DEFAULT_TENANT, scopes=ALL_SCOPES)


def digest(key: str) -> str:
    """Hash a key as it is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key(key_id: str, tenant: str, scopes: Iterable[Scope]) -> tuple[str, ApiKey]:
    """Make a key: the secret, shown once, and the record to store."""
    secret = f"chat-{secrets.token_urlsafe(32)}"
    return secret, ApiKey(id=key_id, sha256=digest(secret), tenant=tenant, scopes=frozenset(scopes))


def read_keys(path: Path) -> list[ApiKey]:
    """Read a keys file. Raises `Misconfigured` when it is missing or not a list of keys."""
    try:
        return TypeAdapter(list[ApiKey]).validate_json(path.read_bytes())
    except OSError as error:
        raise Misconfigured(f"API_KEYS_FILE: {path} cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        raise Misconfigured(
            f"API_KEYS_FILE: {path} is not a JSON list of keys; write it with `chatacter keys create`."
        ) from error


class Keyring:
    """Tells who a bearer token belongs to. Without required keys, everyone is the default tenant."""

    def __init__(self, keys: Iterable[ApiKey], *, required: bool) -> None:
        self._keys = tuple(keys)
        self._required = required

    @property
    def required(self) -> bool:
        """Whether a caller needs a key."""
        return self._required

    def identify(self, token: str | None) -> Principal:
        """Return the token's owner. Compares with every key, so that time tells nothing. Raises `Unauthenticated`."""
        if token is None:
            if self._required:
                raise Unauthenticated(NO_KEY)
            return ANYONE
        presented = digest(token)
        found: ApiKey | None = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, presented):
                found = key
        if found is not None:
            return Principal(key_id=found.id, tenant=found.tenant, scopes=frozenset(found.scopes))
        if self._required:
            raise Unauthenticated(WRONG_KEY)
        return ANYONE  # OpenAI clients always send some key


def keyring_of(settings: ServiceSettings, *, needed: bool = True) -> Keyring:
    """Build the keyring that the settings ask for. Raises `Misconfigured` if doors are closed and no key exists.

    A service without doors of its own does not need one; without any key nobody reads its metrics.
    """
    keys = read_keys(settings.api_keys_file) if settings.api_keys_file else []
    if settings.service_token is not None:
        service = ApiKey(id="service", sha256=digest(settings.service_token.get_secret_value()), scopes=ALL_SCOPES)
        keys.append(service)
    if needed and settings.keys_required and not keys:
        raise Misconfigured(
            "API keys are required (REQUIRE_API_KEY=true, or HOST is not loopback) and there are none. "
            "Make one with `chatacter keys create` and point API_KEYS_FILE at the file."
        )
    return Keyring(keys, required=settings.keys_required)


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Read the bearer token of a request's headers, whatever protocol brought them."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def token_of(connection: HTTPConnection) -> str | None:
    """Read the key of a request: the bearer token, or a WebSocket's subprotocol, which is all a browser can set."""
    token = bearer_token(connection.headers)
    if token is not None:
        return token
    if connection.scope["type"] == "websocket":
        offered = (part.strip() for part in connection.headers.get("sec-websocket-protocol", "").split(","))
        return next(
            (p.removeprefix(WEBSOCKET_KEY_PROTOCOL) for p in offered if p.startswith(WEBSOCKET_KEY_PROTOCOL)), None
        )
    return None


class BearerKey(SecurityBase):
    """The scheme as OpenAPI shows it; it identifies the caller of HTTP and WebSocket routes alike."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An API key").model
        self.scheme_name = "ApiKey"

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Return the caller. Raises `Unauthenticated`."""
        keyring: Keyring = connection.app.state.keyring
        return keyring.identify(token_of(connection))


bearer_key = BearerKey()
Caller = Annotated[Principal, Depends(bearer_key)]


def scope(*names: Scope) -> Callable[[Principal], Principal]:
    """Make a dependency that lets only callers with one of these scopes in. Raises `Forbidden` for others."""

    async def permitted(caller: Caller) -> Principal:
        return allowed(caller, *names)

    return permitted  # type: ignore[return-value]


def allowed(caller: Principal, *names: Scope) -> Principal:
    """Return a caller who has one of these scopes. Raises `Forbidden` for others."""
    if caller.scopes.isdisjoint(names):
        raise Forbidden(f"This key lacks the scope {' or '.join(f'`{name}`' for name in names)}.")
    return caller
