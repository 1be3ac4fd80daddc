"""`chatacter`: the command line. Every command is a plugin of the entry-point group `chatacter.commands`, ours too."""

import sys
from typing import Any, Final

import typer

from chatacter.chassis import plugins
from chatacter.chassis.errors import ChatacterError

COMMANDS: Final = "chatacter.commands"


def build(wanted: str) -> typer.Typer:
    """Make the program. Where `wanted` is a command, only that one is imported; else all of them, for the help."""
    program = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @program.callback()
    def chatacter() -> None:
        """Characters that answer in text, in a voice of their own and on video, and that remember."""

    known = plugins.installed(COMMANDS)
    for name in [wanted] if wanted in known else sorted(known):
        add(program, name, plugins.load_point(known[name]))
    return program


def add(program: typer.Typer, name: str, command: Any) -> None:
    """Add a plugin, a typer app or a function, under its entry point's name."""
    if isinstance(command, typer.Typer):
        program.add_typer(command, name=name)
    else:
        program.command(name)(command)


def main() -> None:
    """Run the command line; an error that is meant becomes a sentence and exit code 1."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else "")()
    except ChatacterError as error:
        sys.exit(error.message)
