"""What films are made of in tests: pictures, sounds and requests, and how a film is looked at afterwards."""

import base64
import io
import json
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
from numpy.typing import NDArray

from chatacter.contracts.video import VideoCompleted
from visualizr.backend import Film, Picture, Shot, Sound

PHOTO = Path(__file__).parent / "data" / "portrait_photo.jpg"
PORTRAITS = Path(__file__).parents[1] / "services" / "chattr" / "characters" / "portraits"
RATE = 48_000

LAYERED = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" data-mouth-x="100" data-mouth-y="140"
 data-mouth-width="40" data-mouth-open="20">
<defs><radialGradient id="skin"><stop offset="0" stop-color="#ffe0c0"/><stop offset="1" stop-color="#d09070"/>
</radialGradient></defs>
<g id="background"><rect width="200" height="200" fill="#204060"/></g>
<g id="body"><path d="M40 200 L160 200 L130 160 L70 160 Z" fill="#803030"/></g>
<g id="head"><circle cx="100" cy="100" r="60" fill="url(#skin)"/></g>
<g id="eyes"><ellipse cx="80" cy="90" rx="10" ry="6" fill="#ffffff"/>
<ellipse cx="120" cy="90" rx="10" ry="6" fill="#ffffff"/></g>
<g id="pupils"><circle cx="80" cy="90" r="4" fill="#203040"/><circle cx="120" cy="90" r="4" fill="#203040"/></g>
<g id="eyelids" display="none"><ellipse cx="80" cy="90" rx="11" ry="7" fill="#d09070"/>
<ellipse cx="120" cy="90" rx="11" ry="7" fill="#d09070"/></g>
<g id="mouth"><path d="M80 140 L120 140" stroke="#803030"/></g>
</svg>"""


def layered(addition: str = "", **replaced: str) -> bytes:
    """The smallest layered portrait; `addition` goes into its head, `replaced` maps texts to others."""
    text = LAYERED.replace('<g id="head">', f'<g id="head">{addition}')
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text.encode()


def tone(seconds: float, hertz: float = 180.0) -> Sound:
    """A hum that swells three times a second."""
    times = np.arange(round(seconds * RATE)) / RATE
    samples = 0.4 * np.sin(2 * np.pi * hertz * times) * (0.5 - 0.5 * np.cos(2 * np.pi * 3 * times))
    return Sound(samples.astype(np.float32), RATE)


def wav(samples: NDArray[np.float32], rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def svg_url(svg: bytes | None = None) -> str:
    return data_url("image/svg+xml", layered() if svg is None else svg)


def sound_url(seconds: float) -> str:
    sound = tone(seconds)
    return data_url("audio/wav", wav(sound.samples, sound.rate))


def request(model: str = "fake", seconds: float = 0.5, **more: Any) -> dict[str, Any]:
    """The body of a small film."""
    return {
        "model": model,
        "image_reference": svg_url(),
        "audio_reference": sound_url(seconds),
        "width": 64,
        "height": 64,
        **more,
    }


def shot(picture: Picture | None, sound: Sound | None, **more: Any) -> Shot:
    """A small shot."""
    settings: dict[str, Any] = {
        "prompt": "",
        "phonemes": (),
        "width": 128,
        "height": 128,
        "fps": 25,
        "seed": 1,
        "output_format": "webm",
    }
    return Shot(image=picture, sound=sound, **{**settings, **more})


@dataclass(frozen=True)
class Seen:
    """A decoded film."""

    frames: NDArray[np.uint8]
    """[frames, height, width, 3], blue first."""
    times: NDArray[np.float64]
    """Seconds at which each frame begins to be shown."""
    heard: float
    """Seconds of sound."""
    codecs: tuple[str, str | None]
    tags: dict[str, str]

    @property
    def shown(self) -> float:
        """Seconds of picture."""
        step = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        return float(self.times[-1]) + step


def watched(film: Film | bytes) -> Seen:
    """Decode a film."""
    data = film if isinstance(film, bytes) else film.data
    with av.open(io.BytesIO(data)) as container:
        picture, sounds = container.streams.video[0], container.streams.audio
        frames, times, heard = [], [], 0.0
        for frame in container.decode(*(stream.index for stream in container.streams)):
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="bgr24"))
                times.append(float(frame.time))
            elif isinstance(frame, av.AudioFrame):
                heard += frame.samples / frame.sample_rate
        return Seen(
            frames=np.stack(frames),
            times=np.array(times),
            heard=heard,
            codecs=(picture.codec_context.name, sounds[0].codec_context.name if sounds else None),
            tags={name.lower(): value for name, value in container.metadata.items()},
        )


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """Read all server-sent events of an answer."""
    return [json.loads(line[5:]) for line in response.text.splitlines() if line.startswith("data:")]


def film_in(found: list[dict[str, Any]]) -> bytes:
    """The film at the end of the events."""
    return base64.b64decode(VideoCompleted.model_validate(found[-1]).video)
