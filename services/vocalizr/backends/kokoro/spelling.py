"""Text as people write it, made into words and the punctuation that Kokoro knows: marks, abbreviations, addresses."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from vocalizr.backends.kokoro.numbers import spoken_numbers

QUOTES: Final = str.maketrans({
    "‘": "'", "’": "'", "‛": "'", "`": "'", "´": "'", "«": '"', "»": '"', "„": '"', "“": '"', "”": '"',
    "―": "—", "−": "-", "‐": "-", "‑": "-", "\u00a0": " ", "\u202f": " ",
    "。": ".", "，": ",", "！": "!", "？": "?",
})  # fmt: skip

# Read before any number, since some belong to one. A match of `No.` needs the number after it.
TITLES: Final[Mapping[str, str]] = {
    "Mr": "Mister", "Mrs": "Missis", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor", "Jr": "Junior", "Sr": "Senior",
    "Capt": "Captain", "Col": "Colonel", "Gen": "General", "Lt": "Lieutenant", "Sgt": "Sergeant", "Rev": "Reverend",
    "Hon": "Honorable", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Mt": "Mount", "Ft": "Fort",
    "Jan": "January", "Feb": "February", "Aug": "August", "Sept": "September", "Sep": "September", "Oct": "October",
    "Nov": "November", "Dec": "December", "Inc": "Incorporated", "Ltd": "Limited", "Corp": "Corporation",
    "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Dept": "Department",
}  # fmt: skip
SHORT: Final[Mapping[str, str]] = {
    "etc.": "et cetera", "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "vs": "versus", "approx.": "about",
    "w/o": "without", "w/": "with ",
}  # fmt: skip
SIGNS: Final[Mapping[str, str]] = {
    "&": " and ", "+": " plus ", "=": " equals ", "@": " at ", "%": " percent ", "×": " times ", "÷": " divided by ",
    "<": " less than ", ">": " greater than ", "§": " section ", "©": " copyright ", "~": " about ", "/": " slash ",
}  # fmt: skip

TITLE: Final = re.compile(rf"\b({'|'.join(TITLES)})\.(?=\s|,|$)")
SAINT: Final = re.compile(r"\bSt\.(?=\s+[A-Z])")
STREET: Final = re.compile(r"\bSt\.")
NUMERO: Final = re.compile(r"\bNo\.(?=\s*[0-9])")
INITIALS: Final = re.compile(r"\b(?![AaPp]\.[Mm]\.)(?:[A-Za-z]\.){2,}")
SHORTENED: Final = re.compile("|".join(rf"(?<!\w){re.escape(short)}(?!\w)" for short in SHORT))
LINK: Final = re.compile(r"(?:https?://|www\.)[^\s<>()\"]+")
MAIL: Final = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", re.ASCII)
DOMAIN: Final = re.compile(r"\b([A-Za-z][\w-]*)\.(com|org|net|io|ai|dev|gov|edu)\b", re.ASCII)
HASH: Final = re.compile(r"#(?=[0-9])")
REGNAL: Final = re.compile(r"\b([A-Z][a-z]+) (I{2,3}|IV|VI{0,3}|IX|XI{0,3}|XIV|XV|XVI)\b")
NUMBERED: Final = frozenset(
    {"War", "Chapter", "Part", "Act", "Volume", "Book", "Section", "Phase", "Type", "Episode", "Mark", "Bowl"}
)
MARKDOWN: Final = re.compile(r"[*_#`|\\^{}\[\]]+")
DASHES: Final = re.compile(r"\s*(?:--+|[—–])\s*|\s+-\s+")
DOTS: Final = re.compile(r"\.{2,}")
SPACES: Final = re.compile(r"[^\S\n]+")
BREAKS: Final = re.compile(r"\s*\n\s*")
CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
LETTER_DIGIT: Final = re.compile(r"(?<=[A-Za-z])(?=[0-9])")

ROMAN: Final = {"I": 1, "V": 5, "X": 10}


def spelled_out(text: str, *, british: bool) -> str:
    """Return a text in words; what cannot be said, such as emoji and other scripts, is left for the reader to skip."""
    text = unicodedata.normalize("NFC", text).translate(QUOTES)
    text = LINK.sub(lambda match: address(match.group()), text)
    text = MAIL.sub(lambda match: address(match.group()), text)
    text = DOMAIN.sub(r"\1 dot \2", text)
    text = NUMERO.sub("number ", HASH.sub("number ", text))
    text = STREET.sub("Street", SAINT.sub("Saint", text))
    text = TITLE.sub(lambda match: TITLES[match.group(1)], text)
    text = SHORTENED.sub(lambda match: SHORT[match.group()], text)
    text = INITIALS.sub(initials, text)
    text = REGNAL.sub(regnal, text)
    text = spoken_numbers(LETTER_DIGIT.sub(" ", text), british=british)
    for sign, said in SIGNS.items():
        text = text.replace(sign, said)
    text = DOTS.sub("…", DASHES.sub(" — ", MARKDOWN.sub(" ", text)))
    return BREAKS.sub("\n", SPACES.sub(" ", CAMEL.sub(" ", text))).strip()


def address(link: str) -> str:
    """Say a web or mail address by its words."""
    bare = re.sub(r"^https?://", "", link)
    ending = "." if bare.endswith(".") else ""
    bare = bare.rstrip("./?!,;:")
    said = re.sub(r"[^\w.@/-]+", " ", bare).replace(".", " dot ").replace("@", " at ").replace("/", " slash ")
    return said.replace("-", " dash ").replace("_", " ") + ending


def initials(match: re.Match[str]) -> str:
    """Say U.S.A. as its letters; a period at the end of a sentence stays one."""
    letters = match.group().replace(".", " ").strip().upper()
    rest = match.string[match.end() :].lstrip(" ")
    at_end = not rest or (rest[0] == "\n")
    return letters + ("." if at_end else "")


def regnal(match: re.Match[str]) -> str:
    """Say Henry VIII as Henry the 8th, and World War II as World War 2."""
    number = roman(match.group(2))
    name = match.group(1)
    if name in NUMBERED:
        return f"{name} {number}"
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number, "th")
    return f"{name} the {number}{suffix}"


def roman(numeral: str) -> int:
    """Read a Roman numeral of I, V and X."""
    values = [ROMAN[letter] for letter in numeral]
    return sum(
        -value if any(later > value for later in values[index + 1 :]) else value for index, value in enumerate(values)
    )
