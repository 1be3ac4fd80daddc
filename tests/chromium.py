"""A real Chromium, and what a visitor does with the page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 30_000
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
CLIPS = "performance.getEntriesByType('mark').filter(m => m.name.startsWith('chatacter:clip')).map(m => m.name)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not on PATH")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@contextmanager
def opened(browser: Browser, url: str, *, forgiven: tuple[str, ...] = (), **how: Any) -> Iterator[Page]:
    """A visit. What the page asks of another host fails the test; so does what it complains of, unless forgiven."""
    outside: list[str] = []
    complaints: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            outside.append(request.url)

    with browser.new_context(**{"viewport": DESKTOP, **how}) as context:
        context.set_default_timeout(PATIENCE)
        context.on("request", asked)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
        page.goto(url)
        yield page
    assert outside == []
    assert [each for each in complaints if not any(words in each for words in forgiven)] == []


def sat_down(page: Page) -> None:
    expect(page.get_by_role("button", name="Robin Tester")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)


def say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")


def last_reply(page: Page) -> Any:
    return page.locator("#talk .bot .words").last


def shown(page: Page, text: str) -> None:
    expect(last_reply(page)).to_contain_text(text, timeout=PATIENCE)


def answered(page: Page, question: str, answer: str) -> None:
    """Say something and wait until the conversation holds the answer."""
    say(page, question)
    shown(page, answer)
    settled(page)


def settled(page: Page) -> None:
    """Wait until the last message can be worked with."""
    expect(page.locator("#talk .said > li").last.get_by_role("button", name="Delete")).to_be_attached()


def spoken(page: Page) -> list[str]:
    return list(page.locator("#talk .words").all_inner_texts())
