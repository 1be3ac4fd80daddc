"""What a person before the page waits for, in Chromium and with the embedded profile: its opening, text, sound, film.

Times run from the key press to the moment at which the browser shows, or plays, the first of it.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from measuring import results
from measuring.profile import embedded
from playwright.sync_api import Page, sync_playwright

FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
PATIENCE: Final = 120_000
QUESTIONS: Final = ("Do you like your work?", "What do you see from here?", "Tell me about the sea.", "Who taught you?")
REPLY: Final = """before => {
  const said = document.querySelectorAll('#talk .bot .words');
  return said.length > before && said[said.length - 1].innerText.trim() ? performance.now() : 0;
}"""
CLIP: Final = """before => performance.getEntriesByType('mark')
  .filter(mark => mark.name.startsWith('chatacter:clip'))[before]?.startTime || 0"""


@dataclass
class Readings:
    """Seconds, each as often as it was taken."""

    opened: list[float] = field(default_factory=list)
    text: list[float] = field(default_factory=list)
    sound: list[float] = field(default_factory=list)
    film: list[float] = field(default_factory=list)


@contextmanager
def visit(url: str, readings: Readings) -> Iterator[Page]:
    """Open the page in a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(PATIENCE)
        began = time.perf_counter()
        page.goto(url)
        page.wait_for_selector(".cast .card")
        readings.opened.append(time.perf_counter() - began)
        yield page
        browser.close()


def waited(page: Page, since: float, moment: str, before: int) -> float:
    """Wait for a moment that the browser tells, in milliseconds of its own clock; return seconds since `since`."""
    told = page.wait_for_function(moment, arg=before, polling=20).json_value()
    return (float(told) - since) / 1000


def talk(page: Page, question: str, readings: Readings) -> None:
    """Ask something, and wait until the reply is seen and heard to its end."""
    replies = page.locator("#talk .bot .words").count()
    clips = page.evaluate(
        "performance.getEntriesByType('mark').filter(m => m.name.startsWith('chatacter:clip')).length"
    )
    page.fill("#message textarea", question)
    since = page.evaluate("performance.now()")
    page.keyboard.press("Enter")
    readings.text.append(waited(page, since, REPLY, replies))
    readings.sound.append(waited(page, since, CLIP, clips))
    page.wait_for_selector("#send:visible")
    page.wait_for_function("document.querySelector('#voice audio').paused", polling=50)


def film(page: Page, readings: Readings) -> None:
    """Film the last reply."""
    began = time.perf_counter()
    page.click("#film")
    page.wait_for_function("document.querySelector('#stage video').readyState >= 2", polling=50)
    readings.film.append(time.perf_counter() - began)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--note", default="", help="what a reader of the results should know of this run")
    note = parser.parse_args().note
    if shutil.which("chromium") is None:
        sys.exit("The page is measured in Chromium: apt install chromium")
    load, readings = results.busy(), Readings()
    with embedded() as profile, visit(profile.url, readings) as page:
        page.wait_for_timeout(1000)
        for question in QUESTIONS:
            talk(page, question, readings)
        film(page, readings)
    rows = [
        ("the page, until the characters are there", results.seconds(readings.opened), ""),
        ("first text on the screen, first turn", results.seconds(readings.text[:1]), ""),
        ("first text on the screen, next turns", results.seconds(readings.text[1:]), "≤ 1.5 s"),
        ("first sound from the speaker, first turn", results.seconds(readings.sound[:1]), ""),
        ("first sound from the speaker, next turns", results.seconds(readings.sound[1:]), "≤ 3 s"),
        ("film, from the button until it plays", results.seconds(readings.film), ""),
    ]
    parts = [note] if note else []
    results.write("The page in Chromium", load, *parts, results.table(("what", "median (range)", "aim"), rows))


if __name__ == "__main__":
    main()
