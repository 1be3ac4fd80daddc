"""What a character remembers, and voices, on the page in a real Chromium: read, corrected, heard, made, revoked."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.chromium import FLAGS, answered, opened, sat_down, shown
from tests.fake_llm_server import FakeLLMServer
from tests.page_town import page_town
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess
from tests.tone_people import ANN, BOB, PHRASE, recorded

pytestmark = pytest.mark.e2e

LAST = 60.0
HEARD = "document.querySelector('dialog.voices > audio').src.startsWith('data:audio/mpeg')"


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer,
    llm_server_of_this_run: FakeLLMServer,
    models_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("panels")
    with page_town(folder, redis_server, llm_server_of_this_run, models_home) as found:
        yield found
        httpx.delete(f"{found.url}/api/v1/characters/robin")  # its voice goes with this module


def got(chattr: ServiceProcess, path: str) -> Any:
    return httpx.get(f"{chattr.url}{path}", timeout=30).raise_for_status().json()


def until(chattr: ServiceProcess, path: str, number: int) -> list[dict[str, Any]]:
    """Wait until there are so many."""
    over = time.monotonic() + LAST
    while len(found := got(chattr, path)["data"]) < number:
        assert time.monotonic() < over, found
        time.sleep(0.1)
    return list(found)


def memory(page: Page) -> Locator:
    page.get_by_role("button", name="Memory", exact=True).click()
    sheet = page.get_by_role("dialog", name="What Robin Tester remembers")
    expect(sheet).to_be_visible()
    return sheet


def voices(page: Page) -> Locator:
    page.get_by_role("button", name="How this character sounds").click()
    sheet = page.get_by_role("dialog", name="How Robin Tester sounds")
    expect(sheet).to_be_visible()
    return sheet


def row(sheet: Locator, words: str) -> Locator:
    return sheet.get_by_role("listitem").filter(has_text=words)


def test_what_is_remembered_is_read_corrected_pinned_and_forgotten(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    llm_server.play("They talked of boats.")
    said = {"character": "robin", "session_id": "boats"}
    for number in range(4):
        httpx.post(f"{chattr.url}/api/v1/chat/message", json={**said, "message": f"Boat {number} is mine."}, timeout=60)
    until(chattr, "/api/v1/conversations/boats/summaries", 1)
    until(chattr, "/api/v1/memories?kind=turn", 8)
    with opened(browser, chattr.url) as page:
        sat_down(page)
        expect(row(memory(page), "Boat 0 is mine.")).to_be_visible()
        row(page.locator("dialog.known"), "Boat 0").get_by_role("button", name="Open that conversation").click()
        shown(page, "They talked of boats.")
        expect(page.locator("#talk .said > li")).to_have_count(8)

        sheet = memory(page)
        summary = sheet.locator(".summed li")
        expect(summary).to_contain_text("They talked of boats.")
        expect(summary).to_contain_text("The first 4 messages, to “They talked of boats.”")
        page.screenshot(path=tmp_path / "memory.png")
        summary.get_by_role("button", name="Show where it was said").click()
        expect(sheet).to_be_hidden()
        expect(page.locator("#talk .is-shown")).to_be_in_viewport()
        sheet = memory(page)
        summary.get_by_role("button", name="Correct this summary").click()
        sheet.get_by_role("textbox", name="What is remembered").fill("They talked of ships.")
        summary.get_by_role("button", name="Save").click()
        expect(summary).to_contain_text("They talked of ships.")
        expect(summary).to_contain_text("corrected")
        summary.get_by_role("button", name="Take this summary back").click()
        summary.get_by_role("button", name="Take back").click()
        expect(sheet.locator(".summed")).to_be_hidden()

        sheet.get_by_role("searchbox").fill("Boat 2")
        page.keyboard.press("Enter")
        expect(sheet.locator(".kept li").first).to_contain_text("Boat 2 is mine.")
        first = sheet.locator(".kept li").first
        pin = first.get_by_role("button", name="Have this in mind always")
        pin.click()
        expect(pin).to_have_attribute("aria-pressed", "true")
        first.get_by_role("button", name="Correct this memory").click()
        sheet.get_by_role("textbox", name="What is remembered").fill("Boat 2 is hers.")
        sheet.get_by_role("button", name="Save").click()
        row(sheet, "Boat 2 is hers.").get_by_role("button", name="Forget this memory").click()
        sheet.get_by_role("button", name="Forget", exact=True).click()
        expect(row(sheet, "Boat 2 is hers.")).to_have_count(0)
    texts = [each["text"] for each in got(chattr, "/api/v1/memories?character=robin")["data"]]
    assert "Boat 1 is mine." in texts
    assert not [text for text in texts if text.startswith("Boat 2")]


def test_a_voice_is_made_of_others_heard_before_it_is_kept_and_chosen(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        sheet = voices(page)
        sheet.get_by_role("button", name="Hear High").click()
        page.wait_for_function(HEARD)
        sheet.get_by_text("Design one out of others").click()
        sheet.get_by_role("slider", name="Its share").nth(1).fill("25")
        sheet.get_by_role("button", name="Hear this mix").click()
        expect(sheet.locator(".is-busy")).to_have_count(0)
        assert [each["kind"] for each in got(chattr, "/v1/audio/voices")["data"]] == ["built_in", "built_in"]
        sheet.get_by_label("What it is called").fill("Between")
        sheet.get_by_role("button", name="Keep it").click()
        mine = row(sheet.locator(".own"), "Between")
        expect(mine).to_contain_text("67 % High, 33 % Low")
        mine.get_by_role("button", name="Let Robin Tester speak with Between").click()
        expect(sheet.get_by_role("status")).to_contain_text("Robin Tester speaks with Between")
        page.screenshot(path=tmp_path / "designed.png")
        (made,) = [each for each in got(chattr, "/v1/audio/voices")["data"] if each["kind"] == "designed"]
        known = got(chattr, "/api/v1/characters/robin")
        assert (known["voice"], known["speech_model"]) == (made["id"], None)
        page.keyboard.press("Escape")
        llm_server.play("So I sound.")
        answered(page, "Say it", "So I sound.")
        sheet = voices(page)
        mine.get_by_role("button", name="Delete Between").click()
        mine.get_by_role("button", name="Delete", exact=True).click()
        expect(sheet.locator(".own")).to_be_hidden()
    assert [each["kind"] for each in got(chattr, "/v1/audio/voices")["data"]] == ["built_in", "built_in"]


@pytest.fixture
def browser_with_a_microphone(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """Somebody speaks into it: Ann, whose voice is a tone."""
    (tmp_path / "ann.wav").write_bytes(recorded(ANN, seconds=20.0))
    heard = f"--use-file-for-fake-audio-capture={tmp_path / 'ann.wav'}"
    flags = (*FLAGS, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", heard)
    started = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=flags)
    yield started
    started.close()


def test_a_voice_is_cloned_with_its_speakers_consent_and_gone_when_that_is_revoked(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    for name, pitch in (("ann", ANN), ("bob", BOB)):
        (tmp_path / f"{name}.wav").write_bytes(recorded(pitch))
    (tmp_path / "short.wav").write_bytes(recorded(ANN, seconds=1.0))
    with opened(browser, chattr.url) as page:
        sat_down(page)
        sheet = voices(page)
        sheet.get_by_text("Clone a voice").click()
        consent = sheet.locator("form.consent")
        consent.get_by_label("Language").select_option("en")
        expect(consent.locator(".phrase")).to_have_text(PHRASE)
        consent.get_by_label("Who speaks").fill("Ann")
        consent.get_by_role("button", name="Send the consent").click()
        expect(sheet.get_by_role("status")).to_contain_text("Record the sentence first")
        consent.get_by_label("Choose a file").set_input_files(tmp_path / "short.wav")
        consent.get_by_role("button", name="Send the consent").click()
        expect(sheet.get_by_role("status")).to_contain_text("Speak longer.")
        consent.get_by_role("button", name="Take short.wav away").click()
        consent.get_by_label("Choose a file").set_input_files(tmp_path / "ann.wav")
        consent.get_by_role("button", name="Send the consent").click()
        expect(sheet.get_by_role("status")).to_contain_text("Ann's consent is kept")

        samples = sheet.locator("form.samples")
        samples.get_by_label("What the voice is called").fill("Ann's voice")
        samples.get_by_label("Choose a file").set_input_files(tmp_path / "bob.wav")
        samples.get_by_role("button", name="Clone the voice").click()
        expect(sheet.get_by_role("status")).to_contain_text("does not sound like the one who consented")
        page.screenshot(path=tmp_path / "refused.png")
        samples.get_by_role("button", name="Take bob.wav away").click()
        samples.get_by_label("Choose a file").set_input_files(tmp_path / "ann.wav")
        samples.get_by_role("button", name="Clone the voice").click()
        mine = row(sheet.locator(".own"), "Ann's voice")
        expect(mine).to_contain_text("cloned, English")
        mine.get_by_role("button", name="Hear Ann's voice").click()
        page.wait_for_function(HEARD)

        agreed = row(sheet.locator(".given"), "Ann")
        agreed.get_by_role("button", name="Revoke Ann's consent").click()
        expect(agreed).to_contain_text("Ann's voice falls silent at once")
        agreed.get_by_role("button", name="Revoke", exact=True).last.click()
        expect(sheet.locator(".own")).to_be_hidden()
        expect(sheet.locator(".given")).to_be_hidden()
    assert got(chattr, "/v1/audio/voice_consents")["data"] == []


def test_a_consent_is_recorded_on_the_page(browser_with_a_microphone: Browser, chattr: ServiceProcess) -> None:
    with opened(browser_with_a_microphone, chattr.url, permissions=["microphone"]) as page:
        sat_down(page)
        sheet = voices(page)
        sheet.get_by_text("Clone a voice").click()
        consent = sheet.locator("form.consent")
        consent.get_by_label("Who speaks").fill("Ann, here")
        consent.get_by_role("button", name="Record").click()
        expect(consent.get_by_role("button", name="Stop")).to_contain_text("3 s")
        consent.get_by_role("button", name="Stop").click()
        expect(consent.get_by_label("recording.webm", exact=True)).to_be_visible()
        consent.get_by_role("button", name="Send the consent").click()
        expect(sheet.get_by_role("status")).to_contain_text("Ann, here's consent is kept")
