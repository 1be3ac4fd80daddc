"""Conversations as files: ours comes back as it was; SillyTavern's chats, whatever wrote them, become trees."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatacter.chassis.errors import ChatacterError, InvalidInput
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.sessions import FakeShortTerm
from chattr.domain.character import Character, MemoryPolicy
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.person import Persona
from chattr.domain.transcript import sillytavern
from chattr.domain.transcript.ours import NEWER
from chattr.domain.tree import Tree
from chattr.usecases.characters import Cast
from chattr.usecases.conversing import Conversing, Whole
from chattr.usecases.transcripts import Transcripts, read

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")
NOW = 2_000_000_000.0
ADA = Character(id="ada", name="Ada Lovelace", nickname="Ada", personality="Exact.")
MIRA = Character(id="mira", name="Mira", personality="Cheerful.", memory=MemoryPolicy(long_term=False))


class Desk:
    """What reads and writes conversations, over fakes."""

    def __init__(self) -> None:
        cast = Cast({"ada": ADA, "mira": MIRA}, {}, FakeCharacters(), default="ada")
        self.conversations = FakeConversations()
        conversing = Conversing(cast, self.conversations, FakeShortTerm(), None, clock=lambda: NOW)
        self.transcripts = Transcripts(conversing, self.conversations, cast, clock=lambda: NOW)

    async def taken(self, data: bytes, character: str | None = None) -> Whole:
        return (await self.transcripts.take(ANN, data, character)).whole


def shape(whole: Whole) -> list[tuple[str | None, str, str, float, str | None, str]]:
    """The messages without their ids: each with the text of its parent."""
    texts = {message.id: message.content for message in whole.tree.messages}
    return [
        (texts.get(m.parent_id or ""), m.role, m.content, m.created_at, m.character_id, m.status)
        for m in whole.tree.messages
    ]


def active(whole: Whole) -> list[str]:
    return [message.content for message in whole.tree.path(whole.conversation.head_id)]


def jsonl(*lines: Any) -> bytes:
    return "\n".join(json.dumps(line) for line in lines).encode()


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@st.composite
def conversations(draw: st.DrawFn) -> Whole:
    """Any tree of messages."""
    messages: list[Message] = []
    for number in range(draw(st.integers(1, 12))):
        parent = draw(st.sampled_from([None, *(message.id for message in messages)]))
        messages.append(
            Message(
                id=f"m{number}",
                parent_id=parent,
                role=draw(st.sampled_from(["user", "assistant"])),
                content=f"{number} {draw(texts)}",
                created_at=draw(st.floats(0, 2e9)),
                character_id="ada",
                status=draw(st.sampled_from(["complete", "cancelled", "interrupted"])),
                memorable=draw(st.booleans()),
            )
        )
    persona = draw(st.sampled_from([None, Persona(name="Ann", description="A painter.")]))
    title = draw(st.none() | texts)
    head = draw(st.sampled_from(messages)).id
    return Whole(Conversation("c", "ada", 1000.0, title, head, persona=persona), Tree(messages))


@settings(max_examples=40, deadline=None)
@given(conversations())
async def test_ours_comes_back_as_it_was(whole: Whole) -> None:
    desk = Desk()
    await desk.conversations.create(ANN, whole.conversation, whole.tree.messages)
    file = await desk.transcripts.give(ANN, "c", "json")
    back = await desk.taken(file.data)
    assert shape(back) == shape(whole)
    assert active(back) == active(whole)
    assert [m.memorable for m in back.tree.messages] == [m.memorable for m in whole.tree.messages]
    old, new = whole.conversation, back.conversation
    assert (new.title, new.persona, new.created_at, new.character_id) == (old.title, old.persona, 1000.0, "ada")
    assert new.branched == (len(active(whole)) < len(whole.tree.messages))
    assert not {message.id for message in back.tree.messages} & {message.id for message in whole.tree.messages}


@settings(max_examples=40, deadline=None)
@given(conversations())
async def test_a_branch_goes_to_sillytavern_and_back_with_its_swipes(whole: Whole) -> None:
    desk = Desk()
    await desk.conversations.create(ANN, whole.conversation, whole.tree.messages)
    back = await desk.taken((await desk.transcripts.give(ANN, "c", "sillytavern")).data)
    assert active(back) == active(whole)
    for old, new in zip(*(w.tree.path(w.conversation.head_id) for w in (whole, back)), strict=True):
        beside = [whole.tree.get(each) for each in whole.tree.siblings(old)]
        expected = [each.content for each in beside if each and each.role == old.role]
        assert [m.content for m in map(back.tree.get, back.tree.siblings(new)) if m] == expected
        assert new.role == old.role
        assert new.created_at == pytest.approx(old.created_at, abs=0.001) or old.created_at < 0.001


async def test_a_chat_as_sillytavern_writes_it() -> None:
    chat = jsonl(
        {
            "user_name": "Ann",
            "character_name": "Ada Lovelace",
            "create_date": "2024-6-5@10h23m45s",
            "chat_metadata": {},
        },
        {
            "name": "Ada Lovelace",
            "is_user": False,
            "is_system": False,
            "send_date": "June 5, 2024 10:23pm",
            "mes": "Hello!",
            "extra": {},
            "swipe_id": 1,
            "swipes": ["Good day.", "Hello?"],
            "swipe_info": [],
        },
        {"name": "Ann", "is_user": True, "is_system": False, "send_date": 1717626225000, "mes": "Who are you?"},
        {"name": "System", "is_user": False, "is_system": True, "mes": "A note."},
        {"name": "Ada Lovelace", "is_user": False, "send_date": "2024-06-05T22:24:00.000Z", "mes": "An engine."},
    )
    desk = Desk()
    imported = await desk.transcripts.take(ANN, chat)
    whole = imported.whole
    assert active(whole) == ["Hello!", "Who are you?", "An engine."]
    first = whole.tree.path(whole.conversation.head_id)[0]
    assert [m.content for m in map(whole.tree.get, whole.tree.siblings(first)) if m] == ["Good day.", "Hello!"]
    assert [m.created_at for m in whole.tree.messages] == [1717626180.0, 1717626180.0, 1717626225.0, 1717626240.0]
    assert [m.memorable for m in whole.tree.messages] == [False, False, True, True]
    conversation = whole.conversation
    assert (conversation.character_id, conversation.persona) == ("ada", Persona(name="Ann"))
    assert conversation.created_at == 1717583025.0
    assert imported.warnings == ["1 hidden or system messages were left out."]


async def test_an_old_group_chat_has_no_first_line_and_several_speakers() -> None:
    chat = jsonl(
        {"name": "Ada", "is_user": False, "mes": "One.", "force_avatar": "/thumbnail?type=avatar&file=ada.png"},
        {"name": "You", "is_user": True, "mes": "Go on."},
        {"name": "Mira", "is_user": False, "mes": "Two.", "original_avatar": "mira.png"},
        {"name": "Stranger", "is_user": False, "mes": "Three."},
    )
    imported = await Desk().transcripts.take(ANN, chat)
    messages = imported.whole.tree.messages
    assert [(m.character_id, m.content) for m in messages] == [
        *(("ada", "One."), ("ada", "Go on."), ("mira", "Two."), ("ada", "Stranger: Three.")),
    ]
    assert imported.whole.conversation.persona is None
    assert len(imported.warnings) == 1


async def test_chub_writes_objects_and_some_write_no_swipe_id() -> None:
    chat = jsonl(
        {"user_name": "unused", "character_name": "unused"},
        {"name": "Ada", "mes": {"message": "Hi."}, "swipes": [{"message": "Hi."}, {"message": "Ho."}], "swipe_id": 0},
        {"name": "Ada", "mes": "B", "swipes": ["A", "B", " "], "swipe_id": 9},
        {"name": "Ada", "mes": "", "swipes": []},
    )
    whole = await Desk().taken(chat)
    assert active(whole) == ["Hi.", "B"]
    assert [message.content for message in whole.tree.messages] == ["Hi.", "Ho.", "A", "B"]


async def test_a_character_without_memory_remembers_no_import() -> None:
    whole = await Desk().taken(jsonl({"name": "X", "is_user": True, "mes": "Hi."}), "mira")
    assert [message.memorable for message in whole.tree.messages] == [False]


async def test_a_file_of_a_newer_version_is_read_with_a_word() -> None:
    desk = Desk()
    await desk.conversations.create(
        ANN, Conversation("c", "ada", 1.0, None, "m"), [Message("m", None, "user", "Hi", 1)]
    )
    body = json.loads((await desk.transcripts.give(ANN, "c", "json")).data)
    body |= {"schema_version": 99, "mood": "blue"}
    imported = await desk.transcripts.take(ANN, json.dumps(body).encode())
    assert (active(imported.whole), imported.warnings) == (["Hi"], [NEWER])


def saved(*messages: dict[str, Any], **more: Any) -> bytes:
    base = {"role": "user", "content": "x", "created_at": 1.0, "parent_id": None}
    conversation = {"character_id": "ada", "created_at": 1.0}
    return json.dumps(
        {
            "format": "chatacter.conversation",
            "schema_version": 2,
            "conversation": conversation,
            "messages": [{**base, **message} for message in messages],
            **more,
        }
    ).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"{}",
        b"[1]",
        b"{}\n{}",
        b'{"mes": "x"}\nnonsense',
        b'{"user_name": "x"}',
        b"\xff\xfe",
        b'{"mes": "\\ud800", "is_user": true}',
        b'{"mes":' + b"[" * 5000,
        saved({"id": "a", "parent_id": "gone"}),
        saved({"id": "a", "parent_id": "a"}),
        saved({"id": "a", "parent_id": "b"}, {"id": "b", "parent_id": "a"}),
        saved({"id": "a"}, {"id": "a"}),
        saved({"id": "a", "role": "system"}),
        saved({"id": "a", "created_at": 1e300}),
        saved({"id": "a", "content": "x" * 140_000}),
        saved({"id": "a"}, schema_version=0),
        jsonl(*({"mes": "x", "is_user": True} for _ in range(10_001))),
    ],
)
def test_what_is_no_conversation_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(data, NOW)
    assert refused.value.message.endswith(".")


def test_messages_in_any_order_find_their_places() -> None:
    messages = [{"id": "b", "parent_id": "a"}, {"id": "c", "parent_id": "b"}, {"id": "a"}]
    assert [message.id for message in read(saved(*messages), NOW).messages] == ["a", "b", "c"]


async def test_with_whom_has_to_be_known() -> None:
    with pytest.raises(InvalidInput, match="character"):
        await Desk().transcripts.take(ANN, jsonl({"name": "Nobody", "mes": "Hi."}))


line = st.dictionaries(
    st.sampled_from(["mes", "name", "is_user", "is_system", "swipes", "swipe_id", "send_date", "user_name", "x"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["message", "mes"]), inner),
        max_leaves=4,
    ),
)


@given(st.lists(line, max_size=6))
def test_no_line_breaks_the_reader(lines: list[dict[str, Any]]) -> None:
    try:
        transcript = read(json.dumps({"user_name": "x"}).encode() + b"\n" + jsonl(*lines), NOW)
    except ChatacterError:
        return
    assert Tree(transcript.messages).path(transcript.head_id)
    names: dict[str, str] = {"ada": "Ada"}
    whole = Conversation("c", "ada", transcript.created_at, head_id=transcript.head_id)
    assert sillytavern.written(whole, Tree(transcript.messages), names)
