"""Long-term memory: what embeds, what searches, and what carries to it what waits."""

from contextlib import AsyncExitStack
from typing import Protocol

from chatacter.chassis import plugins
from chatacter.chassis.health import Health
from chatacter.chassis.telemetry import Telemetry
from chatacter.models.store import ModelStore
from chattr.adapters.minilm_embedder import NAME as MINILM
from chattr.adapters.minilm_embedder import MiniLmEmbedder
from chattr.adapters.openai_embedder import OpenAIEmbedder
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.bootstrap.beside import run_beside
from chattr.domain.prompt import Budget
from chattr.ports.embedder import Embedder
from chattr.ports.knowledge import Knowledge
from chattr.ports.language import LanguageModel
from chattr.ports.memory import MemoryIndex
from chattr.ports.outbox import Outbox
from chattr.ports.records import Conversations
from chattr.ports.replies import ReplyCache
from chattr.ports.summaries import Summaries
from chattr.settings import ChattrSettings
from chattr.usecases.characters import Cast
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.learning import Learner, Teacher
from chattr.usecases.remember import Remember
from chattr.usecases.renewal import Renewal
from chattr.usecases.summarising import Summariser
from chattr.usecases.summing import Summing, Windows


class MemoryStores(Protocol):
    """What memory follows, and what waits for it."""

    @property
    def conversations(self) -> Conversations:
        """What was said."""
        ...

    @property
    def knowledge(self) -> Knowledge:
        """What is known beside that."""
        ...

    @property
    def outbox(self) -> Outbox:
        """What changed."""
        ...

    @property
    def lessons(self) -> Outbox:
        """What facts may be drawn from."""
        ...

    @property
    def full_windows(self) -> Outbox:
        """What may have to be summed up."""
        ...

    @property
    def summaries(self) -> Summaries:
        """What was summed up."""
        ...

    @property
    def replies(self) -> ReplyCache | None:
        """What is kept of answers; None where nothing is."""
        ...


async def open_memory(
    stack: AsyncExitStack,
    settings: ChattrSettings,
    stores: MemoryStores,
    telemetry: Telemetry,
    health: Health,
) -> Remember | None:
    """Open long-term memory and begin to carry to it what waits; None where it is switched off."""
    if not settings.enable_long_term_memory:
        return None
    embedder = await open_embedder(stack, settings, health)
    index = await open_index(stack, settings, health)
    stem = english_stemmer()
    knowing = Knowing(stores.knowledge, stores.summaries)
    indexer = Indexer(
        memory=index,
        conversations=stores.conversations,
        knowing=knowing,
        embedder=embedder,
        outbox=stores.outbox,
        stem=stem,
        lessons=stores.lessons if settings.draws_facts else None,
    )
    renewal = Renewal(indexer)
    health.tell("memory", renewal.told)
    run_beside(stack, indexer.run)
    run_beside(stack, renewal.run)
    return Remember(
        memory=index,
        embedder=embedder,
        outbox=stores.outbox,
        knowing=knowing,
        stem=stem,
        tracer=telemetry.tracer,
        replies=stores.replies,
    )


def begin_learning(
    stack: AsyncExitStack, settings: ChattrSettings, stores: MemoryStores, cast: Cast, language: LanguageModel
) -> None:
    """Draw facts from what is said, while nobody waits; not where that is switched off."""
    if not settings.draws_facts:
        return
    learner = Learner(
        cast=cast,
        conversations=stores.conversations,
        knowledge=stores.knowledge,
        lessons=stores.lessons,
        outbox=stores.outbox,
        teacher=Teacher(language),
        stem=english_stemmer(),
    )
    run_beside(stack, learner.run)


def begin_summing(
    stack: AsyncExitStack,
    settings: ChattrSettings,
    stores: MemoryStores,
    budget: Budget,
    cast: Cast,
    language: LanguageModel,
) -> Summing:
    """Sum up long conversations while nobody waits; not where that is switched off, but what there is can be read."""
    windows = Windows(budget, settings.short_term_memory.max_size)
    summing = Summing(stores.summaries, stores.outbox, stores.full_windows, windows)
    if not settings.sums_up:
        return summing
    summariser = Summariser(
        cast=cast,
        conversations=stores.conversations,
        summing=summing,
        queue=stores.full_windows,
        language=language,
    )
    run_beside(stack, summariser.run)
    return summing


async def open_embedder(stack: AsyncExitStack, settings: ChattrSettings, health: Health) -> Embedder:
    """Connect to the endpoint of embeddings, or load the packaged model."""
    wanted = settings.embeddings
    if wanted.url and wanted.name:
        endpoint = OpenAIEmbedder(
            name=wanted.name,
            url=wanted.url,
            api_key=wanted.api_key,
            dimensions=wanted.dimensions,
            timeout=wanted.timeout,
        )
        health.tell("embeddings", endpoint.check)
        return await stack.enter_async_context(endpoint)
    store = ModelStore(settings.models_dir)
    weights, tokenizer = store.file(MINILM, "model.safetensors"), store.file(MINILM, "tokenizer.json")
    return await stack.enter_async_context(MiniLmEmbedder(weights, tokenizer))


async def open_index(stack: AsyncExitStack, settings: ChattrSettings, health: Health) -> MemoryIndex:
    """Connect to Qdrant, or open its engine in this process."""
    database = settings.vector_database
    if database.url is None:
        with plugins.needing("Qdrant's engine (VECTOR_DATABASE__URL is unset)"):
            from chattr.adapters.edge_memory import EdgeMemory  # noqa: PLC0415  # needs the extra `embedded`

        edge = EdgeMemory(settings.chatacter_home / "memory")
        return await stack.enter_async_context(edge)
    from chattr.adapters import qdrant_memory  # noqa: PLC0415  # not wanted where the engine is in process

    key = database.api_key.get_secret_value() if database.api_key else None
    client = await stack.enter_async_context(
        qdrant_memory.connected(database.url, api_key=key, request_timeout=database.timeout)
    )
    qdrant = qdrant_memory.QdrantMemory(client, database.collection)
    health.tell("vector_database", qdrant.reachable)
    return qdrant
