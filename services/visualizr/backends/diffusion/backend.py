"""A diffusion model as a backend: one film at a time, planned, stepped, decoded and recorded."""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from chatacter.chassis import plugins
from chatacter.chassis.errors import Misconfigured, OutOfMemory
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, Metadata
from chatacter.serving.memory import free, is_exhausted
from visualizr.backend import Film, Progress, Shot, VideoCapabilities
from visualizr.backends.diffusion.caching import IntervalCache
from visualizr.backends.diffusion.compiling import all_compiled, compiles
from visualizr.backends.diffusion.pictures import Pixels, decoded
from visualizr.backends.diffusion.plan import Plan, attending, available, dtype_of, planned
from visualizr.backends.diffusion.soundless import mend_torchaudio
from visualizr.backends.diffusion.take import Take
from visualizr.backends.diffusion.weights import quiet
from visualizr.frames import Recorder
from visualizr.settings import VisualizrSettings

logger = logging.getLogger(__name__)

DENOISED: Final = 0.85
DECODED: Final = 0.97
WAIT_SECONDS: Final = 0.1
ONE_AT_A_TIME: Final = "VISUALIZR_CONCURRENCY: this model makes one film at a time. Leave it at 1; add replicas."
NO_ROOM: Final = (
    "The model has no room for this film, not even in parts. Ask for fewer frames (num_frames), a smaller size or "
    "quality=draft; or give it a GPU with more memory."
)


@dataclass(frozen=True, slots=True)
class Denoised:
    """What a pipeline leaves behind: latents [frames, 4, height, width], and what they were made with."""

    latents: Any
    used: Metadata


class DiffusionModel(Protocol):
    """What differs from one diffusion model to the next. All of it blocks."""

    @property
    def capabilities(self) -> VideoCapabilities:
        """What it can do; constant from its construction on."""
        ...

    @property
    def unet(self) -> Any:
        """The loaded UNet."""
        ...

    @property
    def vae(self) -> Any:
        """The loaded autoencoder."""
        ...

    def load(self, plan: Plan) -> None:
        """Read the weights. Raises `Misconfigured`."""
        ...

    def settle(self, plan: Plan) -> None:
        """Run by this plan from now on."""
        ...

    def steps_of(self, shot: Shot) -> int:
        """Return how many steps a film takes."""
        ...

    def denoise(self, shot: Shot, take: Take, until: float) -> Denoised:
        """Make the latents of a film; tell 0.0 once its inputs are checked, then progress up to `until`.

        Raises `InvalidInput` before the first word.
        """
        ...

    def release(self) -> None:
        """Take parts that visit the GPU back from it, after a film that ended early."""
        ...

    def close(self) -> None:
        """Let go of the weights."""
        ...


