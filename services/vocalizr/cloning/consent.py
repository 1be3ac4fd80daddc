"""What a speaker has to say to consent, and whether they said it."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from chatacter.chassis.errors import InvalidInput, Unsupported

# The same sentence in every language; each names the owner of the voice, their agreement, and what is made of it.
PHRASES: Final[Mapping[str, str]] = {
    "en": "I am the owner of this voice, and I agree that it is used to make a synthetic voice.",
    "de": "Ich bin der Eigentümer dieser Stimme und stimme zu, dass aus ihr eine synthetische Stimme erzeugt wird.",
    "es": "Soy el propietario de esta voz y acepto que se use para crear una voz sintética.",
    "fr": "Je suis le propriétaire de cette voix et j'accepte qu'elle serve à créer une voix synthétique.",
    "it": "Sono il proprietario di questa voce e accetto che venga usata per creare una voce sintetica.",
    "nl": "Ik ben de eigenaar van deze stem en ik ga ermee akkoord dat er een synthetische stem van wordt gemaakt.",
    "pl": "Jestem właścicielem tego głosu i zgadzam się, aby użyto go do stworzenia syntetycznego głosu.",
    "pt": "Sou o proprietário desta voz e aceito que ela seja usada para criar uma voz sintética.",
    "ru": "Я владелец этого голоса и согласен, чтобы из него создали синтетический голос.",
}
# One such word turns the sentence round, whatever share of it that is.
NEGATIONS: Final[Mapping[str, str]] = {
    "en": "not no never none nor neither cannot can't don't doesn't didn't isn't aren't ain't won't wouldn't hardly "
    "refuse refused disagree forbid without unless object oppose deny prohibit reject decline revoke withdraw",
    "de": "nicht kein keine keiner keinem keinen nie niemals nein ohne kaum lehne ablehne verbiete widerspreche "
    "verweigere untersage widerrufe dagegen",
    "es": "no nunca jamás tampoco sin rechazo prohíbo niego deniego",
    "fr": "ne pas jamais non aucun sans refuse interdis rejette oppose m'oppose",
    "it": "non no mai né senza rifiuto vieto nego proibisco",
    "nl": "niet geen nooit nee zonder weiger verbied tegen",
    "pl": "nie nigdy bez odmawiam zabraniam zakazuję",
    "pt": "não nunca jamais nem sem recuso proíbo rejeito nego",
    "ru": "не нет никогда без ни против запрещаю отказываюсь",
}
# What a sentence cannot lose or have altered and still be a consent: whose the voice is, and that they agree. Each
# is a pattern for a run of words; women may say the owner's word as it is for them.
BEARING: Final[Mapping[str, tuple[str, str]]] = {
    "en": ("the owner of this voice", "and i agree that"),
    "de": ("eigentümer(in)? dieser stimme", "und (ich )?stimme zu"),
    "es": ("propietari[oa] de esta voz", "y acepto que"),
    "fr": ("propriétaire de cette voix", "et j'accepte qu'elle"),
    "it": ("proprietari[oa] di questa voce", "e accetto che"),
    "nl": ("eigena(ar|res) van deze stem", "ik ga er ?mee akkoord"),
    "pl": ("właściciel(em|ką) tego głosu", "i zgadzam się"),
    "pt": ("proprietári[oa] desta voz", "e aceito que"),
    "ru": ("владел(ец|ица) этого голоса", "и (я )?соглас(ен|на) чтобы"),
}
# Whisper writes "I'm" for "I am" and misses an ending now and then; three words of eighteen may differ.
MOST_WRONG: Final = 0.2

NO_PHRASE: Final = "language: there is no consent phrase in this language. There is one in: {}."
WRONG_WORDS: Final = (
    "recording: it does not say the consent phrase ({wrong:.0f} % of the words differ, at most {most:.0f} % may). "
    "Say only this: {phrase}"
)
UNSAID: Final = "recording: whose voice it is, and that they agree, is not heard word for word. Say only this: {phrase}"
REFUSED: Final = "recording: it holds words that deny what the phrase says. Say only this: {phrase}"


def phrase_of(language: str) -> tuple[str, str]:
    """Return the language's code and its phrase, for a BCP 47 tag. Raises `Unsupported`."""
    code = language.partition("-")[0].lower()
    if code not in PHRASES:
        raise Unsupported(NO_PHRASE.format(", ".join(PHRASES)), param="language")
    return code, PHRASES[code]


def require_said(heard: str, code: str) -> float:
    """Return the share of words that differ from the phrase. Raises `InvalidInput` when it was not said."""
    phrase = PHRASES[code]
    said = words(heard)
    if any(denies(word, code) for word in said):
        raise InvalidInput(REFUSED.format(phrase=phrase), param="recording")
    wrong = word_error_rate(words(phrase), said)
    if not wrong <= MOST_WRONG:
        raise InvalidInput(
            WRONG_WORDS.format(wrong=min(wrong, 1) * 100, most=MOST_WRONG * 100, phrase=phrase), param="recording"
        )
    if not all(bears(run, said) for run in BEARING[code]):
        raise InvalidInput(UNSAID.format(phrase=phrase), param="recording")
    return wrong


def bears(run: str, said: Sequence[str]) -> bool:
    """Whether a run of words, as a pattern, was said without another in between."""
    return re.search(rf"(?:^| ){run}(?: |$)", " ".join(said)) is not None


def denies(word: str, code: str) -> bool:
    """Whether a word denies; in French also as the first letter of the next one."""
    return word in NEGATIONS[code].split() or (code == "fr" and word.startswith("n'"))


def words(text: str) -> list[str]:
    """Split into words as both sides may write them: without case and punctuation, apostrophes kept."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("’", "'").replace("-", " ")
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", folded)


def word_error_rate(wanted: Sequence[str], heard: Sequence[str]) -> float:
    """Return how many words must be put, taken or changed to come from one to the other, by the words wanted."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(wanted, start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(heard, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1] / max(1, len(wanted))
