"""The page as a process of its own, in a real Chromium: before an API elsewhere, with keys, and while it ends."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from chatacter.chassis.auth import new_key
from chatacter.keys import store
from tests.chromium import CLIPS, PATIENCE, opened, sat_down, say, shown
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer, free_port
from tests.round_robin import balanced
from tests.service_process import ServiceProcess, running
from tests.three_services import three_services

pytestmark = pytest.mark.e2e

SECRET, RECORD = new_key("visitor", "visitors", ("chat", "characters", "speech", "videos", "voices"))
TOKEN = "inside"


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """Chattr and its predictors, closed to callers without a key, and without a page of its own."""
    folder = tmp_path_factory.mktemp("api")
    store(folder / "keys.json", [RECORD])
    keys = {"REQUIRE_API_KEY": "true", "API_KEYS_FILE": str(folder / "keys.json"), "SERVICE_TOKEN": TOKEN}
    with three_services(folder, redis_server, llm_server_of_this_run, ENABLE_UI="false", **keys) as (found, _, _):
        yield found


@pytest.fixture
def ui(chattr: ServiceProcess, tmp_path: Path) -> Iterator[ServiceProcess]:
    """The page as a pod runs it: on every address, with no key of its own."""
    with running("chattr.ui", tmp_path, {"CHATTR__URL": chattr.url, "HOST": "0.0.0.0"}) as found:
        yield found


def entered(page: Page) -> None:
    expect(page.get_by_text("This server wants an API key")).to_be_visible(timeout=PATIENCE)
    page.get_by_label("API key").fill(SECRET)
    page.get_by_role("button", name="Enter").click()
    sat_down(page)


def test_a_visitor_with_a_key_talks_hears_and_films(
    browser: Browser, chattr: ServiceProcess, ui: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, ui.url) as page:  # which also asserts that the browser asked no other host, the API's neither
        entered(page)
        page.get_by_role("button", name="Captain Mira").click()
        expect(page.get_by_role("img", name="Portrait of Captain Mira")).to_be_visible()
        assert page.evaluate("document.querySelector('.portrait').naturalWidth") > 0
        page.get_by_role("button", name="Robin Tester").click()
        say(page, "Good day")
        shown(page, "Hello, Good day!")
        page.wait_for_function(f"{CLIPS}.length >= 1")
        page.get_by_role("button", name="Film it").click()
        page.wait_for_function("document.querySelector('#stage video')?.readyState >= 2")
        page.screenshot(path=tmp_path / "ui.png")
    assert SECRET not in ui.written() + chattr.written()


def test_of_the_process_only_the_page_and_probes_are_open(ui: ServiceProcess, chattr: ServiceProcess) -> None:
    with httpx.Client(base_url=ui.url) as client:
        assert client.get("/readyz").json() == {"ready": True, "checks": {"chattr": "ok"}}
        assert client.get("/livez").text == "ok"
        assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
        for door in ("/v1/models", "/api/v1/characters", "/gradio_api/upload", "/nothing"):
            assert client.get(door).status_code == 404, door
        for door in ("/metrics", "/openapi.json"):
            assert client.get(door).status_code == 401, door
            assert client.get(door, headers={"authorization": f"Bearer {SECRET}"}).status_code == 401, door


def test_its_metrics_are_read_with_the_service_token(chattr: ServiceProcess, tmp_path: Path) -> None:
    settings = {"CHATTR__URL": chattr.url, "HOST": "0.0.0.0", "SERVICE_TOKEN": TOKEN}
    with running("chattr.ui", tmp_path, settings) as ui:
        httpx.get(ui.url)
        metrics = httpx.get(f"{ui.url}/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert "http_server_request_duration_seconds" in metrics.text


def test_an_api_that_is_away_is_told_and_restarts_nobody(browser: Browser, tmp_path: Path) -> None:
    nowhere = {"CHATTR__URL": f"http://127.0.0.1:{free_port()}"}
    with running("chattr.ui", tmp_path, nowhere) as ui, opened(browser, ui.url) as page:
        ready = httpx.get(f"{ui.url}/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (200, {"chattr": "Nobody answers."})
        expect(page.get_by_text("The server does not answer")).to_be_visible(timeout=PATIENCE)


def test_without_an_address_it_says_what_is_missing(tmp_path: Path) -> None:
    with running("chattr.ui", tmp_path, {}, wait=False) as ui:
        assert ui.process.wait(60) == 2
        assert "CHATTR__URL is not set" in ui.written()
        assert "Traceback" not in ui.written()


def test_it_is_no_way_round_the_keys_into_an_open_api(
    browser: Browser, redis_server: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    off = {f"ENABLE_{each}": "false" for each in ("UI", "VOICE_GENERATION", "VIDEO_GENERATION", "LONG_TERM_MEMORY")}
    api = {"RECORDS__URL": redis_server.url, "MODEL__URL": llm_server.url, "MODEL__NAME": "scripted", **off}
    with running("chattr", tmp_path, api) as chattr:
        outside = {"CHATTR__URL": chattr.url, "HOST": "0.0.0.0"}
        with running("chattr.ui", tmp_path, outside) as ui, opened(browser, ui.url) as page:
            page.get_by_label("API key").fill("anything")
            page.get_by_role("button", name="Enter").click()
            expect(page.get_by_text("open to callers without a key")).to_be_visible(timeout=PATIENCE)
            expect(page.locator(".card")).to_have_count(0)
            assert "REQUIRE_API_KEY" in httpx.get(f"{ui.url}/readyz").json()["checks"]["chattr"]
        with (
            running("chattr.ui", tmp_path, {**outside, "REQUIRE_API_KEY": "false"}) as ui,
            opened(browser, ui.url) as page,
        ):
            ada = page.get_by_role("button", name="Ada Lovelace")
            expect(ada).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
            say(page, "Open house")
            shown(page, "Hello, Open house!")


def test_a_turn_survives_the_end_of_its_process_and_the_visit_goes_on_in_the_next(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    """A rolling update as a visitor sees it: what is being said is said to its end, the next thing by another pod."""
    settings = {"CHATTR__URL": chattr.url, "SHUTDOWN_GRACE": "60"}
    with (
        running("chattr.ui", tmp_path, settings) as old,
        running("chattr.ui", tmp_path, settings) as new,
        balanced(to := [old.url]) as url,
        opened(browser, url) as page,
    ):
        entered(page)
        llm_server.play(*(f"word{number} " for number in range(40)), delay=0.1)
        say(page, "Everything, please")
        shown(page, "word2 ")
        to[0] = new.url  # a pod that is to end leaves the balancer first
        old.process.send_signal(signal.SIGTERM)
        shown(page, "word39")
        assert old.process.wait(20) == 0, "an open tab holds nobody up"
        assert "Traceback" not in old.written()
        page.screenshot(path=tmp_path / "ended.png")
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        llm_server.play("In other ", "words.")
        page.get_by_role("button", name="Another reply").click()
        shown(page, "In other words.")
        reply = page.locator("#talk .said > li").last
        expect(reply).to_contain_text("2/2")
        reply.get_by_role("button", name="Earlier version").click()
        shown(page, "word39")
        llm_server.play("I am still here.")
        say(page, "And now?")
        shown(page, "I am still here.")
        expect(page.locator("#talk")).to_contain_text("word39")
        assert "word39" in llm_server.requests[-1].prompt
        page.screenshot(path=tmp_path / "went-on.png")
