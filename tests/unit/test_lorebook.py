"""Which entries of a lorebook are told, which have no room, and that no book can hold a prompt up."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattr.domain.lorebook import activation, patterns
from chattr.domain.lorebook.matching import MOST_LOOKED_BACK
from chattr.domain.macros import Chance, Names
from tests.lore_material import NAMES, book, contents, entry, looked, said, told

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("one", "text", "found"),
    [
        (entry("x", "plum"), "A PLUM tree", True),
        (entry("x", "plum"), "An apple tree", False),
        (entry("x", "pear", "plum"), "plums", True),
        (entry("x", "Plum", case_sensitive=True), "plum", False),
        (entry("x", "Plum", case_sensitive=True), "Plum", True),
        (entry("x", "STRASSE"), "straße", True),
        (entry("x", "{{user}}"), "I am Ada", True),
        (entry("x", " plum "), "plum", True),
        (entry("x", "", "  "), "plum", False),
        (entry("x"), "plum", False),
        (entry("x", "plum", enabled=False), "plum", False),
        (entry("", "plum"), "plum", False),
        (entry("@@depth 1\n\n", "plum"), "plum", False),
        (entry("{{// nothing}}", "plum"), "plum", False),
        (entry("x", constant=True), "anything", True),
        (entry("x", constant=True, enabled=False), "anything", False),
        (entry("x", "plum", selective=True, secondary_keys=["tree"]), "a plum", False),
        (entry("x", "plum", selective=True, secondary_keys=["tree", "jam"]), "plum jam", True),
        (entry("x", "plum", selective=False, secondary_keys=["tree"]), "a plum", True),
        (entry("x", "plum", selective=True, secondary_keys=[]), "a plum", True),
        (entry("x", "p.um", use_regex=True), "PLUM", True),
        (entry("x", "p.um", use_regex=True, case_sensitive=True), "PLUM", False),
        (entry("x", "/p.um/", use_regex=True), "PLUM", False),
        (entry("x", "/p.um/i", use_regex=True), "PLUM", True),
        (entry("x", "/^p.um$/m"), "a\nplum\nb", True),
        (entry("x", r"/a\/b/"), "a/b", True),
        (entry("x", "p.um"), "plum", False),
        (entry("x", "plum", use_regex=True, constant=True), "apple", False),
        (entry("x", "plum", use_regex=True, selective=True, secondary_keys=["tree"]), "plum", True),
    ],
)
def test_keys(one: dict[str, Any], text: str, found: bool) -> None:
    assert told(one, text) is found


@pytest.mark.parametrize(
    ("extensions", "text", "found"),
    [
        ({"match_whole_words": True}, "plums", False),
        ({"match_whole_words": True}, "(plum)", True),
        ({"case_sensitive": True}, "PLUM", False),
        ({"selectiveLogic": 0}, "plum jam", True),
        ({"selectiveLogic": 0}, "plum", False),
        ({"selectiveLogic": 1}, "plum jam", True),
        ({"selectiveLogic": 1}, "plum jam tree", False),
        ({"selectiveLogic": 2}, "plum", True),
        ({"selectiveLogic": 2}, "plum jam", False),
        ({"selectiveLogic": 3}, "plum jam", False),
        ({"selectiveLogic": 3}, "plum jam tree", True),
        ({"probability": 0, "selectiveLogic": 2}, "plum", False),
        ({"probability": 0, "useProbability": False, "selectiveLogic": 2}, "plum", True),
        ({"position": "odd", "depth": [], "role": {}, "selectiveLogic": 2}, "plum", True),
    ],
)
def test_what_sillytavern_writes_beside(extensions: dict[str, Any], text: str, found: bool) -> None:
    logic = extensions.get("selectiveLogic")
    one = entry("x", "plum", selective=logic is not None, secondary_keys=["jam", "tree"], extensions=extensions)
    assert told(one, text) is found


def test_a_card_of_sillytavern_means_no_pattern_where_it_says_so_of_every_entry() -> None:
    beside = {"selectiveLogic": 0, "position": 4, "depth": 2, "role": 2}
    one = entry("x", "pl.m", use_regex=True, constant=True, extensions=beside)
    (active,) = looked(book(one), "hello").active
    assert (active.by, active.position, active.depth, active.role) == ("constant", "depth", 2, "assistant")
    assert not told({**one, "constant": False}, "plum")
    assert told({**one, "constant": False, "keys": ["/pl.m/"]}, "plum")


def test_how_far_is_looked() -> None:
    texts = ("plum", "one", "two", "three", "four")
    assert not told(entry("x", "plum"), *texts)
    assert told(entry("x", "plum"), *texts[:-1])
    assert looked(book(entry("x", "plum"), scan_depth=5), *texts).active
    assert not looked(book(entry("x", "four"), scan_depth=0), *texts).active
    assert told(entry("@@scan_depth 5\nx", "plum"), *texts)
    assert not looked(book(entry("@@scan_depth 1\nx", "three"), scan_depth=5), *texts).active
    assert told(entry("x", "plum", extensions={"scan_depth": 5}), *texts)


def test_what_was_commented_out_is_not_looked_at() -> None:
    assert not told(entry("x", "plum"), "{{// plum}}{{comment: plum}}{{hidden_key:plum}} hello")


def test_what_is_told_may_call_up_more_where_the_book_says_so() -> None:
    chain = [entry(f"x {{{{hidden_key:k{number + 1}}}}}", f"k{number}", insertion_order=number) for number in range(4)]
    assert len(contents(looked(book(*chain, recursive_scanning=True), "k0"))) == 4
    assert len(contents(looked(book(*chain, recursive_scanning=False), "k0"))) == 1
    assert len(contents(looked(book(*chain), "k0"))) == 1
    hidden = [{**each, "content": f"x {{{{// k{number + 1}}}}}"} for number, each in enumerate(chain)]
    assert len(contents(looked(book(*hidden, recursive_scanning=True), "k0"))) == 1


def test_recursion_ends() -> None:
    many = [entry(f"k{number + 1}", f"k{number}:") for number in range(40)]
    many = [{**each, "content": f"k{number + 1}:"} for number, each in enumerate(many)]
    assert len(looked(book(*many, recursive_scanning=True), "k0:").active) == activation.MOST_ROUNDS
    loop = [entry("b", "a"), entry("a", "b")]
    assert len(looked(book(*loop, recursive_scanning=True), "a").active) == 2


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ({}, {}, 2),
        ({"prevent_recursion": True}, {}, 1),
        ({}, {"exclude_recursion": True}, 1),
        ({"delay_until_recursion": True}, {}, 0),
        ({}, {"delay_until_recursion": 1}, 2),
    ],
)
def test_entries_may_keep_out_of_recursion(first: dict[str, Any], second: dict[str, Any], found: int) -> None:
    pair = (entry("plum jam", "tree", extensions=first), entry("sweet", "plum", extensions=second))
    assert len(looked(book(*pair, recursive_scanning=True), "tree").active) == found


def test_entries_are_told_in_their_order() -> None:
    entries = [entry(str(order), "k", insertion_order=order) for order in (5, -1, 2.5, 2)]
    assert contents(looked(book(*entries), "k")) == ["-1", "2", "2.5", "5"]
    assert contents(looked(book(entry("x", "a", "k")), "a k")) == ["x"]


def test_the_lowest_priority_goes_first_where_a_book_has_no_room() -> None:
    entries = [entry(f"{rank} two three", "k", priority=rank, insertion_order=-rank) for rank in (3, 1, 2)]
    lore = looked(book(*entries, token_budget=6), "k")
    assert contents(lore) == ["3 two three", "2 two three"]
    assert [(one.entry, one.reason) for one in lore.left] == [
        ("entry 2", "over the lorebook's budget of 6 tokens"),
    ]
    by_order = [entry(f"{order} two three", "k", insertion_order=order) for order in (3, 1, 2)]
    assert contents(looked(book(*by_order, token_budget=6), "k")) == ["2 two three", "3 two three"]
    assert contents(looked(book(entry("one two", constant=True), token_budget=1), "k")) == []


def test_a_shared_books_entries_go_before_the_characters_own() -> None:
    own, shared = book(entry("own words", "k", priority=-9)), book(entry("shared words", "k", priority=9))
    lore = looked([own, shared], "k", called=3)
    assert contents(lore) == ["own words"]
    assert [(one.source, one.reason) for one in lore.left] == [
        ("shared1", "over the 3 tokens that this model has for lore")
    ]


def test_what_gives_way_goes_first_and_where_the_context_is_full() -> None:
    giving = entry("@@ignore_on_max_context\ngiving way", "k", priority=9)
    assert contents(looked(book(giving, entry("staying here", "k", priority=1)), "k", called=3)) == ["staying here"]
    assert looked(book(giving), "k").active
    lore = looked(book(giving), "k", full=True)
    assert [one.reason for one in lore.left] == [activation.FULL]


def test_what_is_always_told_has_room_of_its_own() -> None:
    pair = book(entry("always told", constant=True), entry("when said", "k"), entry("@@activate\nforced here"))
    lore = looked(pair, "k", called=0)
    assert {one.content: one.settled for one in lore.active} == {"always told": True, "forced here": True}
    assert {one.content: one.settled for one in looked(pair, "k", settled=0).active} == {"when said": False}
    assert {one.content for one in looked(pair).active} == {"always told", "forced here"}


@pytest.mark.parametrize(
    "content",
    [
        "@@activate_only_after 0\nx",
        "@@activate_only_every 1\nx",
        "@@is_greeting 0\nx",
        "@@exclude_keys k\nx",
        "@@additional_keys a\nx",
        "@@dont_activate_after_match\nx",
        "@@ignore_on_max_context\nx",
        "@@depth 1\nx",
    ],
)
def test_what_depends_on_the_conversation_is_not_settled(content: str) -> None:
    assert not any(one.settled for one in looked(book(entry(content, constant=True)), "a").active)


def test_what_is_settled_draws_once_a_conversation() -> None:
    many = "{{random:" + ",".join(map(str, range(500))) + "}}"

    def drawn(fresh: str, **fields: Any) -> list[str]:
        names = Names("Rowan", "Ada", Chance("conversation", fresh))
        return contents(looked(book(entry(many, "k", **fields)), "k", names=names))

    assert drawn("1", constant=True) == drawn("2", constant=True)
    assert drawn("1") != drawn("2")


def test_chance_falls_as_often_as_it_says() -> None:
    half = book(entry("x", "k", extensions={"probability": 50}))
    fell = [bool(looked(half, "k", names=Names("R", "A", Chance("", str(seed)))).active) for seed in range(200)]
    assert 60 < sum(fell) < 140
    lore = looked(book(entry("x", "k", extensions={"probability": 0})), "k")
    assert [one.reason for one in lore.left] == ["its chance of 0 % did not fall"]


def test_looking_back_is_bounded() -> None:
    keep = entry("@@keep_activate_after_match\nx", "plum")
    assert told(keep, "plum", *["a"] * (2 * MOST_LOOKED_BACK))
    assert not told(keep, "plum", *["a"] * (2 * MOST_LOOKED_BACK + 2 + 8))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("(", patterns.NOT_VALID),
        ("[^]", patterns.NOT_VALID),
        (r"\p{Nonsense}", patterns.NOT_VALID),
        ("a" * 501, patterns.TOO_LARGE),
        ("((a{1000}){1000}){1000}", patterns.TOO_LARGE),
        ("(" * 51 + ")" * 51, patterns.TOO_LARGE),
        ("(a|aa)+$", patterns.TOO_SLOW),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", patterns.TOO_SLOW),
    ],
)
def test_a_pattern_that_cannot_be_searched_for_is_told(key: str, reason: str) -> None:
    lore = looked(book(entry("x", key, use_regex=True), entry("y", "!")), "a" * 15_000 + "!")
    assert contents(lore) == ["y"]
    assert [(one.entry, one.reason) for one in lore.left] == [("entry 1", reason.format(number=1))]


def test_a_slow_pattern_hides_no_other_of_its_entry() -> None:
    assert told(entry("x", "(a|aa)+$", "a!", use_regex=True), "a" * 15_000 + "!")


SLOW = "a" * 20_000 + "!"
HOSTILE = {
    "patterns": ([entry("x", f"(a|a{{1,{number + 1}}})+$", use_regex=True) for number in range(200)], [SLOW]),
    "compilations": ([entry("x", f"((a{{60}}){{30}}){number}", use_regex=True) for number in range(500)], [SLOW]),
    "keys": ([entry("x", *(f"k{number}" for number in range(256))) for _ in range(700)], ["word " * 8_000] * 4),
    "looking back": (
        [
            entry(
                "@@keep_activate_after_match\n@@scan_depth 1000\nx",
                *(f"k{number}" for number in range(256)),
                extensions={"match_whole_words": True},
            )
            for _ in range(500)
        ],
        ["word " * 400] * 800,
    ),
    "words": (
        [entry("x", *["a"] * 256, extensions={"match_whole_words": True}) for _ in range(500)],
        ["a" * 40_000],
    ),
    "decorators": ([entry("@@x\n" * 4_000, "a") for _ in range(60)], ["a"]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_book_holds_a_prompt_up(kind: str) -> None:
    entries, texts = HOSTILE[kind]
    hostile = book(*entries, recursive_scanning=True)
    began = time.process_time()
    looked(hostile, *texts)
    assert time.process_time() - began < 4 * activation.SECONDS


def test_a_clock_that_runs_out_is_told() -> None:
    hours = iter(range(0, 100_000, 3_600))
    shelf = [activation.Shelf("character", book(entry("x", "k"), entry("y", "k")))]
    room = activation.Room(10, 10, 20, len)
    lore = activation.activated(shelf, activation.Moment(said("k"), NAMES), room, clock=lambda: next(hours))
    assert lore.active == ()
    assert {one.reason for one in lore.left} == {activation.NO_TIME}


anything = st.text(max_size=12)
keys = st.lists(st.sampled_from(["a", "b", "/a/", "(", "{{user}}", ""]) | anything, max_size=3)
lines = st.sampled_from(
    [
        *("@@depth 2", "@@reverse_depth 1", "@@role user", "@@scan_depth 1", "@@activate", "@@dont_activate"),
        *("@@keep_activate_after_match", "@@dont_activate_after_match", "@@activate_only_every 2", "@@x", "@@@depth 1"),
        *("@@activate_only_after 1", "@@position scenario", "@@exclude_keys a,b", "@@additional_keys b", "@@depth x"),
    ]
)
texts = st.text(st.sampled_from("ab {}:,/"), max_size=20)


@st.composite
def drawn_entries(draw: st.DrawFn) -> dict[str, Any]:
    """Entries of all kinds, well formed."""
    content = "\n".join([*draw(st.lists(lines, max_size=4)), draw(texts)])
    return entry(
        content,
        *draw(keys),
        constant=draw(st.booleans()),
        use_regex=draw(st.booleans()),
        selective=draw(st.booleans()),
        secondary_keys=draw(keys),
        priority=draw(st.integers(-3, 3)),
        insertion_order=draw(st.integers(-3, 3)),
        position=draw(st.sampled_from(["before_char", "after_char"])),
        extensions=draw(
            st.dictionaries(
                st.sampled_from(["position", "depth", "role", "selectiveLogic", "probability", "scan_depth"]),
                st.integers(-1, 150) | st.booleans() | st.none(),
                max_size=3,
            )
        ),
    )


@given(st.lists(drawn_entries(), max_size=6), st.lists(texts, min_size=1, max_size=7), st.integers(0, 12))
def test_any_book_at_any_moment(entries: list[dict[str, Any]], talk: list[str], room: int) -> None:
    made = book(*entries, recursive_scanning=True, token_budget=9)
    lore = looked(made, *talk, settled=room, called=room)
    assert lore == looked(made, *talk, settled=room, called=room)
    for settled in (True, False):
        assert sum(one.tokens for one in lore.active if one.settled is settled) <= min(room, 9)
    assert sum(one.tokens for one in lore.active) <= 9
    assert all(one.content.strip() and one.depth >= 0 for one in lore.active)
    always = [one for one in lore.active if one.settled]
    assert always == [one for one in looked(made, "", settled=room, called=room).active if one.settled]
