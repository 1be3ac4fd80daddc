"""The doors of memories with fakes behind them, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import telemetry_of
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.sessions import FakeShortTerm
from chattr.domain.character import Character
from chattr.domain.identity import Owner
from chattr.domain.memory import memory_id
from chattr.domain.prompt import Budget
from chattr.routes import conversations, forgetting, memories, memory_changes, reminders, summaries
from chattr.usecases.amending import Amending
from chattr.usecases.characters import Cast
from chattr.usecases.conversing import Conversing
from chattr.usecases.moving import Moving
from chattr.usecases.summing import Windows
from tests.memory_world import World
from tests.served import served

ANN = Owner("default", "ann")
BOB = Owner("default", "bob")
ZOE = Owner("default", "zoe")
ADA = Character(id="ada", name="Ada", system_prompt="You are Ada.")
BO = Character(id="bo", name="Bo", system_prompt="You are Bo.")
ROUTERS = [
    conversations.router,
    reminders.router,
    summaries.router,
    forgetting.router,
    memory_changes.router,
    memories.router,
]


@dataclass
class Rig:
    """The doors with fakes behind them."""

    web: httpx.AsyncClient
    world: World

    async def ask(self, method: str, path: str, *, person: str = "ann", **named: Any) -> httpx.Response:
        return await self.web.request(method, f"/api/v1{path}", headers={"x-chatacter-person": person}, **named)

    async def memories(self, person: str = "ann", **query: Any) -> list[dict[str, Any]]:
        answer = await self.ask("GET", "/memories", person=person, params=query)
        assert answer.status_code == 200, answer.text
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    async def said(self, text: str, conversation: str = "a", *, owner: Owner = ANN) -> str:
        """Say something and see it remembered; returns the memory's id."""
        message_id = await self.world.say(conversation, text, owner=owner)
        await self.world.index()
        return memory_id(owner, message_id)


def application(world: World) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        remember, summing = world.remember(), world.summing(world.outbox, Windows(Budget(), 8))
        cast = Cast({"ada": ADA, "bo": BO}, {}, FakeCharacters(), default="ada")
        yield {
            "remember": remember,
            "amending": Amending(remember, world.knowing(), clock=lambda: world.now),
            "moving": Moving(world.conversations, world.knowledge, world.outbox, summing, clock=lambda: world.now),
            "summing": summing,
            "characters": cast,
            "conversing": Conversing(cast, world.conversations, FakeShortTerm(), remember, summing),
        }

    settings = ServiceSettings.read()
    service = Service("test", "Test", "0", Health(), lifespan, ROUTERS, telemetry_of("test", settings))
    return build(service, settings)


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(await asyncio.to_thread(application, world)))
        yield Rig(await stack.enter_async_context(httpx.AsyncClient(base_url=url)), world)
