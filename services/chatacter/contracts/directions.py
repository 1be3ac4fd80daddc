"""Stage directions in what a character says: `[smiles]`, `*looks away*`, `[emotion=sad]`. They are acted, never spoken.

Chattr leaves them out of what it has spoken; a talking portrait acts them where they stand. Square brackets take
adjectives too (`[happy]`); between asterisks, which also stress words, and in parentheses only what somebody does or
how (`*smiles*`, `(angrily)`) is a direction. What is not known here is left in the text, as it is written.
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
    r"\[(?P<square>[^\[\]\n]{1,160})\](?!\()"
    r"|(?<![*\w])\*(?P<stars>[^\s*](?:[^*\n]{0,158}[^\s*])?)\*(?![*\w])"
    r"|\((?P<round>[^()\n]{1,160})\)"
)
SETTING: Final = re.compile(r"\s*(?P<name>emotion|gaze)\s*[=:]\s*(?P<value>[\w-]{0,40})\s*", re.IGNORECASE)
SLIGHT: Final = re.compile(r"\b(?:slight|slightly|a little|faintly?|softly|half|almost)\b", re.IGNORECASE)
STRONG: Final = re.compile(r"\b(?:very|broadly|wide|widely|brightly|deeply|so|really|loudly)\b", re.IGNORECASE)
AS_USUAL: Final = 1.0

# What somebody does, or how: taken wherever a direction may stand. Adjectives: in square brackets only.
DONE: Final[Lexicon] = {
    ("emotion", "happy"): r"smil(?:es?|ing)|grin(?:s|ning)?|beam(?:s|ing)|happily|cheerfully|joyfully|warmly",
    ("emotion", "sad"): r"pouts?|sobs?|sobbing|weeps?|cr(?:ies|ying)|sadly|mournfully|sorrowfully",
    ("emotion", "angry"): r"frown(?:s|ing)?|scowl(?:s|ing)?|glar(?:es|ing)|angrily|furiously|sternly",
    ("emotion", "surprised"): r"gasp(?:s|ing)?|in surprise|surprisedly",
    ("emotion", "afraid"): r"trembl(?:es|ing)|shudder(?:s|ing)?|fearfully|nervously|anxiously",
    ("emotion", "thoughtful"): r"ponder(?:s|ing)|muses|musing|think(?:s|ing)|thoughtfully|pensively",
    ("gesture", "laugh"): r"laugh(?:s|ing|ter)?|chuckl(?:es?|ing)|giggl(?:es?|ing)",
    ("gesture", "sigh"): r"sigh(?:s|ing)?",
    ("gesture", "nod"): r"nod(?:s|ding)?",
    ("gesture", "shake"): r"shak(?:es|ing) (?:\w+ )?head",
    ("gesture", "tilt"): r"tilt(?:s|ing) (?:\w+ )?head|cock(?:s|ing) (?:\w+ )?head",
    ("gesture", "wink"): r"wink(?:s|ing)?",
    ("gesture", "shrug"): r"shrug(?:s|ging)?",
    ("gesture", "brow"): r"rais(?:es|ing) (?:\w+ )?(?:eye)?brows?",
    ("gaze", "camera"): r"look(?:s|ing)? (?:\w+ )?(?:at (?:you|the camera|the viewer)|back|into your eyes)",
    ("gaze", "aside"): r"look(?:s|ing)? (?:\w+ )?(?:away|aside|out)|avert(?:s|ing) (?:\w+ )?(?:eyes|gaze)",
    ("gaze", "left"): r"look(?:s|ing)? (?:to (?:the|\w+) )?left",
    ("gaze", "right"): r"look(?:s|ing)? (?:to (?:the|\w+) )?right",
    ("gaze", "up"): r"look(?:s|ing)? up|rolls (?:\w+ )?eyes",
    ("gaze", "down"): r"look(?:s|ing)? down|lowers (?:\w+ )?(?:eyes|gaze)",
    ("gaze", "follow"): r"follows (?:\w+ )*with (?:\w+ )?eyes",
}
FELT: Final[Lexicon] = {
    ("emotion", "neutral"): r"neutral|calm|calmly|serious",
    ("emotion", "happy"): r"happy|cheerful|joyful|glad|delighted|amused|excited|smile",
    ("emotion", "sad"): r"sad|unhappy|sorrowful|melancholy|disappointed",
    ("emotion", "angry"): r"angry|furious|annoyed|mad",
    ("emotion", "surprised"): r"surprised|amazed|astonished|shocked|surprise",
    ("emotion", "afraid"): r"afraid|scared|frightened|fearful|nervous|anxious|worried",
    ("emotion", "thoughtful"): r"thoughtful|pensive|curious",
}


def known(words: Lexicon) -> re.Pattern[str]:
    """Write a lexicon as one pattern, whose groups are numbered as the lexicon is ordered."""
    return re.compile("|".join(rf"(\b(?:{each})\b)" for each in words.values()), re.IGNORECASE)


ACTS: Final = known(DONE)
STATES: Final = known(FELT)


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


def script(text: str) -> Script:
    """Part a text into what is said and how."""
    spoken, found, unknown = "", list[Direction](), list[str]()
    end = 0
    for bracket in BRACKETED.finditer(text):
        meant, mistaken = read(bracket)
        if not meant and not mistaken:
            continue
        spoken = joined(spoken, text[end : bracket.start()])
        position = len(spoken.rstrip())
        found += [Direction(position, kind, value, strength) for kind, value, strength in meant]
        unknown += mistaken
        end = bracket.end()
    return Script(joined(spoken, text[end:]).strip() if end else text, tuple(found), tuple(unknown))


Meant = tuple[Kind, str, float]


def read(bracket: re.Match[str]) -> tuple[list[Meant], list[str]]:
    """Return what one bracket directs, and the names of its settings that mean nothing."""
    square = bracket["square"]
    if square is not None:
        meant, unknown = settings(square)
        if meant or unknown:
            return meant, unknown
        return [*acted(square, DONE, ACTS), *acted(square, FELT, STATES)], []
    if bracket["round"] is not None and len(bracket["round"].split()) > WORDS_IN_PARENTHESES:
        return [], []
    return [*acted(bracket["stars"] or bracket["round"], DONE, ACTS)], []


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
    if after[:1] in set(".,;:!?…"):
        return before.rstrip() + after
    if not before or before[-1].isspace():
        return before + after.lstrip(" ")
    return f"{before} {after}" if after and not after[0].isspace() else before + after
