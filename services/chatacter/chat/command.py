"""`chatacter chat`: its options, its lines and its Ctrl-C."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from chatacter.chassis.errors import InvalidInput
from chatacter.chat.session import Chat, film_format
from chatacter.chat.sound import file_format, find_player
from chatacter.chat.terminal import Terminal
from chatacter.client.api import Api
from chatacter.client.errors import Away, ClientError, KeyNeeded

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

NOTICE: Final = "You talk with an AI that plays {}: it makes things up. Its voice and films are synthetic."
HELP: Final = """\
/characters        who can be talked with
/switch NAME       talk with somebody else
/new               begin a new conversation
/conversations     the newest with this character; /open NUMBER goes on with one
/regenerate        another reply to what was said last
/continue          let the last reply go on where it stopped
/edit MESSAGE      say this in the place of what you said last
/swipe             the next version of the last message
/say on|off|FILE   hear replies; or write the last one's sound to a file (.wav, .mp3)
/film FILE         film the last reply (.webm, .mp4)
/history           what was said
/quit              leave; so does Ctrl-D. Ctrl-C stops a reply."""
NO_CONVERSATIONS: Final = "There are none with this character yet."
AWAY: Final = (
    "Nobody answers at {url}. Start Chatacter with `make run` (or `chatacter up`), or name its address with --url."
)
WANTS_KEY: Final = "The server at {url} wants an API key: --api-key, or CHATACTER_API_KEY. {hint}"
NO_KEY: Final = "Its operator makes one with `chatacter keys create NAME`."
WRONG_KEY: Final = "It does not know the one that was sent."
NEEDS_MESSAGE: Final = "--sound and --film need a MESSAGE. In a conversation, use /say FILE and /film FILE."
EMPTY: Final = "There is no message: write one behind `chatacter chat`, or pipe it in."


def chat(
    message: Annotated[str | None, typer.Argument(help="What to say. Without it: a conversation.")] = None,
    *,
    character: Annotated[str | None, typer.Option("--character", "-c", help="Who to talk with.")] = None,
    url: Annotated[
        str, typer.Option(envvar="CHATACTER_URL", help="Where Chatacter answers.")
    ] = "http://localhost:8000",
    api_key: Annotated[
        str | None, typer.Option(envvar="CHATACTER_API_KEY", help="A key, where the server wants one.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="A conversation to go on with.")] = None,
    say: Annotated[bool, typer.Option("--say", help="Hear the reply, through an installed player.")] = False,
    sound: Annotated[Path | None, typer.Option(help="Write the reply's sound to a .wav or .mp3 file.")] = None,
    film: Annotated[Path | None, typer.Option(help="Film the reply, to a .webm or .mp4 file.")] = None,
) -> None:
    """Talk with a character, in text, sound and film."""
    check(message, say=say, sound=sound, film=film)
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read().strip()
        if not message:
            raise InvalidInput(EMPTY)
    if message is None and (sound or film):
        raise InvalidInput(NEEDS_MESSAGE)
    terminal = Terminal()
    try:
        with asyncio.Runner() as runner:
            options = Options(
                message=message,
                character=character,
                url=url,
                api_key=api_key,
                session=session,
                say=say,
                sound=sound,
                film=film,
            )
            talk(runner.run, terminal, options)
    except ClientError as error:
        terminal.end_line()
        raise InvalidInput(told(error, url, has_key=api_key is not None)) from error
    except KeyboardInterrupt:
        terminal.end_line()
        raise typer.Exit(130) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command line asked for."""

    message: str | None
    character: str | None
    url: str
    api_key: str | None
    session: str | None
    say: bool
    sound: Path | None
    film: Path | None


def check(message: str | None, *, say: bool, sound: Path | None, film: Path | None) -> None:
    """Refuse what cannot work before anything is asked. Raises `InvalidInput`."""
    try:
        if sound is not None:
            file_format(sound)
        if film is not None:
            film_format(film)
        if say:
            find_player()
    except ClientError as error:
        raise InvalidInput(error.message) from error
    if message is not None and not message.strip():
        raise InvalidInput(EMPTY)


def talk(run: Run[Any], terminal: Terminal, options: Options) -> None:
    """Say one message, or hold a conversation."""
    stack = AsyncExitStack()
    try:
        api = run(stack.enter_async_context(Api.connected(options.url, options.api_key)))
        conversation = Chat(api, terminal, session=options.session)
        run(conversation.open(options.character))
        conversation.aloud = options.say
        terminal.note(NOTICE.format(conversation.name))
        if options.message is None:
            Conversation(run, terminal, conversation, options).hold()
        else:
            run(once(conversation, options.message, options))
    finally:
        run(stack.aclose())


