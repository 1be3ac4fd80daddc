"""Chattr's composition root: the only place that knows which adapter stands behind which port."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any, Final

from redis.asyncio import Redis

from chatacter.chassis.drain import Drain
from chatacter.chassis.errors import Misconfigured, Unavailable
from chatacter.chassis.health import Health
from chatacter.chassis.telemetry import Telemetry
from chattr.adapters.assets_fsspec import FsspecAssets
from chattr.adapters.by_model import FilmersByModel, SpeakersByModel, filmers, speakers
from chattr.adapters.redis_allowance import RedisRateLimiter
from chattr.adapters.redis_cache import RedisIdempotency
from chattr.adapters.redis_characters import RedisCharacters
from chattr.adapters.redis_connection import connected, reachable
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_demand import RedisDemand
from chattr.adapters.redis_durability import require_durable, require_entry
from chattr.adapters.redis_duty import RedisDuties, RedisSecret
from chattr.adapters.redis_job_log import RedisJobLog
from chattr.adapters.redis_jobs import RedisJobs
from chattr.adapters.redis_knowledge import RedisKnowledge
from chattr.adapters.redis_lorebooks import RedisLorebooks
from chattr.adapters.redis_outbox import FULL_WINDOWS, LESSONS, RedisOutbox
from chattr.adapters.redis_replies import RedisReplyCache
from chattr.adapters.redis_sessions import RedisSessionLog, RedisShortTerm
from chattr.adapters.redis_summaries import RedisSummaries
from chattr.bootstrap.characters import open_cast
from chattr.bootstrap.jobs import dispatchers, open_for_jobs, run_dispatcher, tidy_up
from chattr.bootstrap.language import budget_of, open_language
from chattr.bootstrap.memory import begin_learning, begin_summing, open_memory
from chattr.domain.prompt import Budget
from chattr.ports.allowance import Policy, RateLimiter
from chattr.ports.assets import Assets
from chattr.ports.cache import IdempotencyStore
from chattr.ports.jobs import JobLog, Jobs, Modality
from chattr.ports.language import LanguageModel
from chattr.ports.lorebooks import Lorebooks
from chattr.ports.media import Filmer, Inference, Speaker
from chattr.ports.sessions import SessionLog
from chattr.settings import ChattrSettings, RecordsSettings, RedisServer, RedisSettings
from chattr.usecases.amending import Amending
from chattr.usecases.cards import Cards
from chattr.usecases.casting import Actors
from chattr.usecases.characters import Cast
from chattr.usecases.conversing import Conversing
from chattr.usecases.editing import Editing
from chattr.usecases.film import Film
from chattr.usecases.infer import Infer
from chattr.usecases.knowing import Knowing
from chattr.usecases.live import Live
from chattr.usecases.moving import Moving
from chattr.usecases.outstanding import Outstanding
from chattr.usecases.reading_aloud import ReadAloud
from chattr.usecases.remember import Remember
from chattr.usecases.reply import Reply, Surroundings
from chattr.usecases.signing import Signing
from chattr.usecases.speak import Speak
from chattr.usecases.summing import Summing
from chattr.usecases.transcripts import Transcripts

# Replies that one process shows to those who resume them, at a time; each holds a connection while it waits.
FOLLOWERS: Final = 1024
CONNECTIONS: Final = 64
NOTHING_TO_DISPATCH: Final = (
    "There is nothing to dispatch: ENABLE_VIDEO_GENERATION=false and ENABLE_VOICE_GENERATION=false."
)
# What waits because somebody talks comes back after this; what somebody works at is held for as long as that takes.
LATER_MS: Final = 15_000
# How long a start waits for a Redis that may be starting too.
REDIS_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Stores:
    """What Redis keeps, by its four ports and what belongs beside them."""

    characters: RedisCharacters
    lorebooks: RedisLorebooks
    conversations: RedisConversations
    outbox: RedisOutbox
    lessons: RedisOutbox
    full_windows: RedisOutbox
    knowledge: RedisKnowledge
    summaries: RedisSummaries
    short_term: RedisShortTerm
    session_log: RedisSessionLog
    jobs: RedisJobs
    job_log: RedisJobLog
    demand: RedisDemand
    duties: RedisDuties
    link_secret: RedisSecret
    idempotency: RedisIdempotency
    replies: RedisReplyCache | None
    rate_limiter: RedisRateLimiter | None

    def conversing(self, cast: Cast, remember: Remember | None, summing: Summing) -> Conversing:
        """Make what does everything with conversations but reply."""
        return Conversing(cast, self.conversations, self.short_term, remember, summing, replies=self.replies)

    def around(
        self, cast: Cast, language: LanguageModel, remember: Remember | None, summing: Summing | None
    ) -> Surroundings:
        """Return what a reply needs of the world."""
        return Surroundings(
            cast=cast,
            language=language,
            remember=remember,
            conversations=self.conversations,
            short_term=self.short_term,
            log=self.session_log,
            replies=self.replies,
            lorebooks=self.lorebooks,
            summing=summing,
        )


@dataclass(frozen=True, slots=True)
class Predictors:
    """The predictors' clients; None where a modality is switched off."""

    speaker: SpeakersByModel | None
    filmer: FilmersByModel | None


