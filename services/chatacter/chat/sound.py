"""Where spoken replies go: a player's standard input, or a file. Sound arrives sentence by sentence."""

import asyncio
import shutil
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from chatacter.client.errors import ClientError
from chatacter.contracts.speech import AudioFormat

# Programs that play raw 16-bit mono samples from standard input, best first; {rate} is in hertz.
PLAYERS: Final[Mapping[str, str]] = {
    "pacat": "--playback --format=s16le --channels=1 --rate={rate} --latency-msec=120",
    "aplay": "-q -t raw -f S16_LE -c 1 -r {rate} -",
    "ffplay": "-loglevel error -nodisp -autoexit -f s16le -ch_layout mono -ar {rate} -i pipe:0",
    "play": "-q -t raw -e signed -b 16 -c 1 -r {rate} -",
}
NO_PLAYER: Final = f"No program to play sound with was found ({', '.join(PLAYERS)}). Install one, or use --sound FILE."
BAD_WAV: Final = "The server sent sound that is not a 16-bit mono WAV."
FILE_FORMATS: Final[Mapping[str, AudioFormat]] = {".wav": "wav", ".mp3": "mp3"}
SIXTEEN_BIT_MONO: Final = (1, 1, 16)


class Sink(Protocol):
    """Takes the sound of one reply."""

    audio_format: AudioFormat

    def begin(self) -> None:
        """Say that the next bytes begin a file of their own."""
        ...

    async def write(self, data: bytes) -> None:
        """Take the next encoded bytes."""
        ...


class WavReader:
    """Takes a streamed WAV apart: its head as it came, then its samples. Source: Microsoft RIFF specification."""

    def __init__(self) -> None:
        self._held = b""
        self.head = b""
        self.rate = 0

    def feed(self, data: bytes) -> bytes:
        """Return the samples in `data`. Raises `ClientError` for anything but 16-bit mono."""
        if self.head:
            return data
        self._held += data
        start = self._samples_at()
        if start is None:
            return b""
        self.head, rest = self._held[:start], self._held[start:]
        return rest

    def _samples_at(self) -> int | None:
        """Return where the samples begin, or None while the head is not whole."""
        at = 12
        while len(self._held) >= at + 8:
            name, size = struct.unpack_from("<4sI", self._held, at)
            if name == b"data":
                return at + 8
            if len(self._held) < at + 8 + size:
                return None
            if name == b"fmt ":
                kind, channels, self.rate, _, _, bits = struct.unpack_from("<HHIIHH", self._held, at + 8)
                if (kind, channels, bits) != SIXTEEN_BIT_MONO:
                    raise ClientError(BAD_WAV)
            at += 8 + size + size % 2
        return None


class SoundFile:
    """One file for a whole reply. Of a WAV, the first sentence's head is kept with its mark, and its lengths set."""

    def __init__(self, file: BinaryIO, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._file = file
        self._reader = WavReader()
        self._head = b""

    def begin(self) -> None:
        """Begin the next sentence."""
        self._reader = WavReader()

    async def write(self, data: bytes) -> None:
        """Append; MP3 files may simply follow each other."""
        samples = self._reader.feed(data) if self.audio_format == "wav" else data
        if self._reader.head and not self._head:
            self._head = self._reader.head
            self._file.write(self._head)
        self._file.write(samples)

    def finish(self) -> None:
        """Write into a WAV's head how long it became."""
        if self._head:
            size = self._file.tell()
            for at, length in ((4, size - 8), (len(self._head) - 4, size - len(self._head))):
                self._file.seek(at)
                self._file.write(struct.pack("<I", length))


class Player:
    """A program that plays what it is given; started with the first sound, when its rate is known."""

    audio_format: AudioFormat = "wav"

    def __init__(self, program: str, arguments: str) -> None:
        self._program = program
        self._arguments = arguments
        self._reader = WavReader()
        self._process: asyncio.subprocess.Process | None = None

    def begin(self) -> None:
        """Begin the next sentence."""
        self._reader = WavReader()

    async def write(self, data: bytes) -> None:
        """Play; the player takes sound in no faster than it can hold. One that has ended is not played to."""
        samples = self._reader.feed(data)
        if not samples:
            return
        if self._process is None:
            arguments = self._arguments.format(rate=self._reader.rate).split()
            self._process = await asyncio.create_subprocess_exec(
                self._program, *arguments, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
        stdin = self._process.stdin
        if stdin is not None and self._process.returncode is None:
            try:
                stdin.write(samples)
                await stdin.drain()
            except (BrokenPipeError, ConnectionResetError) as error:
                raise ClientError(f"{Path(self._program).name} does not play any more.") from error

    async def finish(self) -> None:
        """Wait until everything was heard."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    async def stop(self) -> None:
        """End it now, wherever it is."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


def find_player(which: Callable[[str], str | None] = shutil.which) -> tuple[str, str]:
    """Return an installed player and its arguments. Raises `ClientError` where there is none."""
    for name, arguments in PLAYERS.items():
        if program := which(name):
            return program, arguments
    raise ClientError(NO_PLAYER)


@asynccontextmanager
async def played() -> AsyncIterator[Sink]:
    """Play what is written; leaving waits for the end of it, or cuts it short where something went wrong."""
    player = Player(*find_player())
    try:
        yield player
        await player.finish()
    finally:
        await player.stop()


@asynccontextmanager
async def kept(path: Path) -> AsyncIterator[Sink]:
    """Write sound into a file. Raises `ClientError` for a kind that cannot be written, or a place that cannot."""
    audio_format = file_format(path)
    try:
        file = path.open("wb")
    except OSError as error:
        raise ClientError(f"{path} cannot be written ({error.strerror}).") from error
    with file:
        sound = SoundFile(file, audio_format)
        yield sound
        sound.finish()


def file_format(path: Path) -> AudioFormat:
    """Return the format that a file's name asks for. Raises `ClientError`."""
    found = FILE_FORMATS.get(path.suffix.lower())
    if found is None:
        raise ClientError(f"Sound is written to files that end in {' or '.join(FILE_FORMATS)}, not {path.name!r}.")
    return found
