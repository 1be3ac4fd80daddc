"""`chatacter keys …`: API keys for those who may call."""

import json
from pathlib import Path
from typing import Annotated, Final, get_args

import typer
from pydantic import TypeAdapter, ValidationError

from chatacter.chassis.auth import ALL_SCOPES, DEFAULT_TENANT, ApiKey, Identifier, Scope, new_key, read_keys
from chatacter.chassis.errors import Conflict, InvalidInput
from chatacter.chassis.settings import ServiceSettings

app = typer.Typer(help="API keys for those who may call.", no_args_is_help=True)
SCOPES: Final = tuple(get_args(Scope))


@app.callback()
def keys() -> None:
    """API keys for those who may call."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call the key, e.g. who gets it.")],
    tenant: Annotated[str, typer.Option(help="Whose data the key reaches.")] = DEFAULT_TENANT,
    scopes: Annotated[str, typer.Option(help=f"Separated by commas, of: {', '.join(SCOPES)}.")] = "",
    file: Annotated[Path | None, typer.Option(help="The keys file. Default: API_KEYS_FILE, else in the home.")] = None,
) -> None:
    """Make a key and print it, once: only its hash is stored. Without `--scopes` it opens every door but `inside`."""
    settings = ServiceSettings.read()
    path = file or settings.api_keys_file or settings.chatacter_home / "api_keys.json"
    known = read_keys(path) if path.exists() else []
    if any(key.id == name for key in known):
        raise Conflict(f"{path} has a key called {name!r}; choose another name.")
    secret, record = new_key(checked(name), checked(tenant), granted(scopes))
    store(path, [*known, record])
    typer.echo(secret)
    typer.echo(f"This key is shown once. Its hash is in {path}; set API_KEYS_FILE to it.", err=True)


def checked(name: str) -> str:
    """Return a name that may stand in a keys file. Raises `InvalidInput`."""
    try:
        return TypeAdapter(Identifier).validate_python(name)
    except ValidationError:
        raise InvalidInput(f"{name!r} is not a name: 1 to 64 letters, digits, dots, dashes or underscores.") from None


def granted(scopes: str) -> frozenset[Scope]:
    """Read scopes separated by commas; none means all that a person needs. Raises `InvalidInput`."""
    wanted = {part.strip() for part in scopes.split(",") if part.strip()}
    unknown = wanted - ALL_SCOPES
    if unknown:
        raise InvalidInput(f"Unknown scopes: {', '.join(sorted(unknown))}. Known: {', '.join(SCOPES)}.")
    return frozenset(scope for scope in SCOPES if scope in wanted) or ALL_SCOPES - {"inside"}


def store(path: Path, keys: list[ApiKey]) -> None:
    """Write the keys file whole, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    records = [{**key.model_dump(mode="json"), "scopes": sorted(key.scopes)} for key in keys]
    fresh.write_text(json.dumps(records, indent=2) + "\n")
    fresh.replace(path)
