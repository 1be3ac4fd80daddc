"""What the client of the public API is made of: sentences, events, sound files, sentences for what went wrong."""

import io
import struct
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatacter.chat.command import told
from chatacter.chat.sound import PLAYERS, SoundFile, WavReader, file_format, find_player
from chatacter.chat.terminal import Terminal, bar
from chatacter.client.api import Api
from chatacter.client.connection import refusal
from chatacter.client.errors import Away, ClientError, KeyNeeded, Refused
from chatacter.client.events import reply_events
from chatacter.client.sentences import Sentences, filmable, speakable
from vocalizr.audio import wav_head

pytestmark = pytest.mark.unit


def cut(*pieces: str) -> list[str]:
    sentences = Sentences()
    found = [sentence for piece in pieces for sentence in sentences.feed(piece)]
    return found + sentences.finish()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("Dr. Jekyll met Mr. Hyde. Really!", ["Dr. Jekyll met Mr. Hyde.", "Really!"]),
        ("It costs 3.50 today. Sold.", ["It costs 3.50 today.", "Sold."]),
        ("Chapter 7. It begins.", ["Chapter 7.", "It begins."]),
        ("1. Tea\n2. Storms", ["1. Tea", "2. Storms"]),
        ('"Fly!" she said. *laughs* Wait…', ['"Fly!"', "she said.", "Wait…"]),
        ("Well [smiles. Then nods] yes. No.", ["Well yes.", "No."]),
        ("*He laughs. Then he nods.* Hello. [sad] Bye.", ["Hello.", "Bye."]),
        ("Two (a. b) c. *Yes. No.* d. 2 *x. y", ["Two (a. b) c.", "Yes. No.", "d.", "2 x. y"]),
        ("I was, as I always was, *thinking*, I know.", ["I was, as I always was,", "thinking , I know."]),
        ("One line\n\nanother line", ["One line", "another line"]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("... !!! ---", []),
        ("", []),
    ],
)
def test_text_is_cut_where_a_voice_may_pause(text: str, sentences: list[str]) -> None:
    assert cut(*text) == sentences


def test_a_sentence_is_ready_as_soon_as_the_next_begins() -> None:
    sentences = Sentences()
    assert sentences.feed("Ahoy!") == []
    assert sentences.feed(" The") == ["Ahoy!"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            "Long ago, in a floating city, I sailed, sang, and slept. It was, in all, good.",
            ["Long ago, in a floating city,", "I sailed, sang, and slept.", "It was, in all, good."],
        ),
        (
            "The sea is a vast expanse of water that I love and that loves me.",
            ["The sea is a vast expanse of water", "that I love and that loves me."],
        ),
        ("Tea, and storms.", ["Tea, and storms."]),
        (f"Yes. {'word ' * 16}end, and {'word ' * 4}fin.", ["Yes.", f"{'word ' * 16}end,", f"and {'word ' * 4}fin."]),
    ],
)
def test_a_long_sentence_is_cut_once_more_and_the_first_one_early(text: str, pieces: list[str]) -> None:
    assert cut(*text) == pieces
    assert cut(text) == pieces


@given(st.text(alphabet="ab .,!?\n*1[(", max_size=60), st.integers(1, 7))
def test_nothing_is_lost_and_pieces_do_not_matter(text: str, size: int) -> None:
    whole = cut(text)
    assert cut(*(text[at : at + size] for at in range(0, len(text), size))) == whole
    letters = [letter for letter in text if letter.isalnum()]
    assert [letter for sentence in whole for letter in sentence if letter.isalnum()] == letters


def test_markup_is_not_read_aloud() -> None:
    assert speakable("**Yes**, _I_ `see`\n# it") == "Yes , I see it"


def test_directions_are_not_read_aloud_and_are_filmed() -> None:
    reply = "*smiles* **Yes**, your *smile*.\n\n(sighs) [gaze=inwards] [sad] No."
    assert speakable(reply) == "Yes , your smile . No."
    assert filmable(reply, 99) == "[smiles] Yes , your smile . [sighs] [sad] No."
    assert filmable(reply, 34) == "[smiles] Yes , your smile ."
    assert filmable("*smiles* [nods]", 99) == ""
    assert len(filmable("[ word" * 99, 400)) > 380


