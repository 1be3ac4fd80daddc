"""The page in a real Chromium, before real services whose models are fakes: talk, hear, film; and nothing leaves."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import pytest
from playwright.sync_api import Browser, expect

from chatacter.chassis.auth import new_key
from chatacter.keys import store
from tests.chromium import CLIPS, PATIENCE, PHONE, last_reply, opened, sat_down, say, shown
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running
from tests.three_services import three_services

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def services(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServiceProcess, ServiceProcess, ServiceProcess]]:
    folder = tmp_path_factory.mktemp("page")
    with three_services(folder, redis_server, llm_server_of_this_run) as found:
        yield found


def test_talk_hear_and_film(
    browser: Browser,
    services: tuple[ServiceProcess, ServiceProcess, ServiceProcess],
    llm_server: FakeLLMServer,
    tmp_path: Path,
) -> None:
    llm_server.play("Ahoy there! ", "The wind is fair. ", *("and on " for _ in range(30)), "we fly.", delay=0.1)
    with opened(browser, services[0].url) as page:
        sat_down(page)
        expect(page.get_by_role("note")).to_contain_text("You talk with an AI")
        page.get_by_role("button", name="Captain Mira").click()
        expect(page.get_by_role("img", name="Portrait of Captain Mira")).to_be_visible()
        assert page.evaluate("document.querySelector('.portrait').naturalWidth") > 0
        page.get_by_role("button", name="Robin Tester").click()
        shown(page, "Good day. I am Robin.")
        expect(page.get_by_role("button", name="Film it")).to_be_disabled()

        say(page, "Shall we?")
        page.wait_for_function(f"{CLIPS}.length >= 1")
        assert "we fly." not in last_reply(page).inner_text(), "the first sentence is heard while the rest is written"
        source = page.evaluate("document.querySelector('#voice audio').src")
        page.screenshot(path=tmp_path / "talking.png")
        shown(page, "and on we fly.")
        page.wait_for_function(f"{CLIPS}.length >= 3")

        page.get_by_role("button", name="Film it").click()
        expect(page.locator("#stage .curtain")).to_be_visible()
        page.wait_for_function("document.querySelector('#stage video').readyState >= 2")
        assert page.evaluate("document.querySelector('#stage video').videoWidth") == 512
        expect(page.get_by_role("link", name="Save the film")).to_have_attribute("download", "robin.webm")
        page.screenshot(path=tmp_path / "film.png")
    head, _, body = source.partition(",")
    assert head == "data:audio/mpeg;base64"
    with av.open(io.BytesIO(base64.b64decode(body))) as sound:
        assert sum(frame.samples for frame in sound.decode(audio=0)) > 0.05 * 11 * 24000 * 0.8
        assert "trainedAlgorithmicMedia" in str(sound.metadata)
    assert (tmp_path / "film.png").stat().st_size > 50_000


def test_stop_ends_the_reply_on_the_server(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess], llm_server: FakeLLMServer
) -> None:
    llm_server.play(*(f"word{number} " for number in range(400)), delay=0.05)
    with opened(browser, services[0].url) as page:
        sat_down(page)
        say(page, "Everything, please")
        shown(page, "word5")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        page.wait_for_timeout(300)
        stopped = last_reply(page).inner_text()
        assert "word399" not in stopped
        llm_server.play("Better so.")
        say(page, "Shorter")
        shown(page, "Better so.")
        assert stopped[:40] in page.locator("#talk").inner_text()


def test_another_character_in_mid_reply_has_a_conversation_of_their_own(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess], llm_server: FakeLLMServer
) -> None:
    llm_server.play(*(f"word{number} " for number in range(400)), delay=0.05)
    with opened(browser, services[0].url) as page:
        sat_down(page)
        say(page, "Everything, please")
        shown(page, "word5")
        page.get_by_role("button", name="Iris").click()
        expect(page.get_by_role("img", name="Portrait of Iris")).to_be_visible()
        expect(page.locator("#talk .bot .words")).to_have_count(1)
        llm_server.play("I am Iris.")
        say(page, "And you?")
        shown(page, "I am Iris.")
        assert "word5" not in page.locator("#talk").inner_text()
        page.get_by_role("button", name="Robin Tester").click()
        expect(page.locator("#talk")).to_contain_text("word5")


def test_leaving_ends_the_work(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess], llm_server: FakeLLMServer
) -> None:
    llm_server.play(*(f"word{number} " for number in range(400)), delay=0.05)
    with opened(browser, services[0].url) as page:
        sat_down(page)
        say(page, "Everything, please")
        shown(page, "word5")
    with llm_server.state.changed:
        assert llm_server.state.changed.wait_for(lambda: llm_server.counts["disconnected"] >= 1, 10)


def test_a_conversation_is_still_there_after_a_reload(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess], llm_server: FakeLLMServer
) -> None:
    # A reload tears Gradio's open stream; it says so in the console of the page that is gone.
    with opened(browser, services[0].url, forgiven=("AbortError", "errored out")) as page:
        sat_down(page)
        say(page, "Remember me")
        shown(page, "Hello, Remember me!")
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(page.get_by_role("button", name="Film it")).to_be_enabled()
        page.reload()
        shown(page, "Hello, Remember me!")
        say(page, "And now?")
        shown(page, "Hello, And now?!")
        assert "Remember me" in llm_server.requests[-1].prompt
        page.get_by_role("button", name="New conversation").click()
        shown(page, "Good day. I am Robin.")


def test_what_a_reply_says_runs_nothing_and_fetches_nothing(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess], llm_server: FakeLLMServer
) -> None:
    bad = "<img src=x onerror='document.title=1'><script>document.title=2</script>"
    character = {
        "id": "mallory",
        "name": f"M {bad}"[:99],
        "description": bad,
        "personality": "Bad.",
        "greetings": [bad],
    }
    url = services[0].url
    assert httpx.post(f"{url}/api/v1/characters", json=character).status_code == 201
    llm_server.play("Look: ", "![p](https://example.org/p.png) ", bad, " <b>fin</b>")
    try:
        with opened(browser, url) as page:
            sat_down(page)
            page.get_by_role("button", name=re.compile("^M <img")).click()
            say(page, "Show me")
            shown(page, "fin")
            expect(page.get_by_role("button", name="Send")).to_be_visible()
            assert page.title() == "Chatacter"
            assert "![p](https://example.org/p.png) <img src=x" in last_reply(page).inner_text()
    finally:
        httpx.delete(f"{url}/api/v1/characters/mallory")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_everything(
    browser: Browser,
    services: tuple[ServiceProcess, ServiceProcess, ServiceProcess],
    scheme: str,
    tmp_path: Path,
    llm_server: FakeLLMServer,
) -> None:
    with opened(browser, services[0].url, viewport=PHONE, color_scheme=scheme) as page:
        sat_down(page)
        expect(page.get_by_role("button", name="Send")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.screenshot(path=tmp_path / f"phone-{scheme}.png")


def test_the_keyboard_is_enough(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess], llm_server: FakeLLMServer
) -> None:
    with opened(browser, services[0].url) as page:
        sat_down(page)
        page.get_by_role("button", name="Captain Mira").focus()
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Captain Mira")).to_have_attribute("aria-pressed", "true")
        shown(page, "Captain Mira of the Marigold")
        expect(page.get_by_role("button", name="Captain Mira")).to_be_focused()
        for _ in range(16):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
                break
        page.keyboard.type("From the keys")
        page.keyboard.press("Enter")
        shown(page, "Hello, From the keys!")


def test_every_control_has_a_name(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess]
) -> None:
    with opened(browser, services[0].url) as page:
        sat_down(page)
        for role in ("button", "textbox", "checkbox", "link", "combobox", "img"):
            for found in page.get_by_role(role).all():  # type: ignore[arg-type]
                assert re.search(rf"- {role} \"\S", found.aria_snapshot()), found.evaluate(
                    "e => e.outerHTML.slice(0, 200)"
                )


def test_the_page_says_what_answers(
    browser: Browser, services: tuple[ServiceProcess, ServiceProcess, ServiceProcess]
) -> None:
    with opened(browser, services[0].url) as page:
        sat_down(page)
        page.get_by_role("button", name="Who answers here?").click()
        expect(page.locator("#about")).to_contain_text("scripted answers here, a model of the provider")
        expect(page.locator("#provider form")).to_have_count(0)


def test_other_addresses_keep_their_own_answers(
    services: tuple[ServiceProcess, ServiceProcess, ServiceProcess],
) -> None:
    with httpx.Client(base_url=services[0].url, timeout=30) as client:
        home = client.get("/")
        assert home.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in home.headers["content-security-policy"]
        for path in ("/v1/models", "/api/v1/characters", "/livez", "/metrics", "/openapi.json", "/readyz"):
            assert client.get(path).status_code == 200, path
        assert client.get("/v1/nothing").json()["error"]["code"] == "not_found"
        assert client.get("/nothing").headers["content-type"] == "application/problem+json"
        assert client.delete("/v1/models").status_code == 405
        assert client.get("/api/v1/nothing").json()["type"] == "urn:chatacter:problem:not-found"


def test_of_gradio_only_what_the_page_needs_is_open(
    services: tuple[ServiceProcess, ServiceProcess, ServiceProcess],
) -> None:
    with httpx.Client(base_url=services[0].url) as client:
        for path in (
            "file=/etc/hostname",
            "file/etc/hostname",
            "mcp/",
            "call/say",
            "run/say",
            "api/say",
            "runs",
            "openapi.json",
        ):
            for door in (f"/gradio_api/{path}", f"/{path}"):
                if door != "/openapi.json":
                    assert client.get(door).headers["content-type"] == "application/problem+json", door
        assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 404
        assert client.get("/monitoring").status_code == 404
        config = client.get("/config").json()
        assert {each["api_visibility"] for each in config["dependencies"]} == {"private"}
        assert client.get("/gradio_api/info").json()["named_endpoints"] == {}


def test_without_voice_and_video_the_page_is_for_text(
    browser: Browser, redis_server: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    off = {"ENABLE_VOICE_GENERATION": "false", "ENABLE_VIDEO_GENERATION": "false"}
    settings = {
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        **off,
    }
    with running("chattr", tmp_path, settings) as chattr, opened(browser, chattr.url) as page:
        ada = page.get_by_role("button", name="Ada Lovelace")
        expect(ada).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
        say(page, "Only words")
        shown(page, "Hello, Only words!")
        expect(page.get_by_role("checkbox", name="No voice")).to_be_disabled()
        expect(page.get_by_role("button", name="Film it")).to_have_count(0)
        assert page.evaluate(CLIPS) == []


def test_with_keys_required_a_visitor_brings_their_own(
    browser: Browser, redis_server: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    secret, record = new_key("visitor", "visitors", ("chat", "characters", "speech", "videos", "voices"))
    store(tmp_path / "keys.json", [record])
    keys = {"REQUIRE_API_KEY": "true", "API_KEYS_FILE": str(tmp_path / "keys.json"), "SERVICE_TOKEN": "inside"}
    with (
        three_services(tmp_path, redis_server, llm_server, **keys) as (chattr, _, _),
        opened(browser, chattr.url) as page,
    ):
        expect(page.get_by_text("This server wants an API key")).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".card")).to_have_count(0)
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_text("does not know this key")).to_be_visible()
        page.get_by_label("API key").fill(secret)
        page.keyboard.press("Enter")
        sat_down(page)
        expect(page.get_by_label("API key")).to_be_hidden()
        say(page, "Hello")
        shown(page, "Hello, Hello!")
        page.wait_for_function(f"{CLIPS}.length >= 1")
        kept = page.evaluate("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
        assert secret not in kept
        assert secret not in chattr.written()