@dataclass(frozen=True, slots=True)
class Chattr:
    """Everything that routes may ask for."""

    health: Health
    reply: Reply
    remember: Remember | None
    amending: Amending | None
    moving: Moving
    summing: Summing
    speak: Speak
    read_aloud: ReadAloud
    film: Film
    infer: Infer
    characters: Cast
    actors: Actors
    editing: Editing
    cards: Cards
    lorebooks: Lorebooks
    conversing: Conversing
    transcripts: Transcripts
    session_log: SessionLog
    jobs: Jobs
    job_log: JobLog
    assets: Assets
    signing: Signing
    outstanding: Outstanding
    idempotency: IdempotencyStore
    rate_limiter: RateLimiter | None
    speaker: Speaker | None
    filmer: Filmer | None

    def state(self) -> Mapping[str, Any]:
        """Return it as the lifespan's state."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@asynccontextmanager
async def compose(
    settings: ChattrSettings, telemetry: Telemetry, health: Health, drain: Drain
) -> AsyncIterator[Chattr]:
    """Open everything, in the order in which it is needed; close it in the other. Raises `Misconfigured`."""
    async with AsyncExitStack() as stack:
        stores = await open_stores(stack, settings, health)
        assets = await FsspecAssets(settings.assets_root).open()
        cast, actors, kept_cards = await open_cast(stack, settings, stores.characters, assets, health)
        budget = budget_of(settings)
        remember = await open_memory(stack, settings, stores, telemetry, health)
        language = await open_language(stack, settings, cast, budget, health)
        begin_learning(stack, settings, stores, cast, language)
        summing = begin_summing(stack, settings, stores, budget, cast, language)
        predictors = await open_predictors(stack, settings)
        live = open_live(stack, drain)
        if settings.run_dispatcher:
            run_dispatcher(stack, dispatchers(settings, stores, assets, predictors, telemetry), drain)
        tidy_up(stack, settings, stores, assets)
        around = stores.around(cast, language, remember, summing if settings.sums_up else None)
        speak = speak_of(predictors, stores, actors, settings)
        conversing = stores.conversing(cast, remember, summing)
        yield Chattr(
            health=health,
            reply=reply_of(around, live, budget, settings, telemetry),
            remember=remember,
            amending=Amending(remember, Knowing(stores.knowledge, stores.summaries)) if remember else None,
            moving=Moving(stores.conversations, stores.knowledge, stores.outbox, summing),
            summing=summing,
            speak=speak,
            read_aloud=ReadAloud(speak, stores.jobs, assets),
            film=film_of(predictors, stores, assets, actors, settings),
            infer=infer_of(predictors, stores, settings),
            characters=cast,
            actors=actors,
            editing=Editing(cast, assets, kept_cards),
            cards=Cards(cast, actors, assets, kept_cards),
            lorebooks=stores.lorebooks,
            conversing=conversing,
            transcripts=Transcripts(conversing, stores.conversations, cast),
            session_log=stores.session_log,
            jobs=stores.jobs,
            job_log=stores.job_log,
            assets=assets,
            signing=Signing(assets, stores.link_secret),
            outstanding=Outstanding(stores.jobs, stores.demand, telemetry.meter),
            idempotency=stores.idempotency,
            rate_limiter=stores.rate_limiter,
            speaker=predictors.speaker,
            filmer=predictors.filmer,
        )


def speak_of(predictors: Predictors, stores: Stores, actors: Actors, settings: ChattrSettings) -> Speak:
    """Make what speaks."""
    speech = settings.vocalizr
    return Speak(predictors.speaker, actors, stores.demand, model=speech.model, seconds=speech.timeout)


def film_of(predictors: Predictors, stores: Stores, assets: Assets, actors: Actors, settings: ChattrSettings) -> Film:
    """Make what takes orders of films."""
    return Film(
        predictors.filmer,
        stores.jobs,
        assets,
        actors,
        speech_model=settings.vocalizr.model if predictors.speaker else None,
        kept_days=settings.asset_cleanup_days,
    )


def reply_of(around: Surroundings, live: Live, budget: Budget, settings: ChattrSettings, telemetry: Telemetry) -> Reply:
    """Make what lets characters answer."""
    return Reply(
        around,
        live=live,
        budget=budget,
        timeout=settings.model.timeout,
        tracer=telemetry.tracer,
        meter=telemetry.meter,
    )


@asynccontextmanager
async def compose_dispatcher(
    settings: ChattrSettings, telemetry: Telemetry, health: Health, drain: Drain
) -> AsyncIterator[Outstanding]:
    """Open what a dispatcher alone needs, and run it. Raises `Misconfigured`."""
    async with AsyncExitStack() as stack:
        stores = await open_stores(stack, settings, health)
        assets = await FsspecAssets(settings.assets_root).open()
        made = dispatchers(settings, stores, assets, await open_predictors(stack, settings), telemetry)
        if not made:
            raise Misconfigured(NOTHING_TO_DISPATCH)
        run_dispatcher(stack, made, drain)
        yield Outstanding(stores.jobs, stores.demand, telemetry.meter)


async def open_stores(stack: AsyncExitStack, settings: ChattrSettings, health: Health) -> Stores:
    """Connect to each Redis once, though several ports may share it.

    One that goes away later is told, and makes nobody unready: all replicas would leave the balancer at once, and
    with them what needs no Redis.
    """
    clients: dict[RedisServer, Redis] = {}

    async def client(name: str, section: RecordsSettings | RedisSettings) -> Redis:
        server = settings.redis_server(section)
        if server not in clients:
            clients[server] = redis = await stack.enter_async_context(redis_at(server))
            health.tell(name, lambda: reachable(redis))
            must = name in {"records", "jobs"}
            try:
                await require_entry(redis, name.upper(), wait=REDIS_SECONDS if must else 0)
            except Unavailable:
                if must:
                    raise
        return clients[server]

    records = await client("records", settings.records)
    sessions = await client("short_term_memory", settings.short_term_memory)
    jobs = await client("jobs", settings.jobs)
    cache = await client("cache", settings.cache)
    await require_durable(records, "RECORDS", vouched=settings.records.durable)
    await_disk = await open_for_jobs(jobs, settings, apart=jobs is not records)
    short = settings.short_term_memory
    followers = await stack.enter_async_context(redis_at(settings.redis_server(short), connections=FOLLOWERS))
    watchers = await stack.enter_async_context(redis_at(settings.redis_server(settings.jobs), connections=FOLLOWERS))
    return Stores(
        characters=RedisCharacters(records),
        lorebooks=RedisLorebooks(records),
        conversations=RedisConversations(records, noted=settings.enable_long_term_memory),
        outbox=RedisOutbox(records),
        lessons=RedisOutbox(records, stream=LESSONS, lease_ms=LATER_MS),
        full_windows=RedisOutbox(records, stream=FULL_WINDOWS, lease_ms=LATER_MS),
        knowledge=RedisKnowledge(records),
        summaries=RedisSummaries(records),
        short_term=RedisShortTerm(sessions, ttl=short.ttl, max_size=short.max_size),
        session_log=RedisSessionLog(sessions, followers, ttl=short.ttl),
        jobs=RedisJobs(jobs, most_a_tenant=settings.jobs.tenant_concurrency, wait_for_disk=await_disk),
        job_log=RedisJobLog(watchers),
        demand=RedisDemand(jobs),
        duties=RedisDuties(jobs),
        link_secret=RedisSecret(jobs, "links"),
        idempotency=RedisIdempotency(cache, ttl=settings.idempotency_ttl),
        replies=RedisReplyCache(cache, ttl=settings.cache_ttl) if settings.cache_ttl else None,
        rate_limiter=RedisRateLimiter(cache, Policy(settings.api_rate_limit)) if settings.api_rate_limit else None,
    )


def redis_at(server: RedisServer, connections: int = CONNECTIONS) -> AbstractAsyncContextManager[Redis]:
    """Connect to a Redis as the settings say."""
    password = server.password.get_secret_value() if server.password else None
    return connected(server.url, username=server.username, password=password, connections=connections)


async def open_predictors(stack: AsyncExitStack, settings: ChattrSettings) -> Predictors:
    """Make the predictors' clients; what is switched off is never looked for."""
    token = settings.service_token
    voice, video = settings.vocalizr, settings.visualizr
    speaker: SpeakersByModel | None = None
    filmer: FilmersByModel | None = None
    if settings.enable_voice_generation:
        speaker = await stack.enter_async_context(speakers(voice.url, voice.urls, model=voice.model, token=token))
    if settings.enable_video_generation:
        filmer = await stack.enter_async_context(filmers(video.url, video.urls, token=token))
    return Predictors(speaker, filmer)


def infer_of(predictors: Predictors, stores: Stores, settings: ChattrSettings) -> Infer:
    """Make what passes KServe's protocols on, to the predictors that are switched on."""
    found: dict[Modality, Inference] = {}
    if predictors.speaker is not None:
        found["speech"] = predictors.speaker
    if predictors.filmer is not None:
        found["video"] = predictors.filmer
    return Infer(found, stores.demand, seconds=max(settings.vocalizr.timeout, settings.visualizr.timeout))


def open_live(stack: AsyncExitStack, drain: Drain) -> Live:
    """Hold the replies that this process writes; at the end they may finish in what is left of the grace."""
    live = Live()
    stack.push_async_callback(lambda: live.close(drain.remaining))
    return live
