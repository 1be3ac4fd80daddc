"""What Chattr can be told."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, model_validator

from chatacter.chassis.settings import CommaSeparated, Section, ServiceSettings
from chattr.addresses import BaseUrl, BaseUrls


class ModelSettings(Section):
    """The language model: any OpenAI-compatible provider, or the embedded one when no URL is set."""

    url: str | None = None
    """Base URL of an OpenAI-compatible API, e.g. `https://api.openai.com/v1`. Unset: the embedded model answers."""
    name: str | None = None
    """The provider's model name, e.g. `gpt-4o-mini`; for the embedded model, which installed model to load."""
    alternatives: CommaSeparated = ()
    """Further models of that provider, separated by commas, of which a character may name one as its `model`. They get
    the same limits as `MODEL__NAME`. Empty: every character is answered by that one."""
    api_key: SecretStr | None = None
    """The provider's API key. Local servers need none."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature where request and character set none. Unset: 0.5 embedded, 0.7 for a provider."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most new tokens a reply may have. Unset: 60 for the embedded model, 512 for a provider."""
    context_tokens: Annotated[int, Field(ge=512)] | None = None
    """Tokens that persona, history and recall may fill together. Unset: 1536 embedded, 8192 for a provider."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds a whole reply may take."""
    continuation: Literal["auto", "prefix", "ask"] = "auto"
    """How the provider goes on with a reply that stopped. `prefix`: its last message is left open, as vLLM, SGLang,
    llama.cpp and Ollama take it. `ask`: it is asked for what comes next. `auto`: by the prefix, and by asking where
    the provider refuses that; one that takes it and begins anew needs `ask`."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of the embedded model."""


class EmbeddingsSettings(Section):
    """What places memories by their meaning: any OpenAI-compatible endpoint, or the packaged model without a URL."""

    url: str | None = None
    """Base URL of an OpenAI-compatible API with `/embeddings`, e.g. `https://api.openai.com/v1`. Unset: the packaged
    all-MiniLM-L6-v2. After a change memories are indexed anew in the background; words find them meanwhile."""
    name: str | None = None
    """The endpoint's embedding model, e.g. `text-embedding-3-small`."""
    api_key: SecretStr | None = None
    """The endpoint's API key. Local servers need none; that of the language model is never sent here."""
    dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Length of a vector, where the model lets one choose. Unset: the model's own."""
    timeout: Annotated[float, Field(gt=0)] = 10.0
    """Seconds that one request may take. A question gets 1.2 of them at most, and is answered by words alone then."""


class VectorDatabaseSettings(Section):
    """Where memories are searched: a Qdrant server, or its engine in this process when no URL is set."""

    url: str | None = None
    """URL of a Qdrant server, e.g. `http://localhost:6333`. Unset: Qdrant's engine in process, data under the home."""
    api_key: SecretStr | None = None
    """API key of the Qdrant server."""
    collection: str = "chatacter_memories"
    """Collection that holds the memories."""
    timeout: Annotated[float, Field(gt=0)] = 5.0
    """Seconds a request to Qdrant may take."""


class MemorySettings(Section):
    """What characters make of what they remember."""

    extraction: Literal["auto", "on", "off"] = "auto"
    """Whether the language model draws facts from what was said, while nobody waits: `on`, `off`, or `auto`, which does
    with a provider (its tokens are counted there) and not with the embedded model, which is too small to tell a fact
    from a joke (benchmarks/RESULTS.md)."""
    summary: Literal["auto", "on", "off"] = "auto"
    """Whether the language model sums up, while nobody waits, what no longer stands in a prompt of a long conversation
    word by word: `on`, `off`, or `auto`, which does with a provider and not with the embedded model,
    which mixes up who said what."""


class RedisServer(NamedTuple):
    """Where a Redis is and how to enter it."""

    url: str
    username: str | None
    password: SecretStr | None


class RedisSettings(Section):
    """One Redis, named by URL."""

    url: SecretStr | None = None
    """`redis://`, `rediss://` or `unix://` URL. Unset: the one of `RECORDS__URL`, with its user and password."""
    username: str | None = None
    """User of this Redis (an ACL's). Unset: Redis' default user."""
    password: SecretStr | None = None
    """Password of this Redis, of any characters. Records' own is never sent to a server that is named here."""


class RecordsSettings(Section):
    """Characters, conversations and what waits to be remembered. Must persist and not evict."""

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    """`redis://`, `rediss://` (TLS; an own CA by `?ssl_ca_certs=/path/ca.crt`) or `unix://` URL."""
    username: str | None = None
    """User of this Redis (an ACL's). Unset: Redis' default user."""
    password: SecretStr | None = None
    """Password of this Redis, of any characters; in the URL some would have to be escaped."""
    durable: bool = False
    """`true`: you vouch that this Redis persists what it holds, where a managed server forbids `CONFIG` and so cannot
    say it. One that says that it evicts is refused all the same."""


