"""Stage directions in what a character says: `[smiles]`, `*looks away*`, `[emotion=sad]`. They are acted, never spoken.

Chattr leaves them out of what it has spoken; a talking portrait acts them where they stand. In square brackets they
stand anywhere, adjectives too (`[happy]`). Asterisks also stress words, and parentheses hold remarks: there a direction
stands where a sentence may begin and none goes on, and begins with what somebody does, or is all of how
(`*smiles at you*`, `(angrily)`). What is not known here is left in the text, as it is written; so is what may be meant
to be said.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Emotion = Literal["neutral", "happy", "sad", "angry", "surprised", "afraid", "thoughtful"]
Gaze = Literal["natural", "camera", "aside", "left", "right", "up", "down", "follow"]
Gesture = Literal["nod", "shake", "tilt", "wink", "laugh", "sigh", "shrug", "brow"]
Kind = Literal["emotion", "gaze", "gesture"]
Lexicon = Mapping[tuple[Kind, str], str]
EMOTIONS: Final[tuple[Emotion, ...]] = get_args(Emotion)
GAZES: Final[tuple[Gaze, ...]] = get_args(Gaze)

# Longer brackets and starred passages are no directions. A remark in parentheses soon has more words than this.
WORDS_IN_PARENTHESES: Final = 4
BRACKETED: Final = re.compile(
    r"(?<!\w)\[(?P<square>[^\[\]\n]{1,160})\](?!\(|\[\d)"
    r"|(?<![*\w])\*(?P<stars>[^\s*](?:[^*\n]{0,158}[^\s*])?)\*(?![*\w])"
    r"|\((?P<round>[^()\n]{1,160})\)"
)
FOLLOWED: Final = re.compile(rf"[ \t]*(?:{BRACKETED.pattern})")
SETTING: Final = re.compile(r"\s*(?P<name>emotion|gaze)\s*[=:]\s*(?P<value>[\w-]{0,40})\s*", re.IGNORECASE)
SLIGHT: Final = re.compile(r"\b(?:slight|slightly|a little|faintly?|softly|half|almost)\b", re.IGNORECASE)
STRONG: Final = re.compile(r"\b(?:very|broadly|wide|widely|brightly|deeply|so|really|loudly)\b", re.IGNORECASE)
AS_USUAL: Final = 1.0

# What somebody does; forms that also call something by its name or tell somebody to do it stand alone below.
DONE: Final[Lexicon] = {
    ("emotion", "happy"): r"smil(?:es|ing)|grin(?:s|ning)|beam(?:s|ing)",
    ("emotion", "sad"): r"pouts|sobs|sobbing|weeps|cr(?:ies|ying)",
    ("emotion", "angry"): r"frown(?:s|ing)|scowl(?:s|ing)|glar(?:es|ing)",
    ("emotion", "surprised"): r"gasp(?:s|ing)",
    ("emotion", "afraid"): r"trembl(?:es|ing)|shudder(?:s|ing)",
    ("emotion", "thoughtful"): r"ponder(?:s|ing)|muses|musing|think(?:s|ing)",
    ("gesture", "laugh"): r"laugh(?:s|ing)|chuckl(?:es|ing)|giggl(?:es|ing)",
    ("gesture", "sigh"): r"sigh(?:s|ing)",
    ("gesture", "nod"): r"nod(?:s|ding)",
    ("gesture", "shake"): r"shak(?:es|ing) (?:\w+ )?head",
    ("gesture", "tilt"): r"tilt(?:s|ing) (?:\w+ )?head|cock(?:s|ing) (?:\w+ )?head",
    ("gesture", "wink"): r"wink(?:s|ing)",
    ("gesture", "shrug"): r"shrug(?:s|ging)",
    ("gesture", "brow"): r"rais(?:es|ing) (?:\w+ )?(?:eye)?brows?",
    ("gaze", "camera"): r"look(?:s|ing) (?:\w+ )?(?:at (?:you|the camera|the viewer)|back|into your eyes)",
    ("gaze", "aside"): r"look(?:s|ing) (?:\w+ )?(?:away|aside|out)|avert(?:s|ing) (?:\w+ )?(?:eyes|gaze)",
    ("gaze", "left"): r"look(?:s|ing) (?:to (?:the|\w+) )?left",
    ("gaze", "right"): r"look(?:s|ing) (?:to (?:the|\w+) )?right",
    ("gaze", "up"): r"look(?:s|ing) up|rolls (?:\w+ )?eyes",
    ("gaze", "down"): r"look(?:s|ing) down|lowers (?:\w+ )?(?:eyes|gaze)",
    ("gaze", "follow"): r"follows (?:\w+ )*with (?:\w+ )?eyes",
}
# How something is said: a direction where nothing else stands in it.
SAID: Final[Lexicon] = {
    ("emotion", "happy"): r"happily|cheerfully|joyfully|warmly",
    ("emotion", "sad"): r"sadly|mournfully|sorrowfully",
    ("emotion", "angry"): r"angrily|furiously|sternly",
    ("emotion", "surprised"): r"in surprise|surprisedly",
    ("emotion", "afraid"): r"fearfully|nervously|anxiously",
    ("emotion", "thoughtful"): r"thoughtfully|pensively",
    ("gesture", "sigh"): r"sigh",
    ("gesture", "nod"): r"nod",
    ("gesture", "wink"): r"wink",
    ("gesture", "shrug"): r"shrug",
}
# What somebody feels or does, in square brackets only, and where nothing else stands in them.
FELT: Final[Lexicon] = {
    ("emotion", "neutral"): r"neutral|calm|calmly|serious",
    ("emotion", "happy"): r"happy|cheerful|joyful|glad|delighted|amused|excited|smile|grin",
    ("emotion", "sad"): r"sad|unhappy|sorrowful|melancholy|disappointed|pout|sob|weep",
    ("emotion", "angry"): r"angry|furious|annoyed|mad|frown|scowl|glare",
    ("emotion", "surprised"): r"surprised|amazed|astonished|shocked|surprise|gasp",
    ("emotion", "afraid"): r"afraid|scared|frightened|fearful|nervous|anxious|worried|tremble|shudder",
    ("emotion", "thoughtful"): r"thoughtful|pensive|curious|ponder",
    ("gesture", "laugh"): r"laugh|laughter|chuckle|giggle",
}
HOW: Final = r"(?:(?:(?!only\b)\w+ly|a little|half|almost|just|then|still|very|so|really|wide)[,\s]+)*"
WHO: Final = r"(?:(?:s?he|they|it)\s+)?"
# What goes on after an act, outside square brackets: `smiles at you`, not `Smiles are free`.
ON: Final = (
    r"(?=\s*(?:$|[.,;!…])|\s+(?:\w+ly|a|again|and|aside|at|away|back|behind|down|for|from|her|his|in|into|its|my|out|over"
    r"|their|then|through|to|up|while|wide|with)\b)"
)
# What tells sentences, which are said, from directions.
SENTENCE: Final = re.compile(
    r"\b(?:I|we|am|is|are|was|were|be|been|has|have|had|do|did|will|would|can|could|shall|should|must|may|might|not)\b"
    r"|n['’]t\b|['’](?:m|re|ll|ve|d)\b|\?",
    re.IGNORECASE,
)
ENDS: Final = ".!?…。！？"
QUOTES: Final = " \t\"'“”‘’«»()[]*_"
# Titles write longer words than these large.
SMALL_WORD: Final = 3
AND: Final = re.compile(r",|\band\b", re.IGNORECASE)


def known(words: Lexicon) -> re.Pattern[str]:
    """Write a lexicon as one pattern, whose groups are numbered as the lexicon is ordered."""
    return re.compile("|".join(rf"(\b(?:{each})\b)" for each in words.values()), re.IGNORECASE)


def only(*lexicons: Lexicon) -> re.Pattern[str]:
    """Write a pattern for a part of a direction that is nothing but words of these, and how."""
    words = "|".join(each for lexicon in lexicons for each in lexicon.values())
    return re.compile(rf"\s*{HOW}(?:{words})\s*", re.IGNORECASE)


ACTS: Final = known(DONE)
WAYS: Final = known(SAID)
STATES: Final = known(FELT)
BEGUN: Final = re.compile(rf"\s*{WHO}{HOW}(?:{'|'.join(DONE.values())})\b", re.IGNORECASE)
DOING: Final = re.compile(rf"{BEGUN.pattern}{ON}", re.IGNORECASE)
SOMEHOW: Final = only(SAID)
FEELING: Final = only(SAID, FELT)


@dataclass(frozen=True, slots=True)
class Direction:
    """What is acted from `position` on, an index into the spoken text. `strength` 1 is as usual."""

    position: int
    kind: Kind
    value: str
    strength: float = AS_USUAL


@dataclass(frozen=True, slots=True)
class Script:
    """A text parted into what is said and how. `unknown` names settings that mean nothing: `emotion=hungry`."""

    spoken: str
    directions: tuple[Direction, ...]
    unknown: tuple[str, ...]


def script(text: str, after: str = "") -> Script:
    """Part a text into what is said and how. `after`: what was said right before it, where it is not the beginning."""
    spoken, found, unknown = "", list[Direction](), list[str]()
    end = 0
    for bracket, meant, mistaken in directions(text, after):
        spoken = joined(spoken, text[end : bracket.start()])
        position = len(spoken.rstrip())
        found += [Direction(position, kind, value, strength) for kind, value, strength in meant]
        unknown += mistaken
        end = bracket.end()
    return Script(joined(spoken, text[end:]).rstrip() if end else text, tuple(found), tuple(unknown))


def bracketed(text: str) -> str:
    """Write all directions in square brackets, which nobody takes for stressed words; those that mean nothing go."""
    written, end = "", 0
    for bracket, meant, _ in directions(text):
        direction = f"[{next(filter(None, bracket.groups()))}]" if meant else ""
        written, end = written + text[end : bracket.start()] + direction, bracket.end()
    return written + text[end:]


Meant = tuple[Kind, str, float]


def directions(text: str, after: str = "") -> Iterator[tuple[re.Match[str], list[Meant], list[str]]]:
    """Yield the brackets that direct, and what; names of settings that mean nothing, too."""
    said, end = after, 0
    for bracket in BRACKETED.finditer(text):
        meant, mistaken = read(bracket, said + text[end : bracket.start()])
        if meant or mistaken:
            said, end = said + text[end : bracket.start()], bracket.end()
            yield bracket, meant, mistaken


def read(bracket: re.Match[str], before: str) -> tuple[list[Meant], list[str]]:
    """Return what one bracket directs, `before` being said, and the names of its settings that mean nothing."""
    square = bracket["square"]
    if square is not None:
        meant, unknown = settings(square)
        return (meant, unknown) if meant or unknown else (directed(square), [])
    words = bracket["stars"] or bracket["round"]
    if bracket["round"] is not None and len(words.split()) > WORDS_IN_PARENTHESES:
        return [], []
    lexicon, pattern = (SAID, WAYS) if SOMEHOW.fullmatch(words) else (DONE, ACTS)
    doing = DOING.match(words) and not SENTENCE.search(words) and not is_title(words)
    if not (doing or lexicon is SAID) or not may_begin(before) or goes_on(bracket):
        return [], []
    return [*acted(words, lexicon, pattern)], []


def may_begin(before: str) -> bool:
    """Whether a sentence may begin after this."""
    said = before.rstrip(QUOTES)
    return not said or said[-1] in f"{ENDS}\n"


def goes_on(bracket: re.Match[str]) -> bool:
    """Whether a sentence goes on after a bracket, and others that follow on it."""
    text, end = bracket.string, bracket.end()
    while more := FOLLOWED.match(text, end):
        end = more.end()
    letter = text[end:].lstrip(QUOTES)[:1]
    return letter.islower() or letter.isdigit()


def directed(words: str) -> list[Meant]:
    """Return what square brackets direct: its parts, all of them states, or acts and what goes with them."""
    parts = AND.split(words)
    states = [FEELING.fullmatch(part) is not None for part in parts]
    acts = BEGUN.match(words) is not None and not is_title(words)
    if not acts and not all(state or BEGUN.match(part) for state, part in zip(states, parts, strict=True)):
        return []
    meant: dict[Meant, None] = {}
    for state, part in zip(states, parts, strict=True):
        ways = (*acted(part, SAID, WAYS), *acted(part, FELT, STATES)) if state else acted(part, DONE, ACTS)
        meant |= dict.fromkeys(ways)
    return [*meant]


def is_title(words: str) -> bool:
    """Whether words are written as a book's are: `Thinking, Fast and Slow`."""
    found = re.findall(r"[^\W\d_]+", words)
    small = any(word[0].islower() for word in found if len(word) > SMALL_WORD)
    return any(word[0].isupper() for word in found[1:]) and not small


