"""Speech from another server with OpenAI's speech API: OpenAI itself, another Vocalizr, any that speaks it."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import httpx
import numpy as np

from chatacter.chassis.errors import (
    Busy,
    ChatacterError,
    InvalidInput,
    Misconfigured,
    Unavailable,
    Unsupported,
    UpstreamFailed,
)
from chatacter.chassis.telemetry import outgoing_headers
from chatacter.contracts.speech import MAX_INPUT_CHARACTERS, Voice
from vocalizr.backend import (
    NO_CLONING,
    NOTHING_TO_SAY,
    NothingToSay,
    Recording,
    Samples,
    SpeechCapabilities,
    SpeechChunk,
    Utterance,
)
from vocalizr.backends.pytorch.edges import flowing
from vocalizr.clauses import stretches
from vocalizr.settings import VocalizrSettings

CONNECT: Final = 5.0
# A tenth of a second of 16-bit samples at 24 kHz: often enough to be heard early, seldom enough to encode well.
PIECE: Final = 4800
BYTES: Final = 2


class RemoteSpeech:
    """Asks the other server for raw PCM and hands it on as it comes. It has no phoneme timings."""

    def __init__(self, settings: VocalizrSettings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport
        self._client: httpx.Client | None = None
        self._voices: Sequence[Voice] = ()

    @property
    def capabilities(self) -> SpeechCapabilities:
        """What the settings say of the other server."""
        return SpeechCapabilities(
            languages=frozenset(self._settings.vocalizr_remote_languages),
            sample_rate=self._settings.vocalizr_remote_sample_rate,
            cloning=False,
            instructions=self._settings.vocalizr_remote_instructions,
            timings=False,
            speed=(0.25, 4.0),
            max_characters=MAX_INPUT_CHARACTERS,
        )

    def load(self) -> None:
        """Open the connection pool and learn the voices. Raises `Misconfigured` if the server will not tell them."""
        settings = self._settings
        key = settings.vocalizr_remote_api_key or settings.service_token
        self._client = httpx.Client(
            base_url=str(settings.vocalizr_remote_url).rstrip("/") + "/",
            headers={"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(settings.vocalizr_remote_timeout, connect=CONNECT),
            transport=self._transport,
        )
        names = settings.vocalizr_remote_voices
        self._voices = [self._named({"id": name}) for name in names] if names else self._asked(self._client)

    def voices(self) -> Sequence[Voice]:
        """List the voices that were set, or that the server told."""
        return self._voices

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Pass on what the other server says, asked part by part where a text is longer than it takes.

        Raises `Unavailable`, `UpstreamFailed`, or its refusal as our own.
        """
        if not sayable(utterance.text):
            raise NothingToSay(NOTHING_TO_SAY, param="input")
        if len(utterance.text) <= self._settings.vocalizr_remote_max_characters:
            yield from map(SpeechChunk, self._said(utterance, cancelled))
            return
        for part in filter(sayable, stretches(utterance.text, self._settings.vocalizr_remote_max_characters)):
            sound = flowing(self._said(replace(utterance, text=part), cancelled), part, self.capabilities.sample_rate)
            for samples in sound:
                if cancelled.is_set():
                    return
                yield SpeechChunk(samples)

    def _said(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[Samples]:
        """Ask once; nothing once `cancelled` is set."""
        if self._client is None:
            raise RuntimeError("load() comes first")
        if cancelled.is_set():
            return
        try:
            with self._client.stream(
                "POST", "audio/speech", json=self._body(utterance), headers=outgoing_headers()
            ) as r:
                if r.status_code != httpx.codes.OK:
                    raise refusal(r)
                yield from pieces(r, cancelled)
        except httpx.TransportError as error:
            raise Unavailable("The speech server that VOCALIZR_REMOTE_URL names does not answer.") from error

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Raise `Unsupported`: it has its own voices only."""
        raise Unsupported(NO_CLONING)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _asked(self, client: httpx.Client) -> Sequence[Voice]:
        try:
            response = client.get("audio/voices", headers=outgoing_headers())
            response.raise_for_status()
            told = response.json()["data"]
            return [self._named(voice) for voice in told]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Misconfigured(
                "The server at VOCALIZR_REMOTE_URL does not list its voices; set VOCALIZR_REMOTE_VOICES."
            ) from error

    def _named(self, voice: dict[str, Any]) -> Voice:
        language = voice.get("language") or next(iter(self._settings.vocalizr_remote_languages), "und")
        name = voice.get("name") or voice["id"]
        return Voice(id=voice["id"], name=name, model=self._settings.served_name, language=language)

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        body = {
            "model": self._settings.vocalizr_remote_model,
            "input": utterance.text,
            "voice": utterance.voice,
            "speed": utterance.speed,
            "response_format": "pcm",
            "instructions": utterance.instructions,
            "language": utterance.language,
        }
        return {name: value for name, value in body.items() if value is not None}


def sayable(text: str) -> bool:
    """Whether there is anything to pronounce in a text."""
    return any(letter.isalnum() for letter in text)


def pieces(response: httpx.Response, cancelled: threading.Event) -> Iterator[Samples]:
    """Turn PCM bytes into samples; a sample whose bytes come apart waits for its other half."""
    rest = b""
    for received in response.iter_bytes(PIECE):
        if cancelled.is_set():
            return
        content = rest + received
        whole = len(content) - len(content) % BYTES
        rest = content[whole:]
        if whole:
            yield np.frombuffer(content[:whole], dtype="<i2").astype(np.float32) / np.float32(32768.0)


def refusal(response: httpx.Response) -> ChatacterError:
    """Say in our words why the other server refused; its own may quote what the user wrote."""
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Busy("The speech server behind this one is busy.", retry_after=retry_after(response))
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return Misconfigured("The speech server refuses the key in VOCALIZR_REMOTE_API_KEY.")
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return Unavailable("The speech server behind this one is not ready.", retry_after=retry_after(response))
    if httpx.codes.is_client_error(status):
        return InvalidInput(f"The speech server behind this one refused the request with status {status}.")
    return UpstreamFailed(f"The speech server behind this one failed with status {status}.")


def retry_after(response: httpx.Response) -> float | None:
    """Read `Retry-After` where it is a number of seconds."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def create(settings: VocalizrSettings) -> RemoteSpeech:
    """Make the backend that `VOCALIZR_MODEL=remote` asks for."""
    return RemoteSpeech(settings)
