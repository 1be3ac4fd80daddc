"""Characters on the page, in a real Chromium: made, changed, set back, with a picture, brought in and kept as cards."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.chromium import PHONE, answered, opened, sat_down, shown
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess
from tests.three_services import three_services

pytestmark = pytest.mark.e2e

CARD = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": {
        "name": "Tove",
        "description": "Keeps a lighthouse.",
        "personality": "Quiet.",
        "first_mes": "The lamp is lit.",
        "alternate_greetings": ["You again, {{user}}?"],
        "character_book": {
            "entries": [
                {
                    "keys": ["storm"],
                    "content": "The last storm took the pier.",
                    "enabled": True,
                    "insertion_order": 1,
                    "extensions": {},
                }
            ],
            "extensions": {},
        },
        "extensions": {},
    },
}


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with three_services(tmp_path_factory.mktemp("characters"), redis_server, llm_server_of_this_run) as (found, _, _):
        yield found


def sheet(page: Page, button: str) -> Locator:
    page.get_by_role("button", name=button, exact=True).click()
    found = page.locator("dialog.editor")
    expect(found).to_be_visible()
    return found


def picture(path: Path, colour: str) -> Path:
    Image.new("RGB", (256, 256), colour).save(path)
    return path


def test_a_character_is_made_talks_and_is_deleted(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        new = sheet(page, "New character")
        new.get_by_label("Name", exact=True).fill("Grace O'Hara")
        expect(new.get_by_label("Its id in addresses")).to_have_value("grace-o-hara")
        new.get_by_label("What it is like").fill("Kind, and fond of riddles.")
        new.get_by_role("button", name="Another greeting").click()
        new.get_by_label("Greeting", exact=True).fill("Do you like riddles?")
        new.get_by_role("button", name="Another example").click()
        new.get_by_label("Somebody says").fill("Are you well?")
        new.get_by_label("It answers").fill("As well as a well is deep.")
        new.get_by_label("Picture", exact=True).set_input_files(picture(tmp_path / "grace.png", "teal"))
        new.get_by_role("button", name="Create").click()
        expect(new).to_be_hidden()
        expect(page.get_by_role("button", name="Grace O'Hara")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("img", name="Portrait of Grace O'Hara")).to_be_visible()
        shown(page, "Do you like riddles?")
        answered(page, "Yes", "Hello, Yes!")
        prompt = llm_server.requests[-1].prompt
        assert "fond of riddles" in prompt
        assert "As well as a well is deep." in prompt
        page.screenshot(path=tmp_path / "made.png")

        again = sheet(page, "Edit this character")
        again.get_by_role("button", name="Delete", exact=True).click()
        again.get_by_role("button", name="Delete: press again").click()
        expect(again).to_be_hidden()
        expect(page.get_by_role("button", name="Grace O'Hara")).to_have_count(0)
        assert httpx.get(f"{chattr.url}/api/v1/characters/grace-o-hara").status_code == 404


def test_a_change_of_one_that_was_installed_can_be_taken_back(browser: Browser, chattr: ServiceProcess) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        form = sheet(page, "Edit this character")
        expect(form.get_by_role("button", name="Back to the original")).to_have_count(0)
        form.get_by_label("In one line, for those who choose").fill("Plays the piano, too.")
        form.get_by_label("Greeting", exact=True).fill("Good evening.")
        form.get_by_role("button", name="Save", exact=True).click()
        expect(form).to_be_hidden()
        expect(page.locator("#stage .line")).to_have_text("Plays the piano, too.")
        page.get_by_role("button", name="New conversation").click()
        known = httpx.get(f"{chattr.url}/api/v1/characters/robin").json()
        assert (known["origin"], known["greetings"], known["voice"]) == ("override", ["Good evening."], "high")
        form = sheet(page, "Edit this character")
        form.get_by_role("button", name="Back to the original").click()
        form.get_by_role("button", name="Back to the original: press again").click()
        expect(page.locator("#stage .line")).to_have_text("Plays in tests only.")
        assert httpx.get(f"{chattr.url}/api/v1/characters/robin").json()["origin"] == "file"


def test_what_is_refused_is_told_and_what_was_typed_stays(browser: Browser, chattr: ServiceProcess) -> None:
    with opened(browser, chattr.url, forgiven=("409",)) as page:
        sat_down(page)
        new = sheet(page, "New character")
        new.get_by_label("Name", exact=True).fill("Another Ada")
        new.get_by_label("Its id in addresses").fill("ada")
        new.get_by_label("What it is like").fill("Hers.")
        new.get_by_role("button", name="Create").click()
        expect(new.get_by_role("status")).to_contain_text("ada")
        expect(new.get_by_label("What it is like")).to_have_value("Hers.")
        new.get_by_text("What it knows of its world").click()
        new.get_by_label("Lorebook, as JSON").fill("{not json")
        new.get_by_role("button", name="Create").click()
        expect(new.get_by_role("status")).to_have_text("The lorebook is not JSON. Nothing was saved.")


def test_two_who_change_the_same_character_do_not_overwrite_each_other(
    browser: Browser, chattr: ServiceProcess
) -> None:
    fields = {"id": "shared", "name": "Shared One", "personality": "Even."}
    assert httpx.post(f"{chattr.url}/api/v1/characters", json=fields).status_code == 201
    try:
        with opened(browser, chattr.url) as page:
            sat_down(page)
            page.get_by_role("button", name="Shared One").click()
            expect(page.locator("#stage .name")).to_have_text("Shared One")
            form = sheet(page, "Edit this character")
            httpx.patch(f"{chattr.url}/api/v1/characters/shared", json={"personality": "Theirs."})
            form.get_by_label("What it is like").fill("Mine.")
            form.get_by_role("button", name="Save", exact=True).click()
            expect(form.get_by_role("status")).to_contain_text("Somebody else has changed this character")
        assert httpx.get(f"{chattr.url}/api/v1/characters/shared").json()["personality"] == "Theirs."
    finally:
        httpx.delete(f"{chattr.url}/api/v1/characters/shared")


def test_a_card_comes_in_with_its_lore_and_goes_out_again(
    browser: Browser, chattr: ServiceProcess, tmp_path: Path
) -> None:
    (tmp_path / "tove.json").write_text(json.dumps(CARD))
    with opened(browser, chattr.url, viewport=PHONE) as page:
        sat_down(page)
        new = sheet(page, "New character")
        new.get_by_label("Import a card").set_input_files(tmp_path / "tove.json")
        expect(new.get_by_role("heading", name="Tove")).to_be_visible()
        expect(new.get_by_role("status")).to_contain_text("Imported.")
        new.get_by_text("What it knows of its world").click()
        expect(new.get_by_role("row").nth(1)).to_have_text(re.compile("storm.*The last storm took the pier."))
        page.screenshot(path=tmp_path / "imported.png")
        for form, ending in (("PNG", ".png"), ("CHARX", ".charx"), ("JSON", ".json")):
            with page.expect_download() as download:
                new.get_by_role("button", name=f"Keep as a card: {form}").click()
            file = tmp_path / f"out{ending}"
            download.value.save_as(file)
            assert download.value.suggested_filename.endswith(ending)
        assert json.loads(file.read_text())["data"]["character_book"]["entries"][0]["keys"] == ["storm"]
        assert Image.open(io.BytesIO((tmp_path / "out.png").read_bytes())).format == "PNG"
        page.keyboard.press("Escape")
        shown(page, "The lamp is lit.")
        expect(page.locator("#talk .said > li").first).to_contain_text("1/2")


def test_a_file_that_is_no_card_is_refused_in_words(browser: Browser, chattr: ServiceProcess, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with opened(browser, chattr.url) as page:
        sat_down(page)
        new = sheet(page, "New character")
        new.get_by_label("Import a card").set_input_files(tmp_path / "broken.png")
        told = new.get_by_role("status")
        expect(told).to_be_visible()
        assert len(told.inner_text()) > 20
        expect(new.get_by_role("button", name="Create")).to_be_visible()
