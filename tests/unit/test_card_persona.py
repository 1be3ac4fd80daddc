"""What a character takes from a card, and what its edits change in it."""

import json
from typing import Any

import pytest

from chattr.domain.card import dialogue, persona
from chattr.domain.card.files import read
from chattr.domain.card.json_text import write
from chattr.domain.card.limits import LIMITS
from chattr.domain.card.persona import CUT, FEWER, NAME_ALONE, laid_over, taken, written
from chattr.domain.card.versions import as_v2
from chattr.domain.character import Character, CharacterCreate, Example, slug
from tests.card_material import in_json, v1, v2, v3

pytestmark = pytest.mark.unit

OWN = {"voice": "af_sky", "speech_model": "kokoro", "language": "pt-BR", "temperature": 0.25, "max_tokens": 90}


def document_of(card: Any) -> dict[str, Any]:
    return read(in_json(card)).card.document


def character_of(card: Any, **changes: Any) -> Character:
    fields, _ = taken(document_of(card))
    return Character.made(CharacterCreate.model_validate({"id": "rowan", **fields, **changes}))


def exported(card: Any, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        write(laid_over(document_of(card), character_of(card, **changes), 1_800_000_000))
    )
    return found


def test_a_character_takes_its_fields_from_a_card() -> None:
    made = character_of(v3(extensions={"chatacter": OWN}))
    assert made.name == "Rowan"
    assert made.description == "For quiet evenings."
    assert made.personality == "A gardener who names every tree.\n\nPatient, dry."
    assert made.scenario == "A walled garden in March."
    assert made.greetings == ("Mind the seedlings, {{user}}.", "You again.", "Bring the rake.")
    assert made.examples == (Example(user="Is it late?", assistant="For plums, yes."),)
    assert made.system_prompt == "{{original}} Speak of plants."
    assert made.post_history_instructions == "Stay in the garden."
    assert made.tags == ("garden", "calm")
    assert {name: getattr(made, name) for name in OWN} == OWN
    assert made.portrait is None


@pytest.mark.parametrize("card", [v1(), v2(), v3(), v3(extensions={"chatacter": {**OWN, "memory": {"keep": 9}}})])
def test_without_edits_the_card_stays_as_it_is(card: dict[str, Any]) -> None:
    assert exported(card) == card


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"name": "Ash"}, {"name": "Ash"}),
        ({"description": "New"}, {"creator_notes": "New"}),
        ({"personality": "New"}, {"description": "New", "personality": ""}),
        ({"scenario": "New"}, {"scenario": "New"}),
        ({"system_prompt": "New"}, {"system_prompt": "New"}),
        ({"post_history_instructions": "New"}, {"post_history_instructions": "New"}),
        ({"greetings": ["A", "B"]}, {"first_mes": "A", "alternate_greetings": ["B"]}),
        ({"greetings": []}, {"first_mes": "", "alternate_greetings": []}),
        ({"tags": ["x"]}, {"tags": ["x"]}),
        ({"nickname": "Ro"}, {"nickname": "Ro"}),
        ({"group_greetings": ["A", "B"]}, {"group_only_greetings": ["A", "B"]}),
        ({"nickname": "", "group_greetings": []}, {"nickname": "", "group_only_greetings": []}),
        (
            {"examples": [{"user": "a", "assistant": "b"}, {"user": "c", "assistant": "d"}]},
            {"mes_example": "<START>\n{{user}}: a\n{{char}}: b\n<START>\n{{user}}: c\n{{char}}: d"},
        ),
    ],
)
def test_an_edit_changes_its_field_and_no_other(change: dict[str, Any], fields: dict[str, Any]) -> None:
    expected = v3()["data"] | fields | ({"modification_date": 1_800_000_000} if fields else {})
    assert exported(v3(), **change)["data"] == expected


def test_our_own_fields_ride_in_our_extension() -> None:
    data = exported(v2(), voice="af_sky", temperature=0.5)["data"]
    assert data["extensions"] == {**v2()["data"]["extensions"], "chatacter": {"voice": "af_sky", "temperature": 0.5}}
    without = exported(v3(extensions={"chatacter": {**OWN, "memory": 1}}), voice=None, speech_model=None)["data"]
    kept = {name: value for name, value in OWN.items() if name not in {"voice", "speech_model"}}
    assert without["extensions"]["chatacter"] == {**kept, "memory": 1}


NEWER = {
    "appearance": "Grey hair, a straw hat.",
    "top_p": 0.5,
    "frequency_penalty": -0.25,
    "presence_penalty": 1.0,
    "stop": ["END", "\n\n"],
    "seed": 7,
    "memory": {"long_term": False, "recall": 3},
    "client_instructions": "replace",
}


