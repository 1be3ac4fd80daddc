"""What the launcher can be told. Everything else in the environment and in `.env` reaches the services unchanged."""

from typing import Annotated

from pydantic import ConfigDict, Field, SecretStr

from chatacter.chassis.settings import Section, ServiceSettings

Port = Annotated[int, Field(ge=1, le=65535)]


class Glance(Section):
    """The few settings of a service's section that the launcher looks at; the service reads the rest."""

    model_config = ConfigDict(extra="ignore")


class LanguageModel(Glance):
    """Which language model is needed here."""

    url: str | None = None
    """Set: a provider answers, so no language model is installed."""
    name: str | None = None
    """Without `MODEL__URL`: which installed model to load. Unset: the embedded default."""


class Elsewhere(Glance):
    """A service that may run elsewhere."""

    url: str | None = None
    """Set: the one there is used, and none is started here."""


class RecordsElsewhere(Glance):
    """A Redis that may run elsewhere."""

    url: SecretStr | None = None
    """Set: the Redis there is used, and no private one is started here."""


class LauncherSettings(ServiceSettings):
    """What `chatacter up` can be told."""

    chattr_port: Port = 8000
    """Chattr's port: the page and the public API."""
    vocalizr_port: Port = 8001
    """Vocalizr's port."""
    visualizr_port: Port = 8002
    """Visualizr's port."""
    enable_voice_generation: bool = True
    """`false`: Vocalizr is not started and its models are not installed."""
    enable_video_generation: bool = True
    """`false`: Visualizr is not started and its models are not installed."""
    enable_long_term_memory: bool = True
    """`false`: the embedder is not installed."""
    model: Annotated[LanguageModel, Field(default_factory=LanguageModel)]
    """The language model."""
    records: Annotated[RecordsElsewhere, Field(default_factory=RecordsElsewhere)]
    """Redis."""
    vocalizr: Annotated[Elsewhere, Field(default_factory=Elsewhere)]
    """Speech."""
    visualizr: Annotated[Elsewhere, Field(default_factory=Elsewhere)]
    """Video."""
    start_timeout: Annotated[float, Field(gt=0)] = 300.0
    """Seconds in which every service must have become ready."""

    @property
    def speaks_here(self) -> bool:
        """Whether Vocalizr runs on this machine."""
        return self.enable_voice_generation and self.vocalizr.url is None

    @property
    def films_here(self) -> bool:
        """Whether Visualizr runs on this machine."""
        return self.enable_video_generation and self.visualizr.url is None