class DiffusionBackend:
    """Films with one diffusion model. Films that are asked for side by side are made one after the other."""

    def __init__(self, model: DiffusionModel, settings: VisualizrSettings) -> None:
        self._model = model
        self._settings = settings
        self._turn = threading.Lock()
        self._plan = Plan(device="cpu")
        self._cache: IntervalCache | None = None

    @property
    def capabilities(self) -> VideoCapabilities:
        """What it can do."""
        return self._model.capabilities

    def load(self) -> None:
        """Read the weights and put them where they run. Raises `Misconfigured`."""
        settings = self._settings
        if settings.visualizr_concurrency > 1:
            raise Misconfigured(ONE_AT_A_TIME)
        with plugins.needing(f"VISUALIZR_MODEL={settings.visualizr_model}", "diffusers"):
            mend_torchaudio()
            quiet()
            device, room = available(settings.visualizr_device)
            self._plan = planned(settings, device, free_bytes=room)
            if self._plan.compiled and not compiles(device):
                self._plan = replace(self._plan, compiled=False)
            self._model.load(self._plan)
        self._model.settle(self._plan)
        if self._plan.cache_interval > 1:
            self._cache = IntervalCache(self._model.unet, self._plan.cache_interval)
            self._cache.attach()
        logger.info("diffusion is planned", extra={f"plan.{name}": value for name, value in self._plan.told().items()})

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        """Make one film. Raises `InvalidInput` before the first piece, `OutOfMemory` after a second try."""
        return Take(cancelled).run(lambda take: self._in_turn(shot, take))

    def close(self) -> None:
        """Let go of the weights."""
        with self._turn:
            self._cache = None
            self._model.close()
        free()

    def _in_turn(self, shot: Shot, take: Take) -> Film:
        while not self._turn.acquire(timeout=WAIT_SECONDS):
            take.check()
        try:
            return self._within_memory(shot, take)
        finally:
            self._turn.release()

    def _within_memory(self, shot: Shot, take: Take) -> Film:
        """Film; when memory runs out, once more by a cheaper plan."""
        film = self._unless_full(shot, take, self._plan, {})
        if film is not None:
            return film
        cheap = self._plan.cheaper()
        logger.warning("out of memory; trying again by a cheaper plan")
        free()
        self._model.settle(cheap)
        try:
            film = self._unless_full(shot, take, cheap, {"retried_out_of_memory": True})
        finally:
            free()
            self._model.settle(self._plan)
        if film is None:
            raise OutOfMemory(NO_ROOM)
        return film

    def _unless_full(self, shot: Shot, take: Take, plan: Plan, told: Metadata) -> Film | None:
        try:
            with attending(plan), all_compiled(plan):
                return self._shoot(shot, take, plan, told)
        except Exception as error:
            if not is_exhausted(error):
                raise
            return None
        finally:
            if self._cache is not None:
                self._cache.forget()
            self._model.release()

    def _shoot(self, shot: Shot, take: Take, plan: Plan, told: Metadata) -> Film:
        if self._cache is not None:
            self._cache.begin(self._model.steps_of(shot))
        if self._model.vae.dtype != dtype_of(plan):  # pipelines leave it in full precision when memory runs out
            self._model.vae.to(dtype_of(plan))
        done = self._model.denoise(shot, take, DENOISED)
        count = len(done.latents)
        record = Recorder(
            shot.output_format,
            (shot.width, shot.height),
            shot.fps,
            shot.sound,
            self._settings.visualizr_threads,
            self._settings.visualizr_mp4_encoder,
        )
        with record:
            frames: list[Pixels] = []
            for frame in decoded(self._model.vae, done.latents, plan.decode_chunk, take):
                frames.append(frame)
                record.add(frame)
                take.tell(Progress(DENOISED + (DECODED - DENOISED) * len(frames) / count))
            extra = 0
            for frame in back_and_forth(frames, shot):
                record.add(frame)
                extra += 1
                take.check()
            data, seconds = record.finish()
            small = record.renditions()
        metadata: Metadata = {
            **done.used,
            "seed": shot.seed,
            "quality": shot.quality,
            "num_frames": count,
            "frames_repeated_for_sound": extra,
            "encoder": record.encoder,
            "acceleration": self._settings.visualizr_acceleration,
            **plan.told(),
            **self._cached(),
            **told,
        }
        media_type = VIDEO_MEDIA_TYPES[shot.output_format]
        return Film(data, media_type, seconds, shot.width, shot.height, shot.fps, metadata, small)

    def _cached(self) -> Metadata:
        if self._cache is None:
            return {}
        cache = self._cache
        return {
            "cache_interval": cache.now if cache.blocks_run else 1,  # a UNet for few steps has none
            "blocks_run": cache.blocks_run,
            "blocks_skipped": cache.blocks_skipped,
        }


def back_and_forth(frames: Sequence[Pixels], shot: Shot) -> Iterator[Pixels]:
    """Yield what is seen while a sound goes on after the last frame: the film backwards, forwards, and so on."""
    if shot.sound is None:
        return
    wanted = round(shot.sound.seconds * shot.fps)
    turn = max(1, len(frames) - 1)
    for number in range(len(frames), wanted):
        way, at = divmod(number, turn)
        yield frames[turn - at if way % 2 else at] if len(frames) > 1 else frames[0]
