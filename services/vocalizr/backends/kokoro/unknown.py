"""How a word that no lexicon has is likely to sound: g2p-en's small network (Apache-2.0), in numpy.

An encoder and a decoder, each one GRU of 256 units, from letters to ARPAbet. Source: Park & Kim, g2p-en 2.1.0,
`checkpoint20.npz`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LETTERS: Final = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
START: Final = 2
STOP: Final = 3
LONGEST_OUTPUT: Final = 20
LONGEST_WORD: Final = 24


def arpabet() -> tuple[str, ...]:
    """Return the decoder's symbols in the order of its outputs: alphabetical, vowels with three stresses each."""
    vowels = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
    consonants = ("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S")
    more = ("SH", "T", "TH", "V", "W", "Y", "Z", "ZH", "UW")
    stressed = [f"{vowel}{stress}" for vowel in vowels for stress in "012"]
    return ("<pad>", "<unk>", "<s>", "</s>", *sorted([*stressed, *consonants, *more]))


SOUNDS: Final[Mapping[str, str]] = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ", "EY": "A", "IH": "ɪ",
    "IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u", "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f",
    "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s",
    "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
REDUCED: Final[Mapping[str, str]] = {"AH": "ə", "ER": "əɹ"}
STRESS: Final[Mapping[str, str]] = {"1": "ˈ", "2": "ˌ"}

# American sounds as a British speaker has them: an r and what it does to its vowel, except before a vowel; the rest.
R_COLOURED: Final = re.compile("(ɜ|ə|ɔ|ɑ|ɛ|ɪ|ʊ)ɹ(?![ˈˌ]?[AIOWYaiuæɑɔəɛɜɪʊʌ])")
WITHOUT_R: Final[Mapping[str, str]] = {"ɜ": "ɜː", "ə": "ə", "ɔ": "ɔː", "ɑ": "ɑː", "ɛ": "ɛː", "ɪ": "ɪə", "ʊ": "ʊə"}
BRITISH_VOWELS: Final = re.compile("ɑ(?!ː)|[æO]")
BRITISH: Final[Mapping[str, str]] = {"ɑ": "ɒ", "æ": "a", "O": "Q"}


class UnknownWords:
    """Guesses the sound of any word of letters."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = dict(weights)
        self._arpabet = arpabet()

    @classmethod
    def load(cls, path: Path) -> "UnknownWords":
        """Load the network's weights."""
        with np.load(path, allow_pickle=False) as archive:
            return cls({name: archive[name] for name in archive.files})

    def sound(self, word: str) -> str:
        """Return a word's sound in Kokoro's symbols; a very long one is read in parts."""
        letters = "".join(letter for letter in word.lower() if letter in LETTERS)
        parts = [letters[begin : begin + LONGEST_WORD] for begin in range(0, len(letters), LONGEST_WORD)]
        return "".join(symbol for part in parts for symbol in self._read(part))

    def _read(self, word: str) -> Iterator[str]:
        for name in self._decoded(self._encoded(word)):
            sound, stress = (name[:-1], name[-1]) if name[-1].isdigit() else (name, "")
            if stress == "0" and sound in REDUCED:
                yield REDUCED[sound]
            else:
                yield STRESS.get(stress, "") + SOUNDS[sound]

    def _encoded(self, word: str) -> Array:
        state = np.zeros(self._weights["enc_w_hh"].shape[1], dtype=np.float32)
        for letter in (*word, "</s>"):
            state = self._step("enc", self._weights["enc_emb"][LETTERS.index(letter)], state)
        return state

    def _decoded(self, state: Array) -> Iterator[str]:
        before = START
        for _ in range(LONGEST_OUTPUT):
            state = self._step("dec", self._weights["dec_emb"][before], state)
            before = int((self._weights["fc_w"] @ state + self._weights["fc_b"]).argmax())
            if before == STOP:
                return
            if before > STOP:
                yield self._arpabet[before]

    def _step(self, layer: str, value: Array, state: Array) -> Array:
        """Return a GRU's next state. Source: Cho et al. 2014, with the gates in the order reset, update, new."""
        weights = self._weights
        given = weights[f"{layer}_w_ih"] @ value + weights[f"{layer}_b_ih"]
        kept = weights[f"{layer}_w_hh"] @ state + weights[f"{layer}_b_hh"]
        size = state.size
        gates = 1.0 / (1.0 + np.exp(-(given[: 2 * size] + kept[: 2 * size])))
        reset, update = gates[:size], gates[size:]
        new = np.tanh(given[2 * size :] + reset * kept[2 * size :])
        blended: Array = (1.0 - update) * new + update * state
        return blended


def british(sound: str) -> str:
    """Turn a guessed American sound into a British one."""
    without_r = R_COLOURED.sub(lambda match: WITHOUT_R[match.group(1)], sound)
    return BRITISH_VOWELS.sub(lambda match: BRITISH[match.group()], without_r)