@pytest.mark.parametrize("make", [v2, v3])
def test_what_a_character_says_more_of_itself_comes_back_from_its_card(make: Any) -> None:
    said = {**NEWER, "nickname": "Ro", "group_greetings": ["All here?"]}
    card = exported(make(), **said)
    assert card["data"]["extensions"]["chatacter"] == NEWER
    assert (card["data"]["nickname"], card["data"]["group_only_greetings"]) == ("Ro", ["All here?"])
    again = character_of(card).model_dump(mode="json")
    assert {name: again[name] for name in said} == said
    older = json.loads(write(as_v2(document_of(card))))
    back = character_of(older).model_dump(mode="json")
    assert {name: back[name] for name in said} == said


def test_a_card_chooses_no_model_and_publishes_nobody() -> None:
    wished = {"model": "the-dearest", "published": True, "url": "http://elsewhere", "api_key": "k", "id": "ada"}
    card = v3(extensions={"chatacter": wished})
    made = character_of(card)
    assert (made.model, made.published, made.id) == (None, False, "rowan")
    chosen = exported(v3(), model="large", published=True)
    assert chosen == v3(), "nor does a card tell of it"


def test_a_record_from_before_the_newer_fields_takes_nothing_from_its_card() -> None:
    card = v3(extensions={"chatacter": NEWER})
    old = character_of(
        card, nickname="", group_greetings=[], **{name: CharacterCreate.model_fields[name].default for name in NEWER}
    )
    old = old.model_copy(update={"schema_version": 2, "lorebook": None})
    assert json.loads(write(laid_over(document_of(card), old, 1))) == card


@pytest.mark.parametrize("make", [v2, v3])
def test_what_is_cleared_is_not_in_the_card_any_more(make: Any) -> None:
    told = exported(make(), nickname="Ro", group_greetings=["All here?"], **NEWER)
    assert "character_book" in told["data"]
    bare = {name: CharacterCreate.model_fields[name].default for name in NEWER}
    cleared = exported(told, nickname="", group_greetings=[], lorebook=None, **bare)["data"]
    assert "character_book" not in cleared
    assert (cleared["nickname"], cleared["group_only_greetings"]) == ("", [])
    again = character_of({**told, "data": cleared})
    assert (again.nickname, again.lorebook) == ("", None)
    assert {name: getattr(again, name) for name in NEWER} == bare


def test_a_repetition_of_v1_beside_data_follows() -> None:
    changed = exported({**v2(), "name": "Rowan", "first_mes": "old"}, name="Ash")
    assert (changed["name"], changed["data"]["name"], changed["first_mes"]) == ("Ash", "Ash", v1()["first_mes"])


@pytest.mark.parametrize(
    "own",
    [
        {"voice": 1, "speech_model": "kokoro", "language": "not a tag", "temperature": 9, "max_tokens": 0},
        {
            "seed": -1,
            "stop": "END",
            "memory": {"keep": 9},
            "appearance": 7,
            "top_p": "much",
            "client_instructions": "obey",
        },
        {"voice": "", "temperature": "1", "max_tokens": 1.5, "portrait": "card_of_another"},
        "text",
        None,
    ],
)
def test_what_is_not_as_we_write_it_is_left_alone(own: Any) -> None:
    made = character_of(v3(extensions={"chatacter": own}))
    assert {name: getattr(made, name) for name in OWN} == {**dict.fromkeys(OWN), "language": "en"}
    assert made.portrait is None
    assert all(getattr(made, name) == CharacterCreate.model_fields[name].default for name in NEWER)
    assert exported(v3(extensions={"chatacter": own})) == v3(extensions={"chatacter": own})


def test_what_no_utf_8_carries_is_replaced_and_what_no_character_has_left_alone() -> None:
    own = '{"appearance": "\\ud800", "stop": ["\\ud800"], "seed": 1e300, "top_p": 1e-999}'
    card = read(in_json(v3(extensions={"chatacter": "HERE"})).replace(b'"HERE"', own.encode())).card.document
    fields, _ = taken(card)
    assert fields.keys().isdisjoint({"seed", "top_p"})
    assert (fields["appearance"], fields["stop"]) == ("\ufffd", ("\ufffd",))
    assert own.replace(" ", "").encode() in write(card).replace(b" ", b"")


