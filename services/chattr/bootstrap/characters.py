"""The characters that there are: those that come with Chattr, an operator's own, and the tenants'."""

import asyncio
from contextlib import AsyncExitStack

from chatacter.chassis.health import Health
from chattr.adapters import character_files
from chattr.adapters.character_watch import CharacterFiles
from chattr.bootstrap.beside import run_beside
from chattr.ports.assets import Assets
from chattr.ports.records import Characters
from chattr.settings import ChattrSettings
from chattr.usecases.casting import Actors
from chattr.usecases.characters import Cast
from chattr.usecases.kept_cards import KeptCards


async def open_cast(
    stack: AsyncExitStack, settings: ChattrSettings, own: Characters, assets: Assets, health: Health
) -> tuple[Cast, Actors, KeptCards]:
    """Read the characters that come with Chattr and the operator's own, and these again when their files change."""
    built_in = await asyncio.to_thread(character_files.built_in)
    portraits = await asyncio.to_thread(character_files.portraits)
    path = settings.character_config_path
    files = CharacterFiles(path) if path else None
    read = await files.read() if files else {}
    cast = Cast(built_in, read, own, default=settings.default_character, models=settings.model.alternatives)
    if files is not None:
        health.tell("character_files", files.check)
        run_beside(stack, lambda: files.run(cast.take_files))
    voices, videos = settings.enable_voice_generation, settings.enable_video_generation
    actors = Actors(cast, portraits, assets, voice=settings.vocalizr.voice, speech=voices, video=videos)
    return cast, actors, KeptCards(assets)
