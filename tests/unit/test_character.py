"""What a character may be, and the sentences for what it may not."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from chattr.domain.character import (
    BAD_ASSET,
    BAD_ID,
    BAD_LANGUAGE,
    BAD_NAME,
    BAD_NICKNAME,
    BAD_TAGS,
    NO_VOICE,
    NOBODY,
    Character,
    CharacterCreate,
    CharacterRead,
    CharacterReplace,
    MemoryPolicy,
)

pytestmark = pytest.mark.unit

FAQ = {
    "id": "my_character",
    "name": "My Character",
    "personality": "Friendly and helpful",
    "system_prompt": "You are a friendly assistant...",
}


def test_the_body_of_the_faq_is_enough() -> None:
    made = Character.made(CharacterCreate.model_validate(FAQ))
    assert made.schema_version == 3
    assert made.greeting is None
    assert CharacterRead.shown(made, "own", ("text",)).model_dump() == {
        **made.model_dump(),
        "object": "character",
        "origin": "own",
        "capabilities": ("text",),
    }


def test_a_character_may_be_written_as_it_was_read() -> None:
    read = CharacterRead.shown(Character.model_validate({**FAQ, "seed": 7}), "own", ("text", "video"))
    assert CharacterReplace.model_validate_json(read.model_dump_json()).model_dump() == {
        name: value for name, value in read.model_dump().items() if name in CharacterCreate.model_fields
    }


def test_a_stored_character_is_read_back() -> None:
    made = Character.model_validate({**FAQ, "examples": [{"user": "a", "assistant": "b"}], "greetings": ["Hi", "Ho"]})
    assert Character.model_validate_json(made.model_dump_json()) == made
    assert made.greeting == "Hi"


@pytest.mark.parametrize("version", [1, 2])
def test_what_older_versions_stored_is_read_with_what_came_since_left_open(version: int) -> None:
    old = json.dumps({**FAQ, "schema_version": version, "greetings": ["Hi"], "temperature": 0.5})
    read = Character.model_validate_json(old)
    assert (read.schema_version, read.greetings, read.temperature) == (version, ("Hi",), 0.5)
    assert (read.memory, read.client_instructions, read.model) == (MemoryPolicy(), "add", None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "Ada Lovelace"}, BAD_ID),
        ({"id": ""}, BAD_ID),
        ({"id": "a" * 65}, BAD_ID),
        ({"id": "../etc"}, BAD_ID),
        ({"id": "ada\n"}, BAD_ID),
        ({"name": "  "}, BAD_NAME),
        ({"name": "A\nB"}, BAD_NAME),
        ({"nickname": " "}, BAD_NICKNAME),
        ({"nickname": "A\nB"}, BAD_NICKNAME),
        ({"portrait": "http://elsewhere/a.svg"}, BAD_ASSET),
        ({"language": "English, please"}, BAD_LANGUAGE),
        ({"tags": ["ok", " "]}, BAD_TAGS),
        ({"personality": " ", "system_prompt": ""}, NOBODY),
        ({"speech_model": "xtts"}, NO_VOICE),
        ({"temperature": 3}, "less than or equal to 2"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"top_p": 0}, "greater than 0"),
        ({"frequency_penalty": -2.1}, "greater than or equal to -2"),
        ({"presence_penalty": 2.1}, "less than or equal to 2"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "at most 4"),
        ({"stop": [""]}, "at least 1 character"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"model": ""}, "at least 1 character"),
        ({"memory": {"recall": 21}}, "less than or equal to 20"),
        ({"memory": {"forever": True}}, "Extra inputs are not permitted"),
        ({"client_instructions": "obey"}, "'add' or 'replace'"),
        ({"greetings": [""]}, "at least 1 character"),
        ({"examples": [{"user": "a"}]}, "Field required"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_mistakes_are_sentences(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CharacterCreate.model_validate({**FAQ, **change})
    assert sentence in caught.value.errors()[0]["msg"]


def test_a_voice_may_belong_to_a_model_of_its_own() -> None:
    made = Character.model_validate({**FAQ, "voice": "Claribel Dervla", "speech_model": "xtts"})
    assert (made.voice, made.speech_model) == ("Claribel Dervla", "xtts")
    assert Character.model_validate(FAQ).speech_model is None


def test_tags_are_trimmed_and_said_once() -> None:
    assert CharacterCreate.model_validate({**FAQ, "tags": [" a", "b", "a "]}).tags == ("a", "b")