async def once(conversation: Chat, message: str, options: Options) -> None:
    """Say one message, and keep what was asked for. Raises `typer.Exit` when the reply was cancelled."""
    if not await conversation.say(message, options.sound):
        raise typer.Exit(130)
    if options.film is not None and not await conversation.film(options.film):
        raise typer.Exit(130)


class Conversation:
    """Reads lines until somebody leaves. One line that fails does not end it."""

    def __init__(self, run: Run[Any], terminal: Terminal, chat: Chat, options: Options) -> None:
        self._run = run
        self._terminal = terminal
        self._chat = chat
        self._options = options
        self._listed: list[dict[str, Any]] = []

    def hold(self) -> None:
        """Talk. Ctrl-C stops a reply; at the prompt it leaves, as Ctrl-D does."""
        edit_lines()
        self._terminal.note("/help lists what can be done here.")
        self._greet()
        while True:
            try:
                line = input("you: ").strip()
            except EOFError:
                self._terminal.note("")
                return
            if line in {"/quit", "/exit"}:
                return
            if line:
                self._obey(line)

    def _obey(self, line: str) -> None:
        try:
            if line.startswith("/"):
                self._command(*line[1:].partition(" ")[::2])
            else:
                self._run(self._chat.say(line))
        except ClientError as error:
            self._terminal.note(told(error, self._options.url, has_key=self._options.api_key is not None))

    def _command(self, name: str, argument: str) -> None:
        argument = argument.strip()
        if self._branch(name, argument):
            return
        if name == "characters":
            self._show("\n".join(self._chat.characters()))
        elif name == "switch" and argument:
            self._chat.switch(argument)
            self._terminal.note(NOTICE.format(self._chat.name))
            self._greet()
        elif name == "new":
            self._chat.restart()
            self._greet()
        elif name == "say" and argument:
            self._say(argument)
        elif name == "film" and argument:
            self._run(self._chat.film(Path(argument).expanduser()))
        elif name == "history":
            said = self._run(self._chat.history())
            self._show("\n".join(f"{who}: {text}" for who, text in said) or "Nothing was said yet.")
        else:
            self._terminal.note(HELP)

    def _branch(self, name: str, argument: str) -> bool:
        """Do what concerns a conversation as a tree; False for anything else."""
        if name == "regenerate":
            self._run(self._chat.again())
        elif name == "continue":
            self._run(self._chat.go_on())
        elif name == "edit" and argument:
            self._run(self._chat.say_instead(argument))
        elif name == "swipe":
            which, text = self._run(self._chat.swipe())
            self._terminal.speaker(self._chat.name)
            self._show(text)
            self._terminal.note(f"({which})")
        elif name == "conversations":
            self._listed = self._run(self._chat.conversations())
            self._show("\n".join(described(at, each) for at, each in enumerate(self._listed, 1)) or NO_CONVERSATIONS)
        elif name == "open" and argument.isdecimal() and 0 < int(argument) <= len(self._listed):
            self._run(self._chat.turn_to(self._listed[int(argument) - 1]["id"]))
            self._command("history", "")
        else:
            return False
        return True

    def _say(self, argument: str) -> None:
        if argument not in {"on", "off"}:
            self._run(self._chat.write_sound(Path(argument).expanduser()))
            self._terminal.note(f"sound: {argument}")
            return
        if argument == "on":
            find_player()
        self._chat.aloud = argument == "on"
        self._terminal.note(f"Replies are {'heard' if self._chat.aloud else 'silent'} from now on.")

    def _greet(self) -> None:
        greetings = self._chat.character.get("greetings") or []
        if greetings:
            self._terminal.speaker(self._chat.name)
            self._show(str(greetings[0]))

    def _show(self, text: str) -> None:
        self._terminal.text(text)
        self._terminal.end_line()


def described(number: int, conversation: Mapping[str, Any]) -> str:
    """Describe a conversation in a line."""
    when = datetime.fromtimestamp(conversation["created_at"], UTC).astimezone()
    return f"{number:3}  {when:%Y-%m-%d %H:%M}  {conversation['title'] or conversation['id']}"


def edit_lines() -> None:
    """Give `input` line editing and history, where this Python has them."""
    try:
        import readline  # noqa: PLC0415 - importing it changes `input` for the whole process
    except ImportError:
        return
    readline.set_history_length(1000)


def told(error: ClientError, url: str, *, has_key: bool) -> str:
    """Say what is wrong and what to do about it."""
    if isinstance(error, Away):
        return AWAY.format(url=url)
    if isinstance(error, KeyNeeded):
        return WANTS_KEY.format(url=url, hint=WRONG_KEY if has_key else NO_KEY)
    return error.message