def settings(words: str) -> tuple[list[Meant], list[str]]:
    """Read `emotion=sad, gaze=down`; return also the names of those without a meaning."""
    meant: list[Meant] = []
    unknown: list[str] = []
    for part in words.split(","):
        setting = SETTING.fullmatch(part)
        if setting is None:
            continue
        name, value = setting["name"].lower(), setting["value"].lower()
        if name == "emotion" and value in EMOTIONS:
            meant.append(("emotion", value, AS_USUAL))
        elif name == "gaze" and value in GAZES:
            meant.append(("gaze", value, AS_USUAL))
        else:
            unknown.append(name)
    return meant, unknown


def acted(words: str, lexicon: Lexicon, pattern: re.Pattern[str]) -> Iterator[Meant]:
    """Yield what the words of a direction mean, each meaning once."""
    strength = AS_USUAL * (0.5 if SLIGHT.search(words) else 1.5 if STRONG.search(words) else 1.0)
    keys = list(lexicon)
    found = dict.fromkeys(keys[(hit.lastindex or 1) - 1] for hit in pattern.finditer(words))
    yield from ((kind, value, strength) for kind, value in found)


def joined(before: str, after: str) -> str:
    """Put two pieces of a text together where a direction stood between them; one space is enough."""
    if not before:
        return after.lstrip()
    if after[:1] in set(".,;:!?…"):
        return before.rstrip() + after
    if before[-1].isspace():
        return before + after.lstrip(" ")
    return f"{before} {after}" if after and not after[0].isspace() else before + after
