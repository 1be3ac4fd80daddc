"""Characters from files: the built-in ones, an operator's own, and mistakes with their lines."""

from pathlib import Path

import pytest

from chatacter.chassis.errors import Misconfigured
from chattr.adapters.character_files import built_in, from_path, portraits
from chattr.domain.prompt import Budget, estimated_tokens, stable_prefix

pytestmark = pytest.mark.unit

MINIMAL = "id: {id}\nname: Somebody\npersonality: Kind.\n"


def test_four_characters_come_with_chattr() -> None:
    characters = built_in()
    assert sorted(characters) == ["ada", "iris", "leonardo", "mira"]
    for character in characters.values():
        assert character.portrait in portraits()
        assert character.voice
        assert character.greeting
        assert len(character.examples) >= 3
        assert "AI" in character.description


def test_a_built_in_character_is_short_enough_for_a_small_model() -> None:
    for character in built_in().values():
        prefix = stable_prefix(character, Budget(disclosure=False))
        assert sum(estimated_tokens(message["content"]) for message in prefix) <= 280


@pytest.mark.parametrize("name", ["one.yaml", "one.yml", "one.json"])
def test_a_file_is_one_character_or_a_list(tmp_path: Path, name: str) -> None:
    one = '{"id": "x", "name": "X", "personality": "Kind."}'
    path = tmp_path / name
    path.write_text(one)
    assert list(from_path(path)) == ["x"]
    path.write_text(f"[{one}, {one.replace('x', 'y')}]")
    assert list(from_path(path)) == ["x", "y"]


def test_a_folder_is_read_by_name_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / ".old.yaml").write_text("nonsense")
    (tmp_path / "b.yaml").write_text(MINIMAL.format(id="b"))
    (tmp_path / "a.yaml").write_text(MINIMAL.format(id="a"))
    (tmp_path / "README.md").write_text("not a character")
    assert list(from_path(tmp_path)) == ["a", "b"]


def test_all_mistakes_are_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "id: Bad Id\nname: X\npersonality: Kind.\nexamples:\n  - user: hi\n    answer: ho\n"
    )
    (tmp_path / "b.json").write_text('[\n{"id": "b", "name": "B", "personality": "p",\n "temperature": 9},\n3]')
    (tmp_path / "c.yml").write_text("id: 'c\n")
    (tmp_path / "d.json").write_text('{"id": }')
    (tmp_path / "e.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "f.yaml").write_text(MINIMAL.format(id="f"))
    (tmp_path / "g.yaml").write_text(f"# again\n{MINIMAL.format(id='f')}")
    with pytest.raises(Misconfigured) as caught:
        from_path(tmp_path)
    told = [line.removeprefix(f"{tmp_path}/") for line in caught.value.message.splitlines()]
    assert told == [
        "a.yaml:1: id: use 1 to 64 small letters, digits, `_` or `-`",
        "a.yaml:5: examples.0.assistant: Field required",
        "a.yaml:6: examples.0.answer: Extra inputs are not permitted",
        "b.json:3: temperature: Input should be less than or equal to 2",
        "b.json:4: write one character, or a list of characters",
        "c.yml:2: this is not YAML: found unexpected end of stream",
        "d.json:1: this is not JSON: Expecting value",
        "e.yaml: cannot be read as UTF-8 text",
        f"g.yaml:2: the id 'f' is already taken by {tmp_path}/f.yaml:1",
    ]


def test_json_that_is_no_yaml_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "tabs.json"
    path.write_text('{\n\t"id": "x",\n\t"name": "X",\n\t"personality": "Kind\\/calm."\n}')
    assert from_path(path)["x"].personality == "Kind/calm."


def test_a_missing_path_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no file or folder"):
        from_path(tmp_path / "nowhere")
    with pytest.raises(Misconfigured, match=r"holds no \.yaml"):
        from_path(tmp_path)