class JobsSettings(RedisSettings):
    """Video jobs, and what is outstanding. Must persist and not evict."""

    durable: bool = False
    """`true`: like `RECORDS__DURABLE`, for a `JOBS__URL` of its own; you vouch then that a write that it answered is on
    its disk."""
    lease: Annotated[float, Field(ge=1)] = 10.0
    """Seconds after which a job is taken up by another dispatcher when its own no longer says that it works on it."""
    tenant_concurrency: Annotated[int, Field(ge=0)] = 0
    """Most jobs of one tenant that run at a time, on all dispatchers together; 0: any number. Whatever it says, tenants
    take turns."""


class ShortTermSettings(RedisSettings):
    """The recent turns of live conversations, and the event logs of their replies."""

    ttl: Annotated[int, Field(ge=60)] = 86_400
    """Seconds after which an idle conversation's recent turns leave short-term memory; the records keep them."""
    max_size: Annotated[int, Field(ge=2)] = 50
    """Most messages of a conversation that short-term memory holds."""


class PredictorSettings(Section):
    """Where the predictors of one modality answer."""

    url: BaseUrl
    """Base URL."""
    urls: BaseUrls = Field(default={})
    """Models with a predictor of their own: JSON, `{"model": "base URL"}`, by the names that these predictors serve.
    One that is named here is known while its predictor sleeps. Every other model is looked for at the URL above."""
    timeout: Annotated[float, Field(gt=0)] = 600.0
    """Seconds the longest piece of work may take."""


class VocalizrSettings(PredictorSettings):
    """Where speech comes from."""

    url: BaseUrl = "http://localhost:8001"
    """Base URL of Vocalizr, for every model that `VOCALIZR__URLS` does not name."""
    model: str = "kokoro"
    """Speech model that characters speak with unless they or a request name another."""
    voice: str = "af_heart"
    """Voice of characters that name none; one of that model."""
    timeout: Annotated[float, Field(gt=0)] = 600.0
    """Seconds until speech must begin, and the longest pause within it. A chapter may be heard for longer."""


class VisualizrSettings(PredictorSettings):
    """Where video comes from."""

    url: BaseUrl = "http://localhost:8002"
    """Base URL of Visualizr, for every model that `VISUALIZR__URLS` does not name."""


