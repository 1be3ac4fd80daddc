"""The sheets of the page by themselves, in a real Chromium: what is pressed twice, answered late, typed meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from chattr.ui.style import static

pytestmark = pytest.mark.e2e

STAGE = """([markup, script]) => {
  document.body.innerHTML = markup;
  const props = {}, watching = [];
  window.asked = [];
  window.answer = (value) => {
    props.value = { at: performance.now(), told: "", ...value };
    watching.forEach((look) => look());
  };
  const trigger = (name, data) => window.asked.push(data);
  const watch = (name, look) => watching.push(look);
  new Function("element", "props", "trigger", "watch", script)(document.body, props, trigger, watch);
}"""
MICROPHONE = """() => {
  window.streams = [];
  window.asking = [];
  const given = () => {
    const stream = new AudioContext().createMediaStreamDestination().stream;
    window.streams.push(stream);
    return stream;
  };
  const getUserMedia = () => new Promise((allow) => window.asking.push(() => allow(given())));
  Object.defineProperty(navigator, "mediaDevices", { value: { getUserMedia } });
}"""
SILENT = "window.streams.every(each => each.getTracks().every(track => track.readyState === 'ended'))"
PEOPLE = {"orders": {"mention": "Whoever is named"}, "order": "mention", "replies": 1, "persona": {}}
VOICES = {"name": "Robin", "voices": [], "phrases": [], "consents": [], "asleep": "", "refused": "", "sound": ""}


@contextmanager
def sheet(browser: Browser, name: str, *scripts: str) -> Iterator[Page]:
    """A page with this sheet alone. What it asks for stands in `asked`; `answer` answers."""
    complaints: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.evaluate(STAGE, [static(f"{name}.html"), static("icons.js", "focus.js", *scripts, f"{name}.js")])
    page.evaluate("name => window.dispatchEvent(new Event(`chatacter:${name}`))", name)
    yield page
    page.close()
    assert complaints == []


def answer(page: Page, **value: Any) -> None:
    page.evaluate("value => window.answer(value)", value)


def asked(page: Page) -> list[dict[str, Any]]:
    """What was asked for since."""
    return list(page.evaluate("window.asked.splice(0)"))


def memory(name: str) -> dict[str, Any]:
    about = {"kind": "fact", "own": True, "pinned": False, "left": False, "when": 1, "here": True}
    return {"id": name, "text": f"Of {name}.", "message": "", "conversation": "", **about}


def remembered(*names: str, what: str = "list", after: str = "", **more: Any) -> dict[str, Any]:
    about = {"open": True, "name": "Robin", "summaries": [], "away": "", "q": "", "kind": "", "id": "", "next": None}
    return {**about, "items": [memory(name) for name in names], "what": what, "after": after, **more}


def person(name: str) -> dict[str, Any]:
    return {"id": name.lower(), "name": name, "portrait": None, "stays": False}


def voice(name: str) -> dict[str, Any]:
    return {"id": name.lower(), "name": name, "model": "m", "language": "en", "kind": "designed", "blend": {}}


def test_more_that_is_asked_for_twice_is_shown_once_and_is_more_of_what_is_shown(browser: Browser) -> None:
    with sheet(browser, "known") as page:
        answer(page, **remembered("boats", next="c1"))
        asked(page)
        page.get_by_role("searchbox").fill("typed and not sent")
        page.get_by_role("button", name="Show more").dblclick()
        wanted = asked(page)
        assert [(each["q"], each["after"]) for each in wanted] == [("", "c1")] * 2
        for _ in wanted:
            answer(page, **remembered("ships", after="c1", next="c2"))
        expect(page.locator(".kept li")).to_have_count(2)
        page.get_by_role("button", name="Have this in mind always").first.click()
        assert asked(page)[0]["q"] == ""
        page.get_by_role("searchbox").press("Enter")
        assert asked(page)[-1]["q"] == "typed and not sent"
        answer(page, **remembered("winds", q="typed and not sent"))
        answer(page, **remembered("late", after="c2"))
        expect(page.locator(".kept .text")).to_have_text(["Of winds."])


def test_a_correction_that_is_typed_outlasts_answers_and_a_refusal(browser: Browser) -> None:
    with sheet(browser, "known") as page:
        answer(page, **remembered("boats", "ships"))
        page.get_by_role("button", name="Correct this memory").nth(1).click()
        field = page.get_by_role("textbox", name="What is remembered")
        field.fill("Of sails.")
        field.press("Home")
        answer(page, **remembered("winds", "boats", "ships", what="pin", id="boats"))
        page.keyboard.type("Not ")
        expect(field).to_have_value("Not Of sails.")
        asked(page)
        page.get_by_role("button", name="Save").dblclick()
        (sent,) = asked(page)
        assert (sent["what"], sent["id"], sent["text"]) == ("correct", "ships", "Not Of sails.")
        answer(page, **remembered("boats", "ships", what="correct", id="ships", told="It is too long."))
        expect(page.get_by_role("status")).to_have_text("It is too long.")
        expect(field).to_have_value("Not Of sails.")
        page.get_by_role("button", name="Save").click()
        assert len(asked(page)) == 1
        answer(page, **remembered("boats", "ships", what="correct", id="ships"))
        expect(field).to_have_count(0)
        expect(page.locator('[data-id="ships"] button').first).to_be_focused()


def test_the_keyboard_stays_where_it_was_when_memories_are_drawn_anew(browser: Browser) -> None:
    with sheet(browser, "known") as page:
        answer(page, **remembered("boats", "ships"))
        page.locator('[data-id="ships"] [data-act="pin"]').press("Enter")
        answer(page, **remembered("boats", "ships", what="pin", id="ships"))
        expect(page.locator('[data-id="ships"] [data-act="pin"]')).to_be_focused()
        page.locator('[data-id="ships"] [data-act="cut"]').press("Enter")
        page.keyboard.press("Enter")
        answer(page, **remembered("boats", what="forget", id="ships"))
        expect(page.locator('[data-id="boats"] button').first).to_be_focused()


def test_the_keyboard_stays_where_it_was_when_people_and_voices_are_drawn_anew(browser: Browser) -> None:
    ada, mira, iris = person("Ada"), person("Mira"), person("Iris")
    with sheet(browser, "company", "face.js") as page:
        answer(page, here=[ada], others=[mira, iris], **PEOPLE)
        page.get_by_role("button", name="Invite Iris").press("Enter")
        answer(page, here=[ada, iris], others=[mira], **PEOPLE)
        expect(page.get_by_role("button", name="Let Iris go")).to_be_focused()
        page.keyboard.press("Enter")
        answer(page, here=[ada], others=[mira, iris], **PEOPLE)
        expect(page.get_by_role("button", name="Invite Iris")).to_be_focused()
    with sheet(browser, "voices", "bring.js", "record.js") as page:
        known = {**VOICES, "voices": [voice("Low"), {**voice("High"), "kind": "built_in"}]}
        answer(page, chosen="low", **known)
        page.get_by_role("button", name="Hear Low").press("Enter")
        answer(page, chosen="low", **known)
        expect(page.get_by_role("button", name="Hear Low")).to_be_focused()
        page.get_by_role("button", name="Let Robin speak with High").press("Enter")
        answer(page, chosen="high", **known)
        expect(page.get_by_role("combobox", name="Voice", exact=True)).to_be_focused()


def test_what_is_answered_late_opens_no_sheet_that_was_closed(browser: Browser) -> None:
    row = {"id": "one", "title": "About ships", "when": 1}
    shelf = {"name": "Robin", "open": True, "items": [row], "current": None, "file": None}
    with sheet(browser, "shelf", "bring.js") as page:
        dialog = page.locator("dialog")
        answer(page, **shelf)
        expect(dialog).to_be_visible()
        page.get_by_role("button", name="Rename: About ships").click()
        page.get_by_role("textbox", name="Title").fill("About sails")
        answer(page, **shelf)
        expect(page.get_by_role("textbox", name="Title")).to_have_value("About sails")
        expect(page.get_by_role("textbox", name="Title")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        answer(page, **shelf)
        expect(dialog).to_be_hidden()
        answer(page, **{**shelf, "told": "It is gone."})
        expect(dialog).to_be_visible()
    editor = {"open": True, "fresh": False, "file": None}
    new = {"fresh": True, "new": True, "character": {}, "voices": [], "portrait": None}
    with sheet(browser, "editor", "bring.js") as page:
        dialog = page.locator("dialog")
        answer(page, **{**editor, **new})
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        answer(page, **{**editor, **new, "told": "Imported."})
        expect(dialog).to_be_hidden()
        answer(page, **{**editor, "told": "This name is taken."})
        expect(dialog).to_be_visible()


def test_the_microphone_is_let_go_of_whatever_was_pressed_and_when(browser: Browser) -> None:
    with sheet(browser, "voices", "bring.js", "record.js") as page:
        page.evaluate(MICROPHONE)
        answer(page, chosen=None, **{**VOICES, "voices": [voice("Low")], "phrases": [{"language": "en", "text": "I"}]})
        page.get_by_text("Clone a voice").click()
        consent = page.locator("form.consent")
        consent.get_by_role("button", name="Record").dblclick()
        assert page.evaluate("window.asking.length") == 1
        page.keyboard.press("Escape")
        page.evaluate("window.asking.pop()()")
        page.wait_for_function(f"window.streams.length === 1 && {SILENT}")

        page.evaluate("document.querySelector('dialog').showModal()")
        consent.get_by_role("button", name="Record").click()
        page.evaluate("window.asking.pop()()")
        expect(consent.get_by_role("button", name="Stop")).to_contain_text("0 s")
        page.keyboard.press("Escape")
        page.wait_for_function(f"window.streams.length === 2 && {SILENT}")
        page.evaluate("document.querySelector('dialog').showModal()")
        expect(consent.get_by_role("button", name="Record")).to_be_visible()
        page.wait_for_timeout(300)
        expect(consent.locator(".taken li")).to_have_count(0)
        consent.get_by_role("button", name="Record").click()
        page.evaluate("window.asking.pop()()")
        expect(consent.get_by_role("button", name="Stop")).to_contain_text("0 s")
        consent.get_by_role("button", name="Stop").click()
        expect(consent.locator(".taken li")).to_have_count(1)
        assert page.evaluate(SILENT)
