"""What is done with messages on the page, in a real Chromium: other replies, versions, going on, editing, deleting."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.chromium import CLIPS, PHONE, answered, last_reply, opened, sat_down, say, settled, shown, spoken
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess
from tests.three_services import three_services

pytestmark = pytest.mark.e2e

GREETINGS = ["Good day. I am Robin.", "Oh! I did not hear *you* come in, {{user}}."]


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with three_services(tmp_path_factory.mktemp("messages"), redis_server, llm_server_of_this_run) as (found, _, _):
        changed = httpx.patch(f"{found.url}/api/v1/characters/robin", json={"greetings": GREETINGS})
        assert changed.status_code == 200, changed.text
        yield found


def conversations(chattr: ServiceProcess) -> list[str]:
    found = httpx.get(f"{chattr.url}/api/v1/conversations", params={"limit": 100}).raise_for_status()
    return [each["id"] for each in found.json()["data"]]


def message(page: Page, words: str) -> Locator:
    return page.locator("#talk .said > li").filter(has_text=words)


def test_greetings_are_versions_of_a_first_message(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    before = conversations(chattr)
    with opened(browser, chattr.url, forgiven=("AbortError", "errored out")) as page:
        sat_down(page)
        shown(page, GREETINGS[0])
        first = page.locator("#talk .said > li").first
        expect(first).to_contain_text("1/2")
        expect(first.get_by_role("button", name="Earlier version")).to_be_disabled()
        first.get_by_role("button", name="Later version").click()
        shown(page, "I did not hear you come in")
        assert "{{user}}" not in last_reply(page).inner_text()
        expect(page.locator("#talk em")).to_have_text("you")
        assert conversations(chattr) == before, "nothing is stored before something is said"
        page.reload()
        shown(page, "I did not hear you come in")
        answered(page, "Sorry!", "Hello, Sorry!!")
        assert len(conversations(chattr)) == len(before) + 1
        assert "I did not hear" in llm_server.requests[-1].prompt
        assert GREETINGS[0] not in llm_server.requests[-1].prompt
        page.get_by_role("button", name="New conversation").click()
        shown(page, GREETINGS[0])
        expect(page.locator("#talk .said > li")).to_have_count(1)
        assert len(conversations(chattr)) == len(before) + 1


def test_a_greeting_that_is_edited_is_stored_with_the_edit(browser: Browser, chattr: ServiceProcess) -> None:
    before = conversations(chattr)
    with opened(browser, chattr.url) as page:
        sat_down(page)
        shown(page, GREETINGS[0])
        first = page.locator("#talk .said > li").first
        first.get_by_role("button", name="Edit").click()
        first.get_by_role("textbox").fill("Come in, come in.")
        first.get_by_role("button", name="Save").click()
        shown(page, "Come in, come in.")
        expect(first).to_contain_text("3/3")
    assert len(conversations(chattr)) == len(before) + 1


def test_another_reply_stands_beside_the_first_and_stays_there(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url, forgiven=("AbortError", "errored out")) as page:
        sat_down(page)
        llm_server.play("The first ", "answer.")
        answered(page, "What do you say?", "The first answer.")
        llm_server.play("The second ", "answer.")
        page.get_by_role("button", name="Another reply").click()
        shown(page, "The second answer.")
        reply = page.locator("#talk .said > li").last
        expect(reply).to_contain_text("2/2")
        assert llm_server.requests[-1].messages[-1]["content"] == "What do you say?"
        llm_server.play("The third ", "answer.")
        answered(page, "And then?", "The third answer.")
        begun = [GREETINGS[0], "What do you say?"]
        assert spoken(page) == [*begun, "The second answer.", "And then?", "The third answer."]
        message(page, "2/2").get_by_role("button", name="Earlier version").click()
        shown(page, "The first answer.")
        assert spoken(page) == [*begun, "The first answer."]
        page.screenshot(path=tmp_path / "swiped.png")
        page.reload()
        shown(page, "The first answer.")
        page.locator("#talk .said > li").last.get_by_role("button", name="Later version").click()
        expect(page.locator("#talk .said > li")).to_have_count(5)
        assert "And then?" in spoken(page), "what followed on a version comes back with it"


def test_another_reply_in_mid_sentence_takes_the_place_of_the_one_being_spoken(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        llm_server.play("One long sentence is here, and it is spoken. ", *("more " for _ in range(4)), delay=0.02)
        answered(page, "Speak", "more more")
        page.wait_for_function(f"{CLIPS}.length >= 1")
        llm_server.play("Something else now. ", "And more of it.")
        page.get_by_role("button", name="Another reply").click()
        shown(page, "And more of it.")
        page.wait_for_function(f"new Set({CLIPS}.map(name => name.split(':')[2])).size >= 2")
        page.wait_for_function("!document.querySelector('#voice audio').paused")
        page.locator("#talk .said > li").last.get_by_role("button", name="Earlier version").click()
        page.wait_for_function("document.querySelector('#voice audio').paused")
        shown(page, "One long sentence")


def test_a_reply_that_was_stopped_goes_on_where_it_stopped(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        llm_server.play(*(f"word{number} " for number in range(200)), delay=0.05)
        say(page, "Count")
        shown(page, "word5")
        page.get_by_role("button", name="Stop").click()
        settled(page)
        stopped = last_reply(page).inner_text()
        go_on = page.locator("#talk .said > li").last.get_by_role("button", name="Go on")
        expect(go_on).to_have_text("Go on")
        page.screenshot(path=tmp_path / "stopped.png")
        llm_server.play("and so on ", "to the end.")
        go_on.click()
        shown(page, "to the end.")
        settled(page)
        assert last_reply(page).inner_text().startswith(stopped[:30])
        expect(page.locator("#talk .said > li").last).to_contain_text("2/2")
        expect(page.locator("#talk .own")).to_have_count(1)


def test_what_one_said_can_be_said_otherwise(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        answered(page, "I like cats", "Hello, I like cats!")
        own = message(page, "I like cats").first
        own.hover()
        own.get_by_role("button", name="Edit").click()
        page.screenshot(path=tmp_path / "editing.png")
        field = page.get_by_role("textbox", name="What this message says")
        expect(field).to_be_focused()
        expect(field).to_have_value("I like cats")
        page.keyboard.press("Escape")
        expect(field).to_have_count(0)
        expect(own.get_by_role("button", name="Edit")).to_be_focused()
        page.keyboard.press("Enter")
        field.fill("I like dogs")
        page.get_by_role("button", name="Say this instead").click()
        shown(page, "Hello, I like dogs!")
        settled(page)
        assert "cats" not in llm_server.requests[-1].prompt
        message(page, "I like dogs").first.get_by_role("button", name="Earlier version").click()
        shown(page, "Hello, I like cats!")


def test_a_reply_can_be_put_right_and_the_model_knows_it_so(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        answered(page, "Where?", "Hello, Where?!")
        before = len(llm_server.requests)
        page.locator("#talk .said > li").last.get_by_role("button", name="Edit").click()
        page.get_by_role("textbox", name="What this message says").fill("In the **old** harbour.")
        page.keyboard.press("Control+Enter")
        shown(page, "In the old harbour.")
        assert len(llm_server.requests) == before, "nothing is asked of the model"
        answered(page, "When?", "Hello, When?!")
        assert "In the **old** harbour." in llm_server.requests[-1].prompt
        assert "Hello, Where?!" not in llm_server.requests[-1].prompt


def test_a_message_is_deleted_with_what_follows_after_asking(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        for number in range(2):
            answered(page, f"Question {number}", f"Hello, Question {number}!")
        own = message(page, "Question 0").first
        own.hover()
        own.get_by_role("button", name="Delete").click()
        expect(own).to_contain_text("Delete this and all that follows?")
        page.get_by_role("button", name="Keep", exact=True).click()
        expect(page.locator("#talk .said > li")).to_have_count(5)
        own.get_by_role("button", name="Delete").click()
        own.get_by_role("button", name="Delete").click()
        expect(page.locator("#talk .said > li")).to_have_count(1)
        answered(page, "Anew", "Hello, Anew!")
        assert "Question" not in llm_server.requests[-1].prompt


def test_a_question_that_got_no_answer_can_be_asked_again(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        llm_server.play("broken ", "off", error_after=0)
        say(page, "Are you there?")
        expect(page.locator("#trouble")).to_be_visible()
        llm_server.play("I am ", "here.")
        page.get_by_role("button", name="Get a reply").click()
        shown(page, "I am here.")
        expect(page.locator("#trouble")).to_be_hidden()
        settled(page)
        assert spoken(page) == [GREETINGS[0], "Are you there?", "I am here."]


def test_copying_takes_the_text_as_it_was_written(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        sat_down(page)
        llm_server.play("*smiles* ", "Well, **well**.")
        answered(page, "So?", "smiles Well, well.")
        page.locator("#talk .said > li").last.get_by_role("button", name="Copy").click()
        expect(page.locator("#talk .said > li").last.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "*smiles* Well, **well**."


def test_without_a_mouse_everything_is_within_reach(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with opened(browser, chattr.url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        sat_down(page)
        answered(page, "On the phone", "Hello, On the phone!")
        expect(page.locator("#talk .said > li").last.get_by_role("button", name="Another reply")).to_be_visible()
        own = message(page, "On the phone").first
        expect(own.get_by_role("button", name="Edit")).to_be_hidden()
        own.get_by_role("button", name="What can be done with this").tap()
        expect(own.get_by_role("button", name="Edit")).to_be_visible()
        box = own.get_by_role("button", name="Edit").bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 36
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.screenshot(path=tmp_path / "phone.png")


def test_the_keyboard_reaches_what_hovering_shows(
    browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer
) -> None:
    with opened(browser, chattr.url) as page:
        sat_down(page)
        answered(page, "By keys", "Hello, By keys!")
        edit = message(page, "By keys").first.get_by_role("button", name="Edit")
        opacity = "e => getComputedStyle(e.closest('.deeds')).opacity"
        assert edit.evaluate(opacity) == "0"
        edit.focus()
        page.wait_for_function("getComputedStyle(document.activeElement.closest('.deeds')).opacity === '1'")


def test_text_is_set_as_it_is_written(browser: Browser, chattr: ServiceProcess, llm_server: FakeLLMServer) -> None:
    lines = [
        "# Plan",
        "1. *one*",
        "2. `two`",
        "",
        "> said",
        "",
        "```",
        "<b>code</b>",
        "```",
        "snake_case_name and [a](https://example.org)",
    ]
    with opened(browser, chattr.url) as page:
        sat_down(page)
        llm_server.play(*(f"{line}\n" for line in lines))
        answered(page, "Format", "snake_case_name")
        reply = last_reply(page)
        assert reply.evaluate("e => e.innerHTML") == (
            '<p><strong>Plan</strong></p><ol start="1"><li><em>one</em></li><li><code>two</code></li></ol>'
            '<blockquote><p>said</p></blockquote><pre tabindex="0"><code>&lt;b&gt;code&lt;/b&gt;</code></pre>'
            '<p>snake_case_name and <a href="https://example.org" target="_blank" '
            'rel="noopener noreferrer nofollow">a</a></p>'
        )
