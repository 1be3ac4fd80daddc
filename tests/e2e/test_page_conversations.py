"""The conversations with a character on the page, in a real Chromium: open, rename, fork, delete, keep, bring in."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.chromium import PATIENCE, PHONE, answered, opened, sat_down, say, settled, shown, spoken
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess
from tests.three_services import three_services

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("conversations")
    with three_services(folder, redis_server, llm_server_of_this_run) as (found, _, _):
        yield found


def shelf(page: Page) -> Locator:
    page.get_by_role("button", name="Conversations", exact=True).click()
    sheet = page.get_by_role("dialog", name="Conversations with Robin Tester")
    expect(sheet).to_be_visible()
    return sheet


def test_an_earlier_conversation_is_opened_renamed_and_deleted(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        answered(page, "About ships", "Hello, About ships!")
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator("#talk .own")).to_have_count(0)
        answered(page, "About birds", "Hello, About birds!")
        sheet = shelf(page)
        expect(sheet.get_by_role("button", name="About birds").first).to_have_attribute("aria-current", "true")
        page.screenshot(path=tmp_path / "shelf.png")
        sheet.get_by_role("button", name="Rename: About ships").click()
        expect(sheet.get_by_role("textbox", name="Title")).to_be_focused()
        sheet.get_by_role("textbox", name="Title").fill("The harbour")
        page.keyboard.press("Enter")
        sheet.get_by_role("listitem").filter(has_text="The harbour").get_by_role("button").first.click()
        expect(sheet).to_be_hidden()
        shown(page, "Hello, About ships!")
        answered(page, "More", "Hello, More!")
        assert "About ships" in llm_server.requests[-1].prompt
        assert "About birds" not in llm_server.requests[-1].prompt

        sheet = shelf(page)
        sheet.get_by_role("button", name="Delete: The harbour").click()
        sheet.get_by_role("button", name="Delete The harbour", exact=True).click()
        expect(sheet.get_by_text("The harbour")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(sheet).to_be_hidden()
        expect(page.locator("#talk .said > li")).to_have_count(1)


def test_a_fork_leaves_the_old_conversation_as_it_was(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        answered(page, "One", "Hello, One!")
        answered(page, "Two", "Hello, Two!")
        first = page.locator("#talk .said > li").filter(has_text="Hello, One!")
        first.hover()
        first.get_by_role("button", name="Begin another conversation from here").click()
        expect(page.locator("#talk .said > li")).to_have_count(3)
        answered(page, "Three", "Hello, Three!")
        assert "Two" not in llm_server.requests[-1].prompt
        sheet = shelf(page)
        page.wait_for_function("document.querySelectorAll('.shelf li').length >= 2")
        sheet.get_by_role("listitem").filter(has_text="One").nth(1).get_by_role("button").first.click()
        shown(page, "Hello, Two!")


@pytest.mark.parametrize(("form", "ending"), [("As a whole", ".json"), ("For SillyTavern", ".jsonl")])
def test_a_conversation_goes_out_and_comes_back_as_a_file(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path, form: str, ending: str
) -> None:
    with opened(browser, chattr.url, viewport=PHONE) as page:
        sat_down(page)
        answered(page, f"To be kept {ending}", f"Hello, To be kept {ending}!")
        was = spoken(page)
        sheet = shelf(page)
        sheet.get_by_role("button", name=f"Keep as a file: To be kept {ending}").click()
        with page.expect_download() as download:
            sheet.get_by_role("button", name=form).click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert file.suffix == ending
        assert all(json.loads(line) for line in file.read_text().splitlines() if ending == ".jsonl")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator("#talk .own")).to_have_count(0)
        sheet = shelf(page)
        sheet.get_by_label("Bring one in from a file").set_input_files(file)
        shown(page, f"Hello, To be kept {ending}!")
        assert spoken(page) == was


def test_a_group_is_gathered_and_the_person_says_who_speaks(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url, forgiven=("AbortError", "errored out")) as page:
        sat_down(page)
        page.get_by_role("button", name="Who is here").click()
        sheet = page.get_by_role("dialog", name="Who is here")
        sheet.get_by_role("button", name="Invite Iris").click()
        expect(sheet.get_by_role("button", name="Let Iris go")).to_be_visible()
        page.screenshot(path=tmp_path / "company.png")
        page.keyboard.press("Escape")
        turns = page.get_by_role("group", name="Who answers")
        turns.get_by_role("button", name="Iris answers").click()
        expect(turns.get_by_role("button", name="Iris answers")).to_have_attribute("aria-pressed", "true")
        llm_server.play("The lamps ", "know.")
        answered(page, "Who are you?", "The lamps know.")
        assert "Speak as Iris alone." in llm_server.requests[-1].prompt
        expect(page.locator("#talk .said > li").last.locator(".name")).to_have_text("Iris")
        turns.get_by_role("button", name="Robin Tester answers").click()
        expect(turns.get_by_role("button", name="Robin Tester answers")).to_have_attribute("aria-pressed", "true")
        llm_server.play("And ", "I listen.")
        turns.get_by_role("button", name="Let somebody speak").click()
        shown(page, "And I listen.")
        expect(page.locator("#talk .own")).to_have_count(1)
        expect(page.locator("#talk .said > li").last.locator(".name")).to_have_text("Robin Tester")
        settled(page)

        page.get_by_role("button", name="Who is here").click()
        sheet.get_by_label("Who answers").select_option("Each in turn")
        sheet.get_by_label("How many one after the other").fill("2")
        page.keyboard.press("Tab")
        expect(sheet.get_by_role("status")).to_be_hidden()
        page.keyboard.press("Escape")
        turns.get_by_role("button", name="Whoever's turn").click()
        before = page.locator("#talk .bot").count()
        llm_server.play("It is ", "my turn.")
        say(page, "Go round")
        expect(page.locator("#talk .bot")).to_have_count(before + 2, timeout=PATIENCE)
        settled(page)
        assert page.locator("#talk .bot .name").all_inner_texts()[-2:] == ["Iris", "Robin Tester"]
        page.screenshot(path=tmp_path / "group.png")
        page.reload()
        expect(page.locator("#talk .bot .name").last).to_have_text("Robin Tester")
        page.get_by_role("button", name="Who is here").click()
        sheet.get_by_role("button", name="Let Iris go").click()
        expect(sheet.get_by_role("button", name="Invite Iris")).to_be_visible()
        page.keyboard.press("Escape")
        expect(turns).to_be_hidden()


def test_who_one_is_is_told_the_character_and_kept_for_other_conversations(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        page.get_by_role("button", name="Who is here").click()
        sheet = page.get_by_role("dialog", name="Who is here")
        sheet.get_by_label("What they call you").fill("Ann")
        sheet.get_by_label("What they know of you").fill("She paints harbours.")
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
        answered(page, "Do you know me?", "Hello, Do you know me?!")
        assert "She paints harbours." in llm_server.requests[-1].prompt
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator("#talk .own")).to_have_count(0)
        page.get_by_role("button", name="Who is here").click()
        expect(sheet.get_by_label("What they call you")).to_have_value("Ann")
        expect(sheet.get_by_label("What they know of you")).to_have_value("She paints harbours.")


def test_a_file_that_is_no_conversation_is_refused_in_words(
    browser: Browser, chattr: ServiceProcess, tmp_path: Path
) -> None:
    (tmp_path / "letter.json").write_text("Dear all,")
    with opened(browser, chattr.url) as page:
        sat_down(page)
        sheet = shelf(page)
        sheet.get_by_label("Bring one in from a file").set_input_files(tmp_path / "letter.json")
        told = sheet.get_by_role("status")
        expect(told).to_be_visible()
        assert len(told.inner_text()) > 20