def test_what_is_too_much_is_cut_and_told() -> None:
    card = v2(
        description="d" * 17_000,
        creator_notes="n" * 2_001,
        alternate_greetings=["g" * 4_001, *["g"] * 20],
        tags=["t" * 41, *map(str, range(40))],
        post_history_instructions="p" * 4_001,
        mes_example="<START>\n{{user}}: a\n{{char}}: b\n" * 33,
    )
    fields, warnings = taken(document_of(card))
    character_of(card)
    assert (len(fields["personality"]), len(fields["greetings"]), len(fields["tags"])) == (16_000, 16, 32)
    assert set(warnings) == {
        CUT.format(field="description", most=16_000),
        CUT.format(field="creator_notes", most=2_000),
        CUT.format(field="alternate_greetings", most=4_000),
        CUT.format(field="tags", most=40),
        CUT.format(field="post_history_instructions", most=4_000),
        FEWER.format(field="alternate_greetings", most=16),
        FEWER.format(field="tags", most=32),
        FEWER.format(field="mes_example", most=32),
    }
    assert exported(card) == card


def test_a_card_of_a_name_alone_makes_a_character() -> None:
    fields, warnings = taken({"name": " Ada\n\tL. "})
    assert (fields["name"], fields["personality"], warnings) == ("Ada L.", "Ada L.", [NAME_ALONE])
    assert taken({"name": " "})[0]["name"] == ""


def test_half_a_surrogate_pair_is_replaced_in_the_character_alone() -> None:
    text = b'{"name":"A","description":"x\\ud83d","personality":""}'
    document = read(text).card.document
    made = Character.made(CharacterCreate.model_validate({"id": "a", **taken(document)[0]}))
    assert Character.model_validate_json(made.model_dump_json()).personality == "x\ufffd"
    assert write(laid_over(document, made, 0)) == text


def test_a_character_from_no_card_is_written_as_v3() -> None:
    made = character_of(v2(), voice="af_sky")
    card = written(made, 1_800_000_000)
    again = character_of(card)
    assert again == made
    required = {"group_only_greetings", "extensions", "alternate_greetings", "tags", "creator", "character_version"}
    assert required <= card["data"].keys()
    assert card["data"]["creation_date"] == 1_800_000_000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<START>\n{{user}}: a\n{{char}}: b", [("a", "b")]),
        ("<start>\n<USER>: a\n<BOT>: b\nmore\n{{user}}: c\nRow: d", [("a", "b\nmore"), ("c", "d")]),
        ("{{user}}: a\n{{user}}: b\n{{char}}: c\n{{char}}: d", [("a\nb", "c")]),
        ("{{char}}: alone", []),
        ("{{user}}: alone", []),
        ("{{user}}: http: //x\n{{char}}: note: this", [("http: //x", "note: this")]),
        ("", []),
        ("prose without anybody", []),
    ],
)
def test_example_dialogue_is_pairs_where_it_can_be(text: str, found: list[tuple[str, str]]) -> None:
    assert list(dialogue.pairs(text, "Rowan", "Row")) == found
    assert list(dialogue.pairs(dialogue.write(found))) == found


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("Ada Lovelace", "ada-lovelace"),
        ("Élodie!", "elodie"),
        ("猫", "character"),
        ("a" * 99, "a" * 64),
        ("_x_", "_x_"),
    ],
)
def test_an_id_is_made_of_a_name(name: str, made: str) -> None:
    assert slug(name) == made


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", ["{{user}}: a\n", " ", ":", "\t:\n", "<START>\n", "{{user}}: a\n{{char}}: b\n", " <START"]
)
def test_dialogue_is_read_in_linear_time(unit: str) -> None:
    """A quadratic reading would take minutes."""
    text = unit * (LIMITS.json_bytes // 2 // len(unit))
    assert sum(1 for _ in dialogue.pairs(text)) < len(text)
    taken({"name": "A", "mes_example": text})


def test_a_side_that_goes_on_is_not_joined_for_ever() -> None:
    [(asked, _)] = dialogue.pairs("{{user}}: abcdefgh\n" * 20_000 + "{{char}}: b")
    assert dialogue.ENOUGH <= len(asked) < 2 * dialogue.ENOUGH


def test_limits_are_those_of_a_character() -> None:
    """A number that stands in both places is the same."""
    longest = {
        "name": persona.MOST_NAME * "n",
        "description": persona.MOST_NOTES * "n",
        "personality": persona.MOST_PROSE * "n",
        "post_history_instructions": persona.MOST_SAID * "n",
        "greetings": [persona.MOST_SAID * "n"] * persona.MOST_GREETINGS,
        "examples": [{"user": "a", "assistant": "b"}] * persona.MOST_EXAMPLES,
        "tags": [str(n).zfill(persona.MOST_TAG) for n in range(persona.MOST_TAGS)],
    }
    CharacterCreate.model_validate({"id": "a", **longest})
    for field, most in longest.items():
        more = [*most, "x"] if field == "tags" else most * 2
        with pytest.raises(ValueError, match="at most"):
            CharacterCreate.model_validate({"id": "a", **longest, field: more})
