"""What a word is in its sentence, from its neighbours: enough for the few hundred that sound differently by it."""

from typing import Final

# After these words a verb is likely, after those a noun; after any other, a word is what it mostly is.
BEFORE_VERB: Final = frozenset(
    {
        "to",
        "will",
        "would",
        "can",
        "could",
        "shall",
        "should",
        "may",
        "might",
        "must",
        "cannot",
        "not",
        "don't",
        "doesn't",
        "didn't",
        "won't",
        "can't",
        "couldn't",
        "wouldn't",
        "shouldn't",
        "i",
        "you",
        "we",
        "they",
        "who",
        "please",
        "let's",
        "let",
        "i'll",
        "you'll",
        "we'll",
        "they'll",
        "he'll",
        "she'll",
        "i'd",
        "you'd",
        "we'd",
        "they'd",
        "people",
        "children",
        "always",
        "never",
        "often",
    }
)
BEFORE_NOUN: Final = frozenset(
    {
        "a",
        "an",
        "the",
        "my",
        "your",
        "his",
        "her",
        "its",
        "our",
        "their",
        "this",
        "that",
        "these",
        "those",
        "no",
        "any",
        "some",
        "every",
        "each",
        "of",
        "in",
        "for",
        "with",
        "on",
        "at",
        "by",
        "from",
        "great",
        "new",
        "old",
        "good",
        "what",
        "whose",
        "another",
    }
)
BEFORE_PARTICIPLE: Final = frozenset(
    {
        "have",
        "has",
        "had",
        "having",
        "i've",
        "you've",
        "we've",
        "they've",
        "was",
        "were",
        "is",
        "are",
        "be",
        "been",
        "being",
        "i'd",
        "he'd",
        "she'd",
        "already",
        "just",
    }
)
ON_STAGE: Final = frozenset(
    {"music", "show", "concert", "wire", "broadcast", "stream", "video", "audience", "performance", "tv"}
)
NOT_LIVING: Final = frozenset({"a", "the", "is", "are", "go", "went"})
PAST: Final = frozenset({"yesterday", "ago", "last", "once", "then"})

# Words of which one sound is so much likelier in one place that the place decides.
PERSON: Final = frozenset({"he", "she", "it"})


def part_of_speech(word: str, before: str, after: str, *, phrase_end: bool) -> str:
    """Return a part of speech as the lexicon names it. All words are given in small letters; "" where there is none."""
    decided = by_word(word, before, after)
    if decided is not None:
        return decided
    if before in BEFORE_PARTICIPLE:
        return "VBN"
    if before in BEFORE_VERB:
        return "VERB"
    if before in BEFORE_NOUN:
        return "NOUN"
    return "None" if phrase_end else "DEFAULT"


def by_word(word: str, before: str, after: str) -> str | None:
    """Decide for the words that need a rule of their own."""
    if word == "used":
        return "VBD" if after == "to" else "DEFAULT"
    if word == "live":
        return "DEFAULT" if after in ON_STAGE or before in NOT_LIVING else "VERB"
    if word == "read" and (before in PERSON or after in PAST):
        return "VBD"
    return None
