"""SillyTavern's chats: a line of JSON a message. Source: its `src/endpoints/chats.js` and `public/script.js`.

The first line tells of the chat (`user_name`, `character_name`, `create_date`, `chat_metadata`); old group chats have
none. A message has `name`, `is_user`, `mes`, `send_date`, and where there are several versions of it `swipes`, of which
`swipe_id` is the one that the chat goes on from. Chub writes an object with `message` where others write a text.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from chatacter.chassis.errors import InvalidInput
from chattr.domain.conversation import Conversation, Message, Role
from chattr.domain.person import NOBODY, Persona
from chattr.domain.transcript.model import LATEST, MOST_MESSAGES, Transcript, require_fitting
from chattr.domain.tree import Tree

LINE: Final = TypeAdapter(dict[str, Any])
NOBODY_S: Final = frozenset({"", "unused", "You", "User"})
# "2024-06-05 @10h 23m 45s 123ms", "2024-6-5@10h23m45s"
STAMP: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2}) ?@ ?(\d{1,2})h ?(\d{1,2})m(?: ?(\d{1,2})s)?")
WORDED: Final = ("%B %d, %Y %I:%M%p", "%B %d, %Y %I:%M %p")
MILLISECONDS_FROM: Final = 100_000_000_000
LONGEST_TIME: Final = 64
DIGITS: Final = 16

NO_LINE: Final = "Line {number} is no JSON object, so this is neither an exported conversation nor SillyTavern's chat."
NO_MESSAGE: Final = "Line {number} has no `mes`, so this is no message of SillyTavern's."
EMPTY: Final = "There is no message in this file."
HIDDEN: Final = "{count} hidden or system messages were left out."


def written(conversation: Conversation, tree: Tree, names: Mapping[str, str]) -> bytes:
    """Write the active branch; what stands beside a message of it becomes its swipes. `names`: who is called what."""
    persona = conversation.persona or NOBODY
    header = {
        "user_name": persona.called,
        "character_name": names[conversation.character_id],
        "create_date": moment(conversation.created_at),
        "chat_metadata": {},
    }
    lines = [header]
    for message in tree.path(conversation.head_id):
        character = message.character_id or conversation.character_id
        line: dict[str, Any] = {
            "name": persona.called if message.role == "user" else names.get(character, character),
            "is_user": message.role == "user",
            "is_system": False,
            "send_date": moment(message.created_at),
            "mes": message.content,
            "extra": {},
        }
        siblings = [each for each in map(tree.get, tree.siblings(message)) if each and each.role == message.role]
        if message.role == "assistant" or len(siblings) > 1:
            line["swipes"] = [each.content for each in siblings]
            line["swipe_id"] = siblings.index(message)
            line["swipe_info"] = [{"send_date": moment(each.created_at), "extra": {}} for each in siblings]
        lines.append(line)
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()


def moment(at: float) -> str:
    """Write a time as SillyTavern does."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read(data: bytes, now: float) -> Transcript:
    """Read a chat; swipes become siblings. Raises `InvalidInput` and its kin."""
    lines = list(objects(data))
    header = {} if lines and "mes" in lines[0] else (lines.pop(0) if lines else {})
    began = time_of(header.get("create_date"), now)
    chat = Chat(began)
    for number, line in enumerate(lines, 2 if header else 1):
        chat.add(line, number)
    if not chat.messages:
        raise InvalidInput(EMPTY)
    require_fitting(chat.messages)
    user = next((name for name in (text(header.get("user_name")), chat.user) if name not in NOBODY_S), "")
    named = next(
        (name for name in (text(header.get("character_name")), *chat.names.values()) if name not in NOBODY_S), ""
    )
    return Transcript(
        messages=chat.messages,
        head_id=chat.head_id,
        created_at=began,
        persona=persona_of(user) if user else None,
        names=chat.names,
        name=named,
        warnings=[HIDDEN.format(count=chat.hidden)] if chat.hidden else [],
    )


class Chat:
    """A chat while it is read."""

    def __init__(self, began: float) -> None:
        self.messages: list[Message] = []
        self.names: dict[str, str] = {}
        self.head_id: str | None = None
        self.hidden = 0
        self.user = ""
        self._at = began

    def add(self, line: Mapping[str, Any], number: int) -> None:
        """Take a line. What it says in the chat counts, also where its swipe says something else."""
        if "mes" not in line:
            raise InvalidInput(NO_MESSAGE.format(number=number))
        if line.get("is_system") is True:
            self.hidden += 1
            return
        swipes, chosen = versions(line)
        if not swipes:
            return
        self._at = time_of(line.get("send_date"), self._at)
        user = line.get("is_user") is True
        name = text(line.get("name")).strip()
        self.user = self.user or (name if user else "")
        parent_id = self.head_id
        for index, swipe in enumerate(swipes):
            message_id = f"{number}.{index}"
            role: Role = "user" if user else "assistant"
            opening = role == "assistant" and parent_id is None
            self.messages.append(Message(message_id, parent_id, role, swipe, self._at, memorable=not opening))
            if not user and name:
                self.names[message_id] = name
        self.head_id = f"{number}.{chosen}"


def versions(line: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the texts of a message, and which one the chat goes on from; blank ones are left out."""
    current = text(line["mes"])
    swipes = line.get("swipes")
    texts = [text(each) for each in swipes] if isinstance(swipes, list) else []
    chosen = line.get("swipe_id")
    if not isinstance(chosen, int) or not 0 <= chosen < len(texts):
        texts, chosen = (texts, texts.index(current)) if current in texts else ([current], 0)
    texts[chosen] = current
    kept = [(index, each) for index, each in enumerate(texts) if each.strip()]
    if not current.strip():
        return [each for _, each in kept], 0
    return [each for _, each in kept], [index for index, _ in kept].index(chosen)


def text(value: Any) -> str:
    """Read what is a text, or an object that has one."""
    if isinstance(value, Mapping):
        value = value.get("message", value.get("mes"))
    return value if isinstance(value, str) else ""


def objects(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file, one a line; empty lines are passed over."""
    lines: Sequence[bytes] = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines[: 2 * MOST_MESSAGES], 1):
        if not line.strip():
            continue
        try:
            yield LINE.validate_json(line)
        except ValidationError:
            raise InvalidInput(NO_LINE.format(number=number)) from None


def time_of(value: Any, otherwise: float) -> float:
    """Read one of the many ways in which SillyTavern wrote times, as a Unix time in seconds."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= DIGITS:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        at = value / 1000 if value > MILLISECONDS_FROM else float(value)
    elif isinstance(value, str) and len(value) <= LONGEST_TIME:
        try:
            at = parsed(value).timestamp()
        except (ValueError, OverflowError):
            return otherwise
    else:
        return otherwise
    return at if 0 < at <= LATEST else otherwise


def parsed(value: str) -> datetime:
    """Read a stamp, English words, or ISO 8601. Raises `ValueError`. Without a zone it is taken for UTC."""
    if stamp := STAMP.match(value):
        year, month, day, hour, minute, second = (int(part or 0) for part in stamp.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    for form in WORDED:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    read_as = datetime.fromisoformat(value)
    return read_as if read_as.tzinfo else read_as.replace(tzinfo=UTC)


def persona_of(name: str) -> Persona | None:
    """Make a persona of a name, where it can be one."""
    try:
        return Persona(name=name)
    except ValidationError:
        return None
