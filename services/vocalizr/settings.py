"""What Vocalizr can be told."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator

from chatacter.chassis.settings import CommaSeparated, split_commas
from chatacter.contracts.speech import MAX_INPUT_CHARACTERS
from chatacter.serving.settings import Engine, PredictorSettings

# Backends that compute on the processor, or elsewhere, whatever VOCALIZR_DEVICE says.
WITHOUT_DEVICE: Final = frozenset({"kokoro", "remote"})


class VocalizrSettings(PredictorSettings):
    """Settings of the speech predictor; every other one is as in any service."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8001
    """Port to listen on."""
    shutdown_grace: Annotated[float, Field(ge=0)] = 120.0
    """Seconds that running speech gets to finish after SIGTERM; what takes longer, as a chapter does, breaks off."""
    vocalizr_model: str = "kokoro"
    """The backend that speaks: the name of a `chatacter.speech` plugin. Several, separated by commas, serve as many
    models in one process: `kokoro,xtts`, or `narrator=coqui` for a model of another name than its backend."""
    vocalizr_models_loaded: Annotated[int, Field(ge=1)] | None = None
    """With several models: how many may be in memory at once; the one used longest ago makes room. Unset: all."""
    vocalizr_models_memory: Annotated[int, Field(ge=1)] | None = None
    """With several models: bytes that those in memory may hold together, of a GPU's memory where they compute on one,
    else of the machine's. Each is measured as it loads; the one used longest ago makes room. Only the first is loaded
    at the start. Unset: no limit."""
    vocalizr_served_name: str | None = None
    """The model id that clients send, where there is one model; the name of the backend when unset."""
    vocalizr_weights: str | None = None
    """Weights of a model that comes without any of its own (`coqui`, `xtts`, `bark`): a folder, or a name that may be
    downloaded at start, e.g. `tts_models/en/vctk/vits` or `suno/bark-small`. Unset: a folder of the model's name in
    `CHATACTER_HOME/models`, else that folder itself, which is where KServe mounts a `storageUri`.
    With several models `xtts=/srv/xtts,bark=suno/bark-small`."""
    vocalizr_device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models on PyTorch compute: `auto` takes a CUDA device, else an Apple GPU, else the processor. Kokoro and
    `remote` compute on the processor whatever it is; where there is no other, a device is refused."""
    vocalizr_dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Numbers in which models on PyTorch multiply: `auto` is `float32`, and `float16` for Bark on CUDA."""
    vocalizr_seed: Annotated[int, Field(ge=0)] | None = None
    """With models on PyTorch: the same request sounds the same each time. Unset: as varied as the model is."""
    vocalizr_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads with which one text is spoken. Beside a language model on the same cores, less can be faster."""
    vocalizr_concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    """Texts spoken side by side. Unset: 1, or as many as the model speaks in one go, where it speaks in batches."""
    vocalizr_engine: Engine = "inprocess"
    """Where the model runs: `inprocess`, or `ray`: in replicas by Ray Serve, as the settings `RAY_…` say; each has
    `VOCALIZR_CONCURRENCY` places."""
    vocalizr_max_characters: Annotated[int, Field(ge=1, le=MAX_INPUT_CHARACTERS)] = 250_000
    """The longest text of one request to `/v1/audio/speech`, a long chapter; a longer one is refused with 413. It is
    held in pieces, and keeps its place at the model for the hours that it is listened to."""
    vocalizr_queue: Annotated[int, Field(ge=0, le=1024)] = 8
    """Texts that may wait for a place; one more is refused with 429 and `Retry-After`."""
    vocalizr_watermark: Literal["none", "perth"] = "none"
    """`perth`: a mark in the sound itself, hardly to be heard, which stays when metadata is stripped; `chatacter
    watermark FILE` finds it. Needs `chatacter models install perth-watermark`; sound is held back by 0.2 s of it."""
    vocalizr_transcriber: str = "whisper-base"
    """The installed model that listens: it transcribes, and reads what a consent to a cloned voice says. It is loaded
    when it is first needed."""
    vocalizr_listening_concurrency: Annotated[int, Field(ge=1, le=16)] = 1
    """Recordings that are listened to side by side, to transcribe them or to judge a consent; `VOCALIZR_QUEUE` more
    wait. Each has `VOCALIZR_THREADS` and memory of its own."""
    vocalizr_voices_url: str | None = None
    """Where voices of the users' own are stored, with the recordings that they come from: `file://`, `s3://` or
    `gs://`. Replicas that share it speak each other's voices. Unset: the folder `voices` under `CHATACTER_HOME`."""
    preload_models: bool = True
    """Load the model at start, so that the first request finds it ready. `false`: the first request waits for it."""
    vocalizr_remote_url: str | None = None
    """With `VOCALIZR_MODEL=remote`: base URL, `/v1` included, of any server with OpenAI's speech API."""
    vocalizr_remote_model: str = "tts-1"
    """With `VOCALIZR_MODEL=remote`: the model to ask for there."""
    vocalizr_remote_api_key: SecretStr | None = None
    """With `VOCALIZR_MODEL=remote`: the key for it; `SERVICE_TOKEN` when unset."""
    vocalizr_remote_voices: CommaSeparated = ()
    """With `VOCALIZR_MODEL=remote`: its voices. Unset: asked of its `/audio/voices`, which OpenAI's own lacks."""
    vocalizr_remote_languages: CommaSeparated = ("en",)
    """With `VOCALIZR_MODEL=remote`: BCP 47 tags of the languages it speaks; the first is told for voices set above."""
    vocalizr_remote_max_characters: Annotated[int, Field(ge=64, le=MAX_INPUT_CHARACTERS)] = 4096
    """With `VOCALIZR_MODEL=remote`: the longest text that it takes at once, by default OpenAI's limit. A longer one is
    asked for in parts, cut between sentences."""
    vocalizr_remote_instructions: bool = False
    """With `VOCALIZR_MODEL=remote`: whether its model obeys `instructions`."""
    vocalizr_remote_sample_rate: Annotated[int, Field(ge=8000, le=48000)] = 24000
    """With `VOCALIZR_MODEL=remote`: samples a second of the PCM it sends."""
    vocalizr_remote_timeout: Annotated[float, Field(gt=0)] = 30.0
    """With `VOCALIZR_MODEL=remote`: seconds without a byte after which it counts as gone."""

    @model_validator(mode="after")
    def _models_are_told_apart(self) -> Self:
        names = [each.partition("=")[0].strip() for each in split_commas(self.vocalizr_model)]
        if not names or not all(names) or len(set(names)) < len(names):
            raise ValueError(
                "VOCALIZR_MODEL: name each model once, e.g. kokoro, or kokoro,narrator=coqui for two of them"
            )
        return self

    @model_validator(mode="after")
    def _a_device_is_used(self) -> Self:
        if self.vocalizr_device in {"cuda", "mps"} and set(self.served.values()) <= WITHOUT_DEVICE:
            raise ValueError(
                f"VOCALIZR_DEVICE={self.vocalizr_device}: no model in VOCALIZR_MODEL={self.vocalizr_model} computes "
                "there; leave it out, or choose one on PyTorch (xtts, coqui, bark)"
            )
        return self

    @model_validator(mode="after")
    def _remote_is_complete(self) -> Self:
        if "remote" in self.served.values() and not self.vocalizr_remote_url:
            raise ValueError("VOCALIZR_MODEL=remote needs VOCALIZR_REMOTE_URL, e.g. https://api.openai.com/v1")
        if len(self.served) > 1 and (self.vocalizr_served_name or self.vocalizr_engine == "ray"):
            raise ValueError(
                "several models in VOCALIZR_MODEL: name them there, and run them with VOCALIZR_ENGINE=inprocess"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_somebodys(self) -> Self:
        if not set(self._weights_by_name()) <= set(self.served):
            raise ValueError(
                f"VOCALIZR_WEIGHTS: write NAME=WEIGHTS for each model that needs some, of those in VOCALIZR_MODEL: "
                f"{', '.join(self.served)}"
            )
        return self

    def _weights_by_name(self) -> dict[str, str]:
        """Read the weights of each model; what is no pair is the only one's, else nobody's."""
        given = self.vocalizr_weights or ""
        first, *others = self.served
        if not others and given and ("=" not in given or "=" not in self.vocalizr_model):
            return {first: given}
        items = [item.partition("=") for item in split_commas(given)]
        return {name.strip() if paired else "": weights.strip() for name, paired, weights in items}

    @property
    def served(self) -> dict[str, str]:
        """The backend of each model, by the id that clients send."""
        named = [each.partition("=") for each in split_commas(self.vocalizr_model)]
        if len(named) == 1 and not named[0][1]:
            return {self.vocalizr_served_name or self.vocalizr_model: self.vocalizr_model}
        return {name.strip(): (plugin or name).strip() for name, _, plugin in named}

    def for_model(self, name: str) -> Self:
        """Return the settings of one of several models."""
        if len(self.served) == 1 and self.vocalizr_model == self.served[name]:
            return self
        given = {
            "vocalizr_model": self.served[name],
            "vocalizr_served_name": name,
            "vocalizr_weights": self._weights_by_name().get(name),
        }
        return self.model_copy(update=given)

    @property
    def weights(self) -> str | None:
        """Where the weights are said to be."""
        return self.vocalizr_weights

    @property
    def voices_root(self) -> str:
        """The URL under which voices are stored."""
        return self.vocalizr_voices_url or (self.chatacter_home / "voices").absolute().as_uri()

    @property
    def served_name(self) -> str:
        """The model id that clients send."""
        return self.vocalizr_served_name or self.vocalizr_model
