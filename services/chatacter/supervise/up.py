"""`chatacter up`: installs what is missing, starts everything on this machine, and stops it again."""

import asyncio
import signal
import sys
import time
from contextlib import ExitStack
from typing import Any, Final

import httpx
import typer

from chatacter.chassis.settings import inherited, url_host
from chatacter.models.commands import installer
from chatacter.models.lock import Lock
from chatacter.models.store import ModelStore
from chatacter.supervise import preflight
from chatacter.supervise.private_redis import private_redis, socket_in
from chatacter.supervise.process import Process, answers_ready
from chatacter.supervise.settings import LauncherSettings
from chatacter.supervise.supervisor import Failed, Supervisor, say

LOOPBACK: Final = "127.0.0.1"
CLIENTS_PORT: Final = 8000
# What each process takes once its models are loaded and work, measured; the language model in its process comes on top.
MEMORY: Final = {"Chattr": 400_000_000, "Vocalizr": 750_000_000, "Visualizr": 400_000_000}


def up() -> None:
    """Start Chattr, Vocalizr and Visualizr on this machine with a private Redis; Ctrl-C stops them."""
    signal.signal(signal.SIGTERM, interrupted)
    try:
        code = run(LauncherSettings.read())
    except KeyboardInterrupt:
        say("Stopped.")
        code = 0
    if code:
        raise typer.Exit(code)


def interrupted(number: int, frame: Any) -> None:
    """Treat SIGTERM like Ctrl-C while nothing runs yet that could be stopped gracefully."""
    raise KeyboardInterrupt


def run(settings: LauncherSettings) -> int:
    """Check, install, start, wait. Returns the exit code. Raises `ChatacterError` for what stops it from starting."""
    began = time.monotonic()
    home = settings.chatacter_home.absolute()
    with ExitStack() as stack:
        stack.enter_context(preflight.alone(home))
        preflight.ports_are_free(settings.host, ports(settings))
        lock = Lock.read()
        warning = preflight.memory_warning(memory(settings, lock), preflight.available_memory())
        if warning:
            say(warning)
        installer(ModelStore(home / "models"), lock).install(models(settings, lock))
        shared = {
            "CHATACTER_HOME": str(home),
            "SERVICE_TOKEN": token(settings),
            "VOCALIZR__URL": settings.vocalizr.url or f"http://{LOOPBACK}:{settings.vocalizr_port}",
            "VISUALIZR__URL": settings.visualizr.url or f"http://{LOOPBACK}:{settings.visualizr_port}",
        }
        stages = []
        if settings.records.url is None:
            socket = stack.enter_context(socket_in(home / "redis"))
            stages.append([private_redis(home / "redis", socket, home / "logs" / "redis.log", inherited())])
            shared["RECORDS__URL"] = f"unix://{socket}?db=0"
        stages.append(services(settings, shared))

        async def supervised() -> int:
            supervisor = Supervisor(stages, say, grace=settings.shutdown_grace + 5, patience=settings.start_timeout)
            return await supervisor.run(lambda: guide(settings, time.monotonic() - began))

        return asyncio.run(supervised())


def ports(settings: LauncherSettings) -> dict[str, tuple[str, int]]:
    """Return each service that starts here, with the setting of its port and the port."""
    found = {"Chattr": ("CHATTR_PORT", settings.chattr_port)}
    if settings.speaks_here:
        found["Vocalizr"] = ("VOCALIZR_PORT", settings.vocalizr_port)
    if settings.films_here:
        found["Visualizr"] = ("VISUALIZR_PORT", settings.visualizr_port)
    return found


def memory(settings: LauncherSettings, lock: Lock) -> int:
    """Return how many bytes the services will take; a language model takes half as much again as its file."""
    language = 0 if settings.model.url else lock.model(models(settings, lock)[0]).bytes * 3 // 2
    return language + sum(MEMORY[name] for name in ports(settings))


def models(settings: LauncherSettings, lock: Lock) -> tuple[str, ...]:
    """Return the models that are needed here. Raises `NotFound` when MODEL__NAME names none that there is."""
    language, embedder = lock.profile("text")
    wanted: list[str] = []
    if settings.model.url is None:
        wanted.append(settings.model.name or language)
    if settings.enable_long_term_memory:
        wanted.append(embedder)
    if settings.speaks_here:
        wanted.extend(lock.profile("voice"))
    if settings.films_here:
        wanted.extend(lock.profile("video"))
    return tuple(wanted)


def token(settings: LauncherSettings) -> str:
    """Return the secret that the services share: the one that is set, else one of this home's own."""
    if settings.service_token is not None:
        return settings.service_token.get_secret_value()
    return preflight.service_token(settings.chatacter_home)


def services(settings: LauncherSettings, shared: dict[str, str]) -> list[Process]:
    """Describe the services. Only Chattr listens where HOST says: the predictors are for it alone, and by REST."""
    logs = settings.chatacter_home.absolute() / "logs"
    described = []
    for name, (_, port) in ports(settings).items():
        host = settings.host if name == "Chattr" else LOOPBACK
        described.append(
            Process(
                name=name,
                command=(sys.executable, "-m", name.lower()),
                environment=inherited(**shared, HOST=host, PORT=str(port), GRPC_PORT="0"),
                log=logs / f"{name.lower()}.log",
                ready=answers_ready(f"http://{url_host(host)}:{port}"),
            )
        )
    return described


async def guide(settings: LauncherSettings, seconds: float) -> None:
    """Tell where everything is, and three things to try."""
    base = f"http://{url_host(settings.host)}:{settings.chattr_port}"
    character = await a_character(base, token(settings))
    elsewhere = "" if settings.chattr_port == CLIENTS_PORT else f" --url {base}"
    key = "$YOUR_KEY" if settings.keys_required else "none"
    body = f'{{"model": "{character}", "stream": true, "messages": [{{"role": "user", "content": "Who are you?"}}]}}'
    say(
        f"""
Chatacter is ready, {seconds:.0f} s after it was started. Its data is in {settings.chatacter_home}.

  the page           {base}/
  the OpenAI API     {base}/v1
  every door         {base}/openapi.json

Three things to try:

  curl -N {base}/v1/chat/completions -H 'Content-Type: application/json' -H 'Authorization: Bearer {key}' \\
      -d '{body}'

  {sys.executable} - <<'PY'
from openai import OpenAI
client = OpenAI(base_url="{base}/v1", api_key="{key}")
client.audio.speech.create(model="kokoro", voice="{character}", input="Good to meet you.").write_to_file("hello.mp3")
PY

  {sys.argv[0]} chat --character {character} --say{elsewhere}

Ctrl-C stops everything.
"""
    )


async def a_character(base: str, key: str) -> str:
    """Return the id of the first character that the API lists. Raises `Failed` if there is none to talk with."""
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {key}"}) as client:
        try:
            listed = (await client.get(f"{base}/v1/models")).raise_for_status().json()["data"]
        except httpx.HTTPError as error:
            raise Failed(f"Chattr does not list its characters ({type(error).__name__}).") from error
    if not listed:
        raise Failed("Chattr knows no character; check CHARACTER_CONFIG_PATH.")
    return str(listed[0]["id"])
