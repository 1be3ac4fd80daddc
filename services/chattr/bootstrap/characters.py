"""The characters that there are: those that come with Chattr, an operator's own, and the tenants'."""

import asyncio

from chattr.adapters import character_files
from chattr.ports.assets import Assets
from chattr.ports.records import Characters
from chattr.settings import ChattrSettings
from chattr.usecases.casting import Actors
from chattr.usecases.characters import Cast


async def open_cast(settings: ChattrSettings, own: Characters, assets: Assets) -> tuple[Cast, Actors]:
    """Read the characters that come with Chattr and the operator's own."""
    built_in = await asyncio.to_thread(character_files.built_in)
    path = settings.character_config_path
    files = await asyncio.to_thread(character_files.from_path, path) if path else {}
    portraits = await asyncio.to_thread(character_files.portraits)
    offered = settings.model.alternatives
    cast = Cast(built_in, files, own, default=settings.default_character, models=offered)
    voices, videos = settings.enable_voice_generation, settings.enable_video_generation
    return cast, Actors(cast, portraits, assets, voice=settings.vocalizr.voice, speech=voices, video=videos)
