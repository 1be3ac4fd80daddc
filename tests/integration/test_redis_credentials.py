"""Who enters Redis: by URL, by settings of their own, by an ACL, over TLS; and who is told why not."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from chatacter.chassis.errors import Misconfigured, Unavailable
from chattr.adapters.redis_connection import connected, reachable
from chattr.adapters.redis_durability import require_entry
from chattr.settings import ChattrSettings, RedisSettings
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer, free_port, started
from tests.service_process import ServiceProcess, running, until_ready

pytestmark = pytest.mark.integration

ANY_CHARACTERS = "p@ss:w/rd#%3F?&=\\'\"é $(x)"


@pytest.fixture
def guarded() -> RedisServer:
    """A server with a password, made known only after it answers: the starting test harness has none."""
    with started() as server:
        assert server.command("CONFIG", "SET", "requirepass", ANY_CHARACTERS) == "+OK"
        yield server


def bare(llm: FakeLLMServer, redis: RedisServer) -> dict[str, str]:
    off = ("LONG_TERM_MEMORY", "VOICE_GENERATION", "VIDEO_GENERATION", "UI")
    return {
        "MODEL__URL": llm.url,
        "MODEL__NAME": "scripted",
        "MEMORY__EXTRACTION": "off",
        "RECORDS__URL": redis.url,
        **{f"ENABLE_{each}": "false" for each in off},
    }


def refused(chattr: ServiceProcess) -> str:
    assert chattr.process.wait(60) == 1
    assert "Traceback" not in chattr.written()
    return chattr.written()


async def test_a_password_of_any_characters_opens(guarded: RedisServer) -> None:
    async with connected(guarded.url, password=ANY_CHARACTERS) as redis:
        assert await redis.ping()
    async with connected(guarded.url) as redis:
        assert "refuses these credentials" in str(await reachable(redis))


async def test_a_user_of_an_acl_enters_and_is_told_what_they_may_not() -> None:
    with started() as server:
        server.command("ACL", "SETUSER", "app", "on", f">{ANY_CHARACTERS}", "~chatacter:*", "&*", "+@all", "-ping")
        async with connected(server.url, username="app", password=ANY_CHARACTERS) as redis:
            assert await redis.set("chatacter:a", "1")
            await require_entry(redis, "RECORDS")
            assert "does not let this user" in str(await reachable(redis))


@pytest.mark.parametrize("password", [None, "wrong"])
async def test_credentials_that_are_refused_name_their_setting(guarded: RedisServer, password: str | None) -> None:
    async with connected(guarded.url, password=password) as redis:
        with pytest.raises(Misconfigured, match=r"JOBS__URL: .* Check JOBS__PASSWORD"):
            await require_entry(redis, "JOBS", wait=60)


async def test_a_server_that_starts_later_is_waited_for() -> None:
    with started() as server:
        server.stop()
        async with connected(server.url) as redis:
            waiting = asyncio.create_task(require_entry(redis, "RECORDS", wait=30))
            await asyncio.to_thread(server.start)
            await waiting


async def test_a_server_that_stays_away_is_told() -> None:
    async with connected(f"redis://127.0.0.1:{free_port()}/0") as redis:
        with pytest.raises(Unavailable):
            await require_entry(redis, "RECORDS")


def test_chattr_starts_and_talks_with_a_password_of_its_own(
    guarded: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    settings = {**bare(llm_server, guarded), "RECORDS__PASSWORD": ANY_CHARACTERS}
    with running("chattr", tmp_path, settings) as chattr:
        assert ANY_CHARACTERS not in chattr.written()
    with running("chattr", tmp_path, {**settings, "RECORDS__PASSWORD": "wrong"}, wait=False) as chattr:
        assert "RECORDS__URL: this Redis refuses" in refused(chattr)


def test_the_records_password_goes_to_no_other_server(
    guarded: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with started() as other:
        assert other.command("CONFIG", "SET", "requirepass", ANY_CHARACTERS) == "+OK"
        settings = {**bare(llm_server, guarded), "RECORDS__PASSWORD": ANY_CHARACTERS, "JOBS__URL": other.url}
        with running("chattr", tmp_path, settings, wait=False) as chattr:
            assert "JOBS__URL: this Redis refuses" in refused(chattr)
        with running("chattr", tmp_path, {**settings, "JOBS__PASSWORD": ANY_CHARACTERS}):
            pass


def test_chattr_waits_for_a_redis_that_starts_beside_it(llm_server: FakeLLMServer, tmp_path: Path) -> None:
    with started() as server:
        server.stop()
        with running("chattr", tmp_path, bare(llm_server, server), wait=False) as chattr:
            while "does not answer yet" not in chattr.written():
                assert chattr.process.poll() is None
            server.start()
            until_ready(chattr)


async def test_tls_trusts_the_authority_that_the_url_names(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.crt")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files]
    made = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    port = free_port()
    tls = {
        "tls_port": str(port),
        "tls_cert_file": str(tmp_path / "ca.crt"),
        "tls_key_file": str(tmp_path / "key.pem"),
        "tls_auth_clients": "no",
    }
    with started(**tls):
        trusting = f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path}/ca.crt"
        async with connected(trusting) as redis:
            assert await redis.ping()
        async with connected(f"rediss://localhost:{port}/0") as redis:
            assert "does not answer" in str(await reachable(redis))


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://:a/b@localhost", "redis://:x@[::1"])
async def test_a_url_that_cannot_be_read_says_where_the_password_belongs(url: str) -> None:
    with pytest.raises(Misconfigured, match="RECORDS__PASSWORD"):
        async with connected(url):
            pass


def secret(text: str) -> SecretStr:
    return SecretStr(text)


def test_a_section_without_a_url_enters_as_the_records_do() -> None:
    records = {"url": secret("redis://one"), "username": "app", "password": secret("a")}
    settings = ChattrSettings.read(
        records=records, jobs={"url": secret("redis://two")}, cache={"password": secret("b")}
    )
    servers = [settings.redis_server(each) for each in (settings.short_term_memory, settings.jobs, settings.cache)]
    assert [(each.url, each.username, each.password) for each in servers] == [
        ("redis://one", "app", secret("a")),
        ("redis://two", None, None),
        ("redis://one", None, secret("b")),
    ]
    assert settings.redis_server(settings.records) == servers[0]


@pytest.mark.parametrize(
    ("url", "username", "password", "told"),
    [
        ("redis://:x@localhost", None, "y", "JOBS__URL holds a user or a password"),
        ("redis://app@localhost", "app", "y", "JOBS__URL holds a user or a password"),
        ("redis://localhost?password=x", None, "y", "JOBS__URL holds a user or a password"),
        (None, "app", None, "JOBS__USERNAME is set without JOBS__PASSWORD"),
    ],
)
def test_credentials_that_contradict_each_other_do_not_start(
    url: str | None, username: str | None, password: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = RedisSettings(url=secret(url) if url else None, username=username, password=password and secret(password))
    with pytest.raises(SystemExit):
        ChattrSettings.read(jobs=jobs.model_dump())
    assert told in (text := capsys.readouterr().err)
    assert "redis://" not in text
