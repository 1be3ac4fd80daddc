"""`chatacter watermark FILE`: whether a sound, or a film's, carries the mark that Vocalizr put into it."""

from pathlib import Path
from typing import Annotated, Final

import typer

from chatacter.chassis.errors import InvalidInput
from chatacter.chassis.settings import ServiceSettings
from chatacter.models.store import ModelStore
from vocalizr.listening.sound import decoded
from vocalizr.watermark.finding import stretches
from vocalizr.watermark.network import Perth

LONGEST: Final = 4 * 3600.0
NOT_FOUND: Final = 1


def watermark(
    file: Annotated[Path, typer.Argument(help="A WAV, MP3, FLAC, Ogg, AAC, WebM or MP4 file.")],
) -> None:
    """Look for the mark of VOCALIZR_WATERMARK=perth in a file. Ends with status 0 where it is found, else with 1."""
    perth = Perth(ModelStore(ServiceSettings.read().models_dir))
    perth.load()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from error
    judged = list(stretches(perth, decoded(data, longest=LONGEST, param=str(file))))
    for stretch in judged:
        told = "marked" if stretch.marked else "-"
        typer.echo(f"{stretch.start:9.2f} to {stretch.end:9.2f} s  {stretch.likeness:.2f}  {told}")
    found = sum(stretch.marked for stretch in judged)
    typer.echo(f"{found} of {len(judged)} stretches carry the mark.")
    if not found:
        raise typer.Exit(NOT_FOUND)