async def test_events_are_cut_at_line_feeds_alone() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (
            b": keep-alive\n\nid: 1\nevent: reply.delta\nda",
            'ta: {"text": "a\u2028b\x85c"}\r\n\r\nid: 2\n'.encode(),
            b'event: reply.completed\ndata: {"told": []}\n\nid: 3\nevent: reply.delta\ndata: {"te',
        ):
            yield chunk

    found = [event async for event in reply_events(chunks())]
    assert [(event.seq, event.type, event.text) for event in found] == [
        (1, "reply.delta", "a\u2028b\x85c"),
        (2, "reply.completed", ""),
    ]


async def test_a_reply_in_sentences_becomes_one_marked_wav() -> None:
    file = io.BytesIO()
    sound = SoundFile(file, "wav")
    for samples in (b"\1\0" * 240, b"\2\0" * 480):
        sound.begin()
        data = wav_head(24000) + samples
        for at in range(0, len(data), 17):
            await sound.write(data[at : at + 17])
    sound.finish()
    assert b"trainedAlgorithmicMedia" in file.getvalue()
    assert struct.unpack_from("<I", file.getvalue(), 4)[0] == len(file.getvalue()) - 8
    file.seek(0)
    with wave.open(file) as read:
        assert (read.getframerate(), read.getnframes()) == (24000, 720)
        assert read.readframes(720) == b"\1\0" * 240 + b"\2\0" * 480


def test_sound_of_another_kind_is_refused() -> None:
    stereo = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 2, 8000, 32000, 4, 16, b"data", 0)
    with pytest.raises(ClientError, match="16-bit mono"):
        WavReader().feed(stereo)


def test_files_say_by_their_name_what_they_are() -> None:
    assert file_format(Path("a.MP3")) == "mp3"
    with pytest.raises(ClientError, match=r"\.wav or \.mp3"):
        file_format(Path("a.ogg"))


def test_the_best_installed_player_is_used() -> None:
    assert find_player({"play": "/bin/play", "ffplay": "/bin/ffplay"}.get)[0] == "/bin/ffplay"
    with pytest.raises(ClientError, match=r"aplay.*--sound FILE"):
        find_player({}.get)
    assert all("{rate}" in arguments for arguments in PLAYERS.values())


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, b'{"detail": "Gone.", "type": "urn:chatacter:problem:not-found"}', Refused, "Gone."),
        (422, b'{"error": {"message": "Off.", "code": "unsupported"}}', Refused, "Off."),
        (401, b'{"detail": "Key."}', KeyNeeded, "The server wants an API key that it knows."),
        (502, b"<html>bad gateway</html>", Refused, "The server answered 502."),
        (500, b"[]", Refused, "The server answered 500."),
    ],
)
def test_errors_of_both_shapes_become_sentences(status: int, body: bytes, kind: type, message: str) -> None:
    error = refusal(httpx.Response(status, headers={"retry-after": "7"}), body)
    assert isinstance(error, kind)
    assert error.message == message
    assert not isinstance(error, Refused) or error.retry_after == 7


@pytest.mark.parametrize(
    ("error", "has_key", "words"),
    [
        (Away("x"), False, ("http://a:1", "make run", "chatacter up", "--url")),
        (KeyNeeded("x"), False, ("CHATACTER_API_KEY", "chatacter keys create")),
        (KeyNeeded("x"), True, ("does not know",)),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_to_do(
    error: ClientError, has_key: bool, words: tuple[str, ...]
) -> None:
    sentence = told(error, "http://a:1", has_key=has_key)
    assert "\n" not in sentence
    assert all(word in sentence for word in words)


async def test_an_address_or_key_that_cannot_be_sent_is_told() -> None:
    for url, key in (("http://[", None), ("http://a", "ключ"), ("http://a", "a\nb")):
        with pytest.raises(ClientError):
            async with Api.connected(url, key) as api:
                await api.health()


def test_the_terminal_keeps_replies_apart_from_what_is_said_about_them() -> None:
    out, err = io.StringIO(), io.StringIO()
    terminal = Terminal(out, err)
    terminal.speaker("Mira")
    terminal.text("Ahoy")
    terminal.note("A note.")
    terminal.progress("film", "waiting_for_gpu", 0)
    terminal.progress("film", "filming", 30)
    terminal.progress("film", "filming", 60)
    assert out.getvalue() == "Ahoy\n"
    assert err.getvalue() == "A note.\nfilm: waiting for a GPU to wake\nfilm: filming\n"
    assert bar(50, 4) == "██░░"
