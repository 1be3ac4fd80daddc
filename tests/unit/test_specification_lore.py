"""A row for what the Card specifications say a lorebook, a decorator or a macro MUST or SHOULD do, in our words.

Without a row, since nothing here could obey or break it: what editors must write and what files must hold (the types
are those of `Entry` and `Lorebook`; `test_lorebook_reading`); "if the context isn't chat based", "if it is impossible
to count", "if the application does not support": chats are all there is, and they are counted; prefill (`@@depth 0` of
the assistant), which not every provider has; `@@after`, which no decorator is called; user icons and a user's own
prompts (`@@is_user_icon`, `@@disable_ui_prompt`), which are passed over; comments shown inline.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from chattr.domain.character import Character
from chattr.domain.lorebook.reading import book_of, document_of, opened
from chattr.domain.macros import Chance, Names, expanded
from chattr.domain.person import Persona
from chattr.domain.prompt import Budget, Setting, Turn, assemble
from tests.lore_material import book, contents, entry, looked, told

pytestmark = pytest.mark.unit


class Row(NamedTuple):
    """A sentence of a specification, and whether it holds."""

    where: str
    says: str
    holds: Callable[[], Any]


BUDGET = Budget(disclosure=False)
TALK = [Turn("user", "one"), Turn("assistant", "two"), Turn("user", "three"), Turn("assistant", "four")]
NAMES = Names("Row", "Bea", Chance("c", "p"))


def one(decorators: str, *texts: str, keys: tuple[str, ...] = ("k",), **fields: Any) -> bool:
    """Whether an entry under decorators is told after some texts."""
    return told(entry(f"{decorators}\nx", *keys, **fields), *texts)


def placed(decorators: str, history: list[Turn] = TALK, **fields: Any) -> list[str]:
    """The messages of a prompt in which an entry `X` is told."""
    given = {"system_prompt": "S", "personality": "P", "scenario": "C", **fields}
    character = Character(id="a", name="A", lorebook=book(entry(f"{decorators}\nX", "k")), **given)
    return [message["content"] for message in assemble(character, history, "k", budget=BUDGET).messages]


def passed_over(decorator: str) -> bool:
    """Whether a decorator gives way to its fallback, and is told."""
    lore = looked(book(entry(f"{decorator}\n@@@depth 7\nx", "k")), "k")
    return lore.active[0].depth == 7 and len(lore.told) == 1


def macro(text: str, **options: Any) -> str:
    """What a text becomes."""
    return expanded(text, NAMES, "here", **options)


def drawn(text: str, steady: str = "c") -> set[str]:
    """What a text becomes in many prompts."""
    return {expanded(text, Names("A", "B", Chance(steady, str(n))), "here") for n in range(80)}


def budgeted(**fields: Any) -> list[str]:
    """What is told of two entries of which one has room."""
    return contents(looked(book(entry("low", "k", **fields), entry("high", "k", priority=5), token_budget=1), "k"))


V2 = "V2 character_book"
BOOK = "V3 Lorebook"
ENTRY = "V3 entries"
AT = "V3 decorators"
CBS = "V3 CBS"
SHARED = [book(entry("own words", "k")), book(entry("shared words", "k", priority=99))]

ROWS = [
    Row(V2, "the character's lorebook is used by default", lambda: "X" in placed("@@depth 1")[-1]),
    Row(V2, "it stacks with lorebooks of the world", lambda: len(looked(SHARED, "k").active) == 2),
    Row(V2, "it takes precedence over them", lambda: contents(looked(SHARED, "k", called=2)) == ["own words"]),
    Row(V2, "it is saved in the specified format", lambda: document_of(book(entry("x", "k")))["data"]["entries"]),
    Row(V2, "lower insertion order is higher up", lambda: contents(
        looked(book(entry("b", "k", insertion_order=2), entry("a", "k", insertion_order=1)), "k")) == ["a", "b"]),
    Row(V2, "with `selective` both kinds of keys are required", lambda: not told(
        entry("x", "k", selective=True, secondary_keys=["s"]), "k")),
    Row(V2, "secondary keys are ignored without `selective`", lambda: told(
        entry("x", "k", selective=False, secondary_keys=["s"]), "k")),
    Row(V2, "constant entries are always inserted, within the budget", lambda: told(
        entry("x", constant=True), "-") and not looked(book(entry("a b", constant=True), token_budget=1), "-").active),
    Row(V2, "lower priority is discarded first", lambda: budgeted(priority=1) == ["high"]),
    Row(V2, "`before_char` stands before the character", lambda: looked(
        book(entry("x", "k", position="before_char")), "k").active[0].position == "before_char"),
    Row(V2, "name, id and comment are not used in prompts", lambda: contents(
        looked(book(entry("x", "k", name="NAME", comment="COMMENT", id=9)), "k")) == ["x"]),
    Row(BOOK, "a book alone is `lorebook_v3` with `data`", lambda: opened(
        document_of(SHARED[0]))[0].entries[0].content == "own words"),
    Row(BOOK, "fields of later versions are ignored, not refused", lambda: book_of(
        {"entries": [], "later": {"x": 1}})[1] == []),
    Row(BOOK, "and may be kept for export", lambda: document_of(book_of(
        {"entries": [], "later": {"x": 1}})[0])["data"]["later"] == {"x": 1}),
    Row(BOOK, "name and description are not used in prompts", lambda: contents(
        looked(book(entry("x", "k"), name="NAME", description="WORDS"), "k")) == ["x"]),
    Row(BOOK, "`scan_depth`: only so many recent messages are searched", lambda: looked(
        book(entry("x", "k"), scan_depth=2), "k", "-").active and not looked(
        book(entry("x", "k"), scan_depth=2), "k", "-", "-").active),
    Row(BOOK, "`token_budget`: the lowest priority is removed", lambda: budgeted(priority=-1) == ["high"]),
    Row(BOOK, "`recursive_scanning` false: contents call up nothing", lambda: contents(looked(
        book(entry("deep", "k"), entry("y", "deep"), recursive_scanning=False), "k")) == ["deep"]),
    Row(BOOK, "true: contents call up others, whatever `scan_depth`", lambda: len(looked(
        book(entry("deep", "k"), entry("y", "deep"), recursive_scanning=True, scan_depth=1), "k").active) == 2),
    Row(ENTRY, "keys: one of the strings is enough", lambda: told(entry("x", "a", "k"), "k")),
    Row(ENTRY, "secondary keys are ignored with `use_regex`", lambda: told(
        entry("x", "k", selective=True, secondary_keys=["s"], use_regex=True), "k")),
    Row(ENTRY, "content that matches is added", lambda: told(entry("x", "k"), "k")),
    Row(ENTRY, "only once, however often it matches", lambda: contents(
        looked(book(entry("x", "k", "kk"), recursive_scanning=True), "k kk k")) == ["x"]),
    Row(ENTRY, "an empty content adds nothing", lambda: not told(entry("", "k"), "k")),
    Row(ENTRY, "decorators are trimmed, and the newlines around them", lambda: contents(
        looked(book(entry("\n@@depth 1\n\n\n@@role user\n\nx\n", "k")), "k")) == ["x\n"]),
    Row(ENTRY, "`use_regex`: patterns are matched", lambda: told(entry("x", "k+$", use_regex=True), "kkk")),
    Row(ENTRY, "an invalid pattern matches nothing", lambda: not told(entry("x", "k(", use_regex=True), "k(")),
    Row(ENTRY, "disabled entries never match, in any case", lambda: not one("@@activate", "k", enabled=False)),
    Row(ENTRY, "`case_sensitive` true", lambda: not told(entry("x", "K", case_sensitive=True), "k")),
    Row(ENTRY, "`case_sensitive` false", lambda: told(entry("x", "K", case_sensitive=False), "k")),
    Row(ENTRY, "constant matches whatever the keys are", lambda: told(
        entry("x", "k", constant=True, selective=True, secondary_keys=["s"]), "-")),
    Row(ENTRY, "if its decorators' conditions are met", lambda: not one("@@activate_only_after 1", "-", constant=True)),
    Row(ENTRY, "constant is ignored with `use_regex`", lambda: not told(
        entry("x", "k", constant=True, use_regex=True), "-")),
    Row(ENTRY, "without a priority the insertion order may decide", lambda: contents(looked(book(
        entry("low", "k", insertion_order=1), entry("up", "k", insertion_order=2), token_budget=1), "k")) == ["up"]),
    Row(AT, "an unknown name is ignored", lambda: one("@@unheard_of 4", "k")),
    Row(AT, "an invalid value is ignored", lambda: one("@@activate_only_after soon", "k")),
    Row(AT, "of two with one name the first counts", lambda: looked(
        book(entry("@@depth 2\n@@depth 3\nx", "k")), "k").active[0].depth == 2),
    Row(AT, "a fallback counts where the decorator is not known", lambda: passed_over("@@unheard_of 1")),
    Row(AT, "and is ignored where it is", lambda: looked(
        book(entry("@@depth 2\n@@@depth 3\nx", "k")), "k").active[0].depth == 2),
    Row(AT, "at least five fallbacks, from top to bottom", lambda: looked(book(entry(
        "@@a\n" + "@@@b\n" * 9 + "@@@depth 3\n@@@depth 4\nx", "k")), "k").active[0].depth == 3),
    Row("@@activate_only_after", "no match before so many messages of the character", lambda: not one(
        "@@activate_only_after 2", "-", "-", "k") and one("@@activate_only_after 2", "-", "-", "-", "-", "k")),
    Row("@@activate_only_every", "no match where the division leaves a rest", lambda: [
        one("@@activate_only_every 2", *["-"] * (2 * replies), "k") for replies in range(4)
    ] == [True, False, True, False]),
    Row("@@keep_activate_after_match", "matches in any case once it has matched", lambda: one(
        "@@keep_activate_after_match", "k", *["-"] * 8)),
    Row("@@keep_activate_after_match", "and not before", lambda: not one("@@keep_activate_after_match", "-", "-", "-")),
    Row("@@dont_activate_after_match", "no match in any case once it has matched", lambda: not one(
        "@@dont_activate_after_match", "k", "-", "k") and one("@@dont_activate_after_match", "-", "-", "k")),
    Row("@@depth", "so many messages from the most recent one", lambda: placed("@@depth 2")[3] == "three\n[X]"),
    Row("@@depth", "more than there are: before the oldest", lambda: placed("@@depth 50")[1] == "[X]\none"),
    Row("@@depth", "less than 1: after the most recent", lambda: placed("@@depth 0")[-1] == "k\n[X]"),
    Row("@@depth", "ignored with `@@position`", lambda: placed("@@depth 2\n@@position scenario")[0] == "S\nP\nC\nX"),
    Row("@@depth", "a value that is no number is ignored", lambda: passed_over("@@depth two")),
    Row("@@instruct_depth", "ignored in a chat", lambda: passed_over("@@instruct_depth 10")),
    Row("@@reverse_depth", "counts from the oldest message", lambda: placed("@@reverse_depth 1")[1] == "one\n[X]"),
    Row("@@reverse_depth", "ignored with `@@depth`", lambda: placed("@@reverse_depth 1\n@@depth 2")[3] == "three\n[X]"),
    Row("@@reverse_depth", "ignored with `@@position`", lambda: placed(
        "@@reverse_depth 1\n@@position scenario")[0] == "S\nP\nC\nX"),
    Row("@@reverse_instruct_depth", "ignored in a chat", lambda: passed_over("@@reverse_instruct_depth 1")),
    Row("@@role", "whose words it is", lambda: placed("@@depth 2\n@@role assistant")[4] == "X\nfour"),
    Row("@@role", "another value is ignored", lambda: placed("@@depth 2\n@@role pope")[3] == "three\n[X]"),
    Row("@@scan_depth", "whatever the book says", lambda: looked(
        book(entry("@@scan_depth 3\nx", "k"), scan_depth=1), "k", "-", "-").active and not looked(
        book(entry("@@scan_depth 1\nx", "k"), scan_depth=9), "k", "-", "-").active),
    Row("@@instruct_scan_depth", "ignored in a chat", lambda: passed_over("@@instruct_scan_depth 1")),
    Row("@@is_greeting", "no match after another greeting, counted from 0", lambda: [
        bool(looked(book(entry("@@is_greeting 1\nx", "k")), "k", greeting=number).active) for number in range(3)
    ] == [False, True, False]),
    Row("@@is_greeting", "ignored where nobody knows the greeting", lambda: one("@@is_greeting 1", "k")),
    Row("@@position", "after_desc", lambda: placed("@@position after_desc")[0] == "S\nP\nX\nC"),
    Row("@@position", "before_desc", lambda: placed("@@position before_desc")[0] == "S\nX\nP\nC"),
    Row("@@position", "personality", lambda: placed("@@position personality")[0] == "S\nP\nX\nC"),
    Row("@@position", "scenario", lambda: placed("@@position scenario")[0] == "S\nP\nC\nX"),
    Row("@@position", "without that section it stands where it would", lambda: placed(
        "@@position scenario", scenario="")[0] == "S\nP\nX"),
    Row("@@position", "another value is ignored", lambda: passed_over("@@position moon")),
    Row("@@ignore_on_max_context", "no match where the context is full", lambda: not looked(
        book(entry("@@ignore_on_max_context\nx", "k")), "k", full=True).active),
    Row("@@ignore_on_max_context", "trimmed first, whatever its priority", lambda: contents(looked(book(
        entry("@@ignore_on_max_context\nx", "k", priority=9), entry("y", "k")), "k", called=1)) == ["y"]),
    Row("@@ignore_on_max_context", "priority and budget work all the same", lambda: contents(looked(book(
        entry("@@ignore_on_max_context\nx", "k", priority=1), entry("@@ignore_on_max_context\ny", "k", priority=2),
        token_budget=1), "k")) == ["y"]),
    Row("@@additional_keys", "no match without one of them", lambda: not one("@@additional_keys a,b", "k")
        and one("@@additional_keys a, b", "k b")),
    Row("@@additional_keys", "each of several", lambda: not one("@@additional_keys a\n@@additional_keys b", "k a")
        and one("@@additional_keys a\n@@additional_keys b", "k a b")),
    Row("@@additional_keys", "patterns with `use_regex`", lambda: one("@@additional_keys a+$", "k aa", use_regex=True)),
    Row("@@additional_keys", "an invalid pattern: no match", lambda: not one(
        "@@additional_keys a(", "k a(", use_regex=True)),
    Row("@@additional_keys", "what changes how keys are searched changes these", lambda: not one(
        "@@scan_depth 1\n@@additional_keys a", "a", "-", "k")),
    Row("@@exclude_keys", "no match with one of them", lambda: not one("@@exclude_keys a,b", "k b")
        and one("@@exclude_keys a,b", "k")),
    Row("@@exclude_keys", "ignored with `use_regex`", lambda: one("@@exclude_keys k", "k", use_regex=True)),
    Row("@@exclude_keys", "what changes how keys are searched changes these", lambda: one(
        "@@scan_depth 1\n@@exclude_keys a", "a", "-", "k")),
    Row("@@is_user_icon", "ignored without user icons", lambda: passed_over("@@is_user_icon x")),
    Row("@@disable_ui_prompt", "ignored without them", lambda: passed_over("@@disable_ui_prompt system_prompt")),
    Row("@@dont_activate", "no match in any case", lambda: not one("@@dont_activate", "k", constant=True)
        and not one("@@keep_activate_after_match\n@@dont_activate", "k", "-", "k")),
    Row("@@dont_activate", "ignored with `@@activate`", lambda: one("@@dont_activate\n@@activate", "-")),
    Row("@@activate", "matches in any case", lambda: one("@@activate\n@@exclude_keys k\n@@activate_only_after 9", "k")),
    Row(CBS, "letters of any case", lambda: macro("{{CHAR}}{{Reverse:ab}}") == "Rowba"),
    Row(CBS, "what is not known stays", lambda: macro("{{ours}}") == "{{ours}}"),
    Row("{{char}}", "the nickname", lambda: placed("@@depth 1", nickname="N", scenario="{{char}}<char><bot>")[0]
        == "S\nP\nNNN"),
    Row("{{char}}", "the name without one", lambda: placed("@@depth 1", scenario="{{char}}")[0] == "S\nP\nA"),
    Row("{{user}}", "the person's name", lambda: assemble(
        Character(id="a", name="A", personality="P", system_prompt="{{user}}"), [], "k",
        setting=Setting(Persona(name="Bea")), budget=BUDGET).messages[0]["content"].startswith("Bea\nP")),
    Row("{{user}}", "a default name exists (V1)", lambda: placed("@@depth 1", scenario="{{user}}")[0] == "S\nP\nUser"),
    Row("{{random}}", "one of the values", lambda: drawn("{{random:Hello,Hi,Hey}}") == {"Hello", "Hi", "Hey"}),
    Row("{{random}}", "a comma is escaped", lambda: drawn("{{random:a\\,b,c}}") == {"a,b", "c"}),
    Row("{{pick}}", "one of the values", lambda: {
        value for n in range(60) for value in drawn("{{pick::Hello,Hi,Hey}}", str(n))} == {"Hello", "Hi", "Hey"}),
    Row("{{pick}}", "the same one for the same prompt", lambda: len(drawn("{{pick:a,b,c,d}}")) == 1),
    Row("{{roll}}", "between 1 and N", lambda: drawn("{{roll:6}}") == set("123456") == drawn("{{roll:D6}}")),
    Row("{{//}}", "nothing", lambda: macro("a{{// b}}c") == "ac"),
    Row("{{//}}", "not used to match", lambda: not told(entry("x", "k"), "{{// k}}") and not looked(
        book(entry("y{{// z}}", "k"), entry("x", "z"), recursive_scanning=True), "k").active[1:]),
    Row("{{hidden_key}}", "nothing, but matched where contents are scanned", lambda: contents(looked(
        book(entry("y{{hidden_key:z}}", "k"), entry("x", "z"), recursive_scanning=True), "k")) == ["y", "x"]),
    Row("{{comment}}", "nothing, and not used to match", lambda: macro("a{{comment: b}}") == "a"
        and not told(entry("x", "k"), "{{comment: k}}")),
    Row("{{reverse}}", "backwards", lambda: macro("{{reverse:Hello}}") == "olleH"),
    Row("{{original}}", "V2: what would stand there", lambda: macro("{{original}}!", original="ours") == "ours!"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.where}: {row.says}" for row in ROWS])
def test_what_the_specifications_say_of_lore_holds(row: Row) -> None:
    assert row.holds()