class ChattrSettings(ServiceSettings):
    """Everything Chattr can be told."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    """The language model."""
    records: RecordsSettings = Field(default_factory=RecordsSettings)
    """Redis for characters and conversations."""
    short_term_memory: ShortTermSettings = Field(default_factory=ShortTermSettings)
    """Redis for recent turns and reply logs."""
    jobs: JobsSettings = Field(default_factory=JobsSettings)
    """Redis for video jobs. Must persist and not evict."""
    cache: RedisSettings = Field(default_factory=RedisSettings)
    """Redis for idempotency keys, cached replies and counts of requests; may evict."""
    embeddings: EmbeddingsSettings = Field(default_factory=EmbeddingsSettings)
    """What places memories by their meaning."""
    vector_database: VectorDatabaseSettings = Field(default_factory=VectorDatabaseSettings)
    """Long-term memory."""
    memory: MemorySettings = Field(default_factory=MemorySettings)
    """What characters make of what they remember."""
    vocalizr: VocalizrSettings = Field(default_factory=VocalizrSettings)
    """Where speech comes from."""
    visualizr: VisualizrSettings = Field(default_factory=VisualizrSettings)
    """Where video comes from."""
    enable_voice_generation: bool = True
    """`false`: no speech; Vocalizr is never looked for."""
    enable_video_generation: bool = True
    """`false`: no video; Visualizr is never looked for."""
    enable_long_term_memory: bool = True
    """`false`: nothing is recalled from, or added to, long-term memory."""
    character_config_path: Path | None = None
    """A YAML or JSON file, or a folder of them, with further characters."""
    default_character: str = "ada"
    """Who answers where a request names nobody."""
    assets_url: str | None = None
    """Where finished media lie: `file://`, `s3://` or `gs://`. Unset: `assets/` under the home. It belongs to one
    jobs' Redis alone: files of jobs that this one does not know are taken for left behind and removed."""
    asset_cleanup_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """Days after which a job that has ended goes, with the film and all else that was stored for it; 0: never. One
    replica at a time sees to it. Characters' portraits and what people uploaded for them stay."""
    run_dispatcher: bool = True
    """Run the dispatcher of speech and video jobs inside this process. `false` where it is a Deployment of its own."""
    dispatcher_concurrency: Annotated[int, Field(ge=1)] = 1
    """Speech and video jobs that one dispatcher runs at a time."""
    enable_ui: bool = True
    """Serve the page at `/`."""
    preload_models: bool = True
    """Load the embedded models at start and warm up the characters; `false` loads them with the first request."""
    idempotency_ttl: Annotated[int, Field(ge=60)] = 86_400
    """Seconds for which an `Idempotency-Key` returns its first answer."""
    cache_ttl: Annotated[int, Field(ge=0)] = 0
    """Seconds for which a person who asks the same of the same model gets the same reply, from the cache; 0: never."""
    api_rate_limit: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Requests a minute that a key may make, on all replicas together; 0: any number. Without keys all are one."""

    @model_validator(mode="after")
    def provider_needs_a_name(self) -> "ChattrSettings":
        """A provider serves many models; the embedded default means nothing to it."""
        if self.model.url and not self.model.name:
            raise ValueError("MODEL__URL is set without MODEL__NAME; set it to the model that this provider should run")
        return self

    @model_validator(mode="after")
    def embeddings_need_an_endpoint_and_a_model(self) -> "ChattrSettings":
        """An endpoint serves many models; the rest of the section means nothing to the packaged one."""
        given = self.embeddings
        if given.url and not given.name:
            raise ValueError("EMBEDDINGS__URL is set without EMBEDDINGS__NAME; set it to the endpoint's model")
        if not given.url and (given.name or given.api_key or given.dimensions):
            raise ValueError("EMBEDDINGS__* is set without EMBEDDINGS__URL; set it to the endpoint's address")
        return self

    @model_validator(mode="after")
    def key_needs_a_provider(self) -> "ChattrSettings":
        """A key alone would be sent nowhere, and the embedded model would answer instead."""
        if self.model.api_key and not self.model.url:
            raise ValueError(
                "MODEL__API_KEY is set without MODEL__URL; set it to the provider's address, "
                "e.g. https://api.openai.com/v1, and MODEL__NAME to one of its models"
            )
        return self

    @model_validator(mode="after")
    def alternatives_need_a_provider(self) -> "ChattrSettings":
        """The embedded model is one."""
        if self.model.alternatives and not self.model.url:
            raise ValueError(
                "MODEL__ALTERNATIVES is set without MODEL__URL; set it to the provider that runs these models, "
                "or leave MODEL__ALTERNATIVES out: the embedded model is the only one here"
            )
        return self

    @model_validator(mode="after")
    def a_model_has_one_predictor(self) -> "ChattrSettings":
        """KServe's protocols name a model and nothing else, so its name must lead to one place."""
        films = self.visualizr.urls.keys()
        if both := sorted(films & {*self.vocalizr.urls, self.vocalizr.model}):
            raise ValueError(
                f"VISUALIZR__URLS names {', '.join(both)}, which VOCALIZR__URLS or VOCALIZR__MODEL names too; "
                "a model has one predictor, so give each a name of its own"
            )
        return self

    @property
    def embedded_model(self) -> bool:
        """Whether the model in this process answers."""
        return self.model.url is None

    @property
    def draws_facts(self) -> bool:
        """Whether facts are drawn from what is said."""
        wanted = self.memory.extraction == "on" or (self.memory.extraction == "auto" and not self.embedded_model)
        return wanted and self.enable_long_term_memory

    @property
    def sums_up(self) -> bool:
        """Whether long conversations are summed up."""
        return self.memory.summary == "on" or (self.memory.summary == "auto" and not self.embedded_model)

    @model_validator(mode="after")
    def credentials_stand_in_one_place(self) -> "ChattrSettings":
        """Two passwords for one server: whichever is sent, somebody meant the other."""
        for name in ("records", "short_term_memory", "jobs", "cache"):
            section: RecordsSettings | RedisSettings = getattr(self, name)
            refuse_half_credentials(name.upper(), section)
        return self

    def redis_server(self, section: RecordsSettings | RedisSettings) -> RedisServer:
        """Return where a section's Redis is and how to enter: its own, else the records'.

        The records' password goes to no other server, and a section's own pair wins over the records' on theirs.
        """
        own = section if section.url is not None or section.password is not None else self.records
        return RedisServer(
            url=(section.url or self.records.url).get_secret_value(), username=own.username, password=own.password
        )

    @property
    def assets_root(self) -> str:
        """Return the URL under which assets lie."""
        return self.assets_url or (self.chatacter_home / "assets").absolute().as_uri()


def refuse_half_credentials(name: str, section: RecordsSettings | RedisSettings) -> None:
    """Refuse a user without a password, and credentials in the URL beside those in settings. Raises `ValueError`."""
    if section.username is None and section.password is None:
        return
    if section.password is None:
        raise ValueError(f"{name}__USERNAME is set without {name}__PASSWORD; set both, or neither")
    if section.url is not None and names_credentials(section.url.get_secret_value()):
        raise ValueError(
            f"{name}__URL holds a user or a password, and {name}__PASSWORD is set too; take them out of the URL"
        )


def names_credentials(url: str) -> bool:
    """Whether a Redis URL says who enters, before its host or in its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # connecting says that it cannot be read
    return bool(parts.username or parts.password or {"username", "password"} & parse_qs(parts.query).keys())
