"""Two clients do what they like with conversations, before two replicas; a model in this process does the same.

After each step both replicas show the tree of the model: no message lost, none doubled, the head where it belongs.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.replicas import pair
from tests.round_robin import balanced

pytestmark = pytest.mark.integration

DRIVING = settings(
    max_examples=18,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
WORDS = ("One", " two")
# A conversation grows before something of it is deleted. What a rule can do depends on who was quicker before, so that
# no precondition may tell: a rule that cannot do anything does nothing.
FEW = 4
MOST_TALKS = 3

which = st.integers(0, 1)
index = st.integers(0, 10_000)
texts = st.sampled_from(["Hello", "Why?", "Tell me more.", "Stop."])


@dataclass
class Modelled:
    """A conversation as it should be: messages by id, in order, each with parent, role and content."""

    id: str
    title: str | None
    messages: dict[str, tuple[str | None, str, str]] = field(default_factory=dict)
    head: str | None = None

    def add(self, message_id: str, parent: str | None, role: str, content: str) -> None:
        assert message_id not in self.messages
        assert parent is None or parent in self.messages
        self.messages[message_id] = (parent, role, content)

    def under(self, message_id: str | None) -> list[str]:
        found = [] if message_id is None else [message_id]
        for each, (parent, _, _) in self.messages.items():
            if parent in found or (message_id is None and parent is None):
                found.append(each)
        return found

    def remove(self, message_id: str) -> None:
        parent = self.messages[message_id][0]
        gone = self.under(message_id)
        self.messages = {each: said for each, said in self.messages.items() if each not in gone}
        if self.head in gone:
            self.head = ([*self.messages][-1:] or [None])[0] if parent is None else self.newest(parent)

    def newest(self, message_id: str) -> str:
        below = set(self.under(message_id))
        return [each for each in self.messages if each in below][-1]

    def chosen(self, number: int) -> str:
        return list(self.messages)[number % len(self.messages)]


class Machine(RuleBasedStateMachine):
    """What both clients may do."""

    def __init__(self, clients: list[httpx.Client], llm: FakeLLMServer) -> None:
        super().__init__()
        self.clients = clients
        self.llm = llm
        self.talks: list[Modelled] = []

    @initialize()
    def begin(self) -> None:
        self.llm.play(*WORDS)
        made = self.clients[0].post("/api/v1/conversations", json={"character": "mira"}).raise_for_status().json()
        talk = Modelled(made["id"], None, head=made["head_id"])
        for message in made["messages"]:
            talk.add(message["id"], None, "assistant", message["content"])
        self.talks = [talk]

    def asked(self, who: int, talk: Modelled, verb: str, path: str = "", **body: Any) -> httpx.Response:
        client = self.clients[who]
        address = f"/api/v1/conversations/{talk.id}{path}"
        return client.request(verb, address, json=body) if verb != "DELETE" else client.delete(address)

    def replied(self, talk: Modelled, answer: httpx.Response, said: str | None, begun: str = "") -> None:
        """Take a reply over into the model, and what it answers where that was said with it."""
        reply = answer.raise_for_status().json()
        assert reply["stored"]
        assert reply["response"] == begun + "".join(WORDS)
        if said is not None:
            question = self.stored(talk)[reply["parent_id"]]
            assert (question["role"], question["content"]) == ("user", said)
            talk.add(question["id"], question["parent_id"], "user", said)
        talk.add(reply["message_id"], reply["parent_id"], "assistant", reply["response"])
        talk.head = reply["message_id"]

    def stored(self, talk: Modelled) -> dict[str, dict[str, Any]]:
        read = self.asked(0, talk, "GET").raise_for_status().json()
        return {message["id"]: message for message in read["messages"]}

    @rule(who=which, at=index, text=texts)
    def say_at_the_head(self, who: int, at: int, text: str) -> None:
        talk = self.talks[at % len(self.talks)]
        head = talk.head
        self.replied(talk, self.asked(who, talk, "POST", "/messages", message=text), text)
        assert head == talk.messages[talk.messages[str(talk.head)][0] or ""][0]

    @rule(who=which, number=index, text=texts, root=st.booleans())
    def say_elsewhere(self, who: int, number: int, text: str, *, root: bool) -> None:
        talk = self.talks[0]
        if not talk.messages:
            return
        parent = None if root else talk.chosen(number)
        self.replied(talk, self.asked(who, talk, "POST", "/messages", message=text, parent_id=parent), text)

    @rule(who=which, number=index)
    def regenerate(self, who: int, number: int) -> None:
        talk = self.talks[0]
        if not talk.messages:
            return
        message_id = talk.chosen(number)
        self.replied(talk, self.asked(who, talk, "POST", f"/messages/{message_id}/regenerate"), None)

    @rule(who=which, number=index)
    def go_on(self, who: int, number: int) -> None:
        talk = self.talks[0]
        if not talk.messages:
            return
        message_id = talk.chosen(number)
        _, role, content = talk.messages[message_id]
        answer = self.asked(who, talk, "POST", f"/messages/{message_id}/continue")
        if role == "user":
            assert answer.status_code == 422
        else:
            self.replied(talk, answer, None, content)

    @rule(who=which, number=index, text=texts, reply=st.booleans())
    def edit(self, who: int, number: int, text: str, *, reply: bool) -> None:
        talk = self.talks[0]
        if not talk.messages:
            return
        message_id = talk.chosen(number)
        parent, role, _ = talk.messages[message_id]
        answer = self.asked(who, talk, "POST", f"/messages/{message_id}/edit", content=text, reply=reply)
        if reply and role == "assistant":
            assert answer.status_code == 422
        elif reply:
            self.replied(talk, answer, text)
        else:
            edited = answer.raise_for_status().json()
            assert (edited["parent_id"], edited["role"]) == (parent, role)
            talk.add(edited["id"], parent, role, text)
            talk.head = edited["id"]

    @rule(who=which, number=index)
    def switch(self, who: int, number: int) -> None:
        talk = self.talks[0]
        if not talk.messages:
            return
        talk.head = talk.newest(talk.chosen(number))
        self.asked(who, talk, "PATCH", head_id=talk.chosen(number)).raise_for_status()

    @rule(who=which, number=index)
    def delete(self, who: int, number: int) -> None:
        talk = self.talks[0]
        if len(talk.messages) < FEW:
            return
        message_id = talk.chosen(number)
        self.asked(who, talk, "DELETE", f"/messages/{message_id}").raise_for_status()
        talk.remove(message_id)
        assert self.asked(who, talk, "DELETE", f"/messages/{message_id}").status_code == 404

    @rule(who=which, number=index)
    def fork(self, who: int, number: int) -> None:
        talk = self.talks[0]
        if not talk.messages or len(self.talks) == MOST_TALKS:
            return
        end: str | None = talk.chosen(number)
        made = self.asked(who, talk, "POST", "/fork", message_id=end).raise_for_status().json()
        path: list[tuple[str, str]] = []
        while end is not None:
            end, role, content = talk.messages[end]
            path.insert(0, (role, content))
        assert [(message["role"], message["content"]) for message in made["messages"]] == path
        copy = Modelled(made["id"], talk.title, head=made["head_id"])
        for message in made["messages"]:
            assert message["id"] not in talk.messages
            copy.add(message["id"], message["parent_id"], message["role"], message["content"])
        self.talks.append(copy)

    @rule(who=which, title=st.sampled_from(["Tea", "Coffee", None]))
    def rename(self, who: int, title: str | None) -> None:
        self.asked(who, self.talks[0], "PATCH", title=title).raise_for_status()
        self.talks[0].title = title

    @rule(number=index, text=texts, verb=st.sampled_from(["say", "regenerate", "edit"]))
    def both_at_once(self, number: int, text: str, verb: str) -> None:
        """Nobody knows who is first; both are there afterwards, and the head is with one of them."""
        talk = self.talks[0]
        if not talk.messages:
            return
        message_id = talk.chosen(number)
        others: dict[str, Callable[[], httpx.Response]] = {
            "say": lambda: self.asked(1, talk, "POST", "/messages", message=text),
            "regenerate": lambda: self.asked(1, talk, "POST", f"/messages/{message_id}/regenerate"),
            "edit": lambda: self.asked(1, talk, "POST", f"/messages/{message_id}/edit", content=text),
        }
        with ThreadPoolExecutor(2) as both:
            mine = both.submit(self.asked, 0, talk, "POST", "/messages", message="Mine")
            yours = both.submit(others[verb])
            said = [mine.result().raise_for_status().json(), yours.result().raise_for_status().json()]
        told = {each["message_id"] if "message_id" in each else each["id"] for each in said}
        told |= {said[0]["parent_id"]} | ({said[1]["parent_id"]} if verb == "say" else set())
        now = self.stored(talk)
        assert now.keys() - talk.messages.keys() == told
        for each, message in now.items():
            if each not in talk.messages:
                talk.add(each, message["parent_id"], message["role"], message["content"])
        talk.head = self.asked(0, talk, "GET").json()["head_id"]
        assert talk.head in told

    @rule(number=index, text=texts, meanwhile=st.sampled_from(["nothing", "switch", "delete", "say"]))
    def a_late_reply(self, number: int, text: str, meanwhile: str) -> None:
        """A reply is being written to what one says, while the other goes elsewhere, or deletes some of it."""
        talk = self.talks[0]
        if not talk.messages:
            return
        self.llm.play(*WORDS)
        with ThreadPoolExecutor(1) as aside:
            with self.llm.holding():
                late = aside.submit(self.asked, 0, talk, "POST", "/messages", message=text)
                assert asyncio.run(self.llm.reached("deltas"))
                (question,) = self.stored(talk).keys() - talk.messages.keys()
                talk.add(question, talk.head, "user", text)
                talk.head = question
                if meanwhile == "switch":
                    self.switch(1, number)
                elif meanwhile == "delete":
                    self.delete(1, number)
                elif meanwhile == "say":
                    self.edit(1, number, "Else", reply=False)
            reply = late.result().raise_for_status().json()
        assert reply["stored"] == (question in talk.messages)
        assert bool(reply["told"]) != reply["stored"]
        if reply["stored"]:
            talk.add(reply["message_id"], question, "assistant", reply["response"])
            talk.head = reply["message_id"] if talk.head == question else talk.head

    @rule(number=index, text=texts)
    def one_says_what_the_other_deletes(self, number: int, text: str) -> None:
        """What is said at a head that is being deleted stands under what remains, goes with it, or is refused."""
        talk = self.talks[0]
        if len(talk.messages) < FEW:
            return
        message_id = talk.chosen(number)
        gone = set(talk.under(message_id))
        with ThreadPoolExecutor(2) as both:
            saying = both.submit(self.asked, 0, talk, "POST", "/messages", message=text)
            both.submit(self.asked, 1, talk, "DELETE", f"/messages/{message_id}").result().raise_for_status()
            answer = saying.result()
        before = talk.head
        talk.remove(message_id)
        now = self.stored(talk)
        added = [message for each, message in now.items() if each not in talk.messages]
        assert not gone & now.keys()
        assert answer.status_code in {200, 404}
        if not added:
            assert before in gone
        for message in added:
            talk.add(message["id"], message["parent_id"], message["role"], message["content"])
            assert answer.json()["parent_id"] in {message["id"], message["parent_id"]}
        talk.head = added[-1]["id"] if added else talk.head

    @invariant()
    def both_replicas_show_the_model_s_tree(self) -> None:
        for talk in self.talks:
            seen = [self.asked(0, talk, "GET").raise_for_status() for _ in range(2)]
            assert {answer.headers["x-replica"] for answer in seen} == {"0", "1"}
            assert seen[0].json() == seen[1].json()
            shown = seen[0].json()
            assert (shown["head_id"], shown["title"]) == (talk.head, talk.title)
            assert [
                (message["id"], message["parent_id"], message["role"], message["content"])
                for message in shown["messages"]
            ] == [(each, *said) for each, said in talk.messages.items()]
            for message in shown["messages"]:
                siblings = [each for each, said in talk.messages.items() if said[0] == message["parent_id"]]
                assert (message["siblings"], message["siblings"][message["index"]]) == (siblings, message["id"])


@pytest.fixture(scope="module")
def address(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with (
        pair(redis_server, llm_server_of_this_run, tmp_path_factory.mktemp("machine")) as replicas,
        balanced([replica.url for replica in replicas]) as url,
    ):
        yield url


def test_two_clients_and_two_replicas_agree_with_a_model(
    address: str, redis_url: str, llm_server: FakeLLMServer
) -> None:
    with httpx.Client(base_url=address, timeout=60) as one, httpx.Client(base_url=address, timeout=60) as other:
        run_state_machine_as_test(lambda: Machine([one, other], llm_server), settings=DRIVING)
