"""What answers: any OpenAI-compatible provider, or the embedded model."""

from contextlib import AsyncExitStack
from typing import Final

from chatacter.chassis import plugins
from chatacter.chassis.health import Health
from chatacter.models.store import ModelStore
from chattr.adapters.going_on import GoingOn
from chattr.adapters.openai_llm import OpenAILanguageModel
from chattr.domain.prompt import Budget, stable_prefix
from chattr.ports.language import LanguageModel
from chattr.settings import ChattrSettings
from chattr.usecases.characters import Cast

EMBEDDED_MODEL: Final = "qwen2.5-coder-0.5b-instruct"
EMBEDDED_CONTEXT: Final = 1536
EMBEDDED_ANSWER: Final = 60
EMBEDDED_TEMPERATURE: Final = 0.5
PROVIDER_CONTEXT: Final = 8192
PROVIDER_ANSWER: Final = 512
PROVIDER_TEMPERATURE: Final = 0.7


def budget_of(settings: ChattrSettings) -> Budget:
    """Say what the language model can take: little for the embedded one, which reads slowly."""
    embedded = settings.embedded_model
    temperature = EMBEDDED_TEMPERATURE if embedded else PROVIDER_TEMPERATURE
    return Budget(
        context_tokens=settings.model.context_tokens or (EMBEDDED_CONTEXT if embedded else PROVIDER_CONTEXT),
        max_tokens=settings.model.max_tokens or (EMBEDDED_ANSWER if embedded else PROVIDER_ANSWER),
        temperature=settings.model.temperature if settings.model.temperature is not None else temperature,
        disclosure=not embedded,
        slow=embedded,
    )


async def open_language(
    stack: AsyncExitStack, settings: ChattrSettings, cast: Cast, budget: Budget, health: Health
) -> LanguageModel:
    """Connect to the provider, or load the model that answers in this process."""
    model = settings.model
    if model.url and model.name:
        provider = OpenAILanguageModel(name=model.name, url=model.url, api_key=model.api_key)
        health.tell("model", provider.check)
        return GoingOn(await stack.enter_async_context(provider), model.continuation)
    with plugins.needing("The embedded language model (MODEL__URL is unset)"):
        from chattr.adapters.local_llm import LocalLanguageModel  # noqa: PLC0415  # needs the extra `embedded`

    local = LocalLanguageModel(
        store=ModelStore(settings.models_dir),
        name=model.name or EMBEDDED_MODEL,
        home=settings.chatacter_home,
        threads=model.threads,
        slot_tokens=budget.context_tokens + budget.max_tokens,
        prefixes=[stable_prefix(character, budget) for character in cast.shared],
        preload=settings.preload_models,
    )
    health.require("model", local.check)
    return await stack.enter_async_context(local)
