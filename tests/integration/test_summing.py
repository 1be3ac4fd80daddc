"""Long conversations are summed up while nobody waits, and what is summed up goes with what it was made of."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from chatacter.chassis.errors import Busy, Conflict, DeadlineExceeded, InvalidInput, NotFound, UpstreamFailed
from chattr.domain.conversation import Conversation, Message, Role
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed, Selection, memory_id
from chattr.domain.summary import Summary
from chattr.usecases.knowing import Knowing
from chattr.usecases.summarising import AGAIN
from tests.memory_world import ANN
from tests.summing_office import ADA, BLOCK, DUE, Office

pytestmark = pytest.mark.integration


@pytest.fixture
async def office(new_office: Callable[[], Awaitable[Office]]) -> Office:
    return await new_office()


async def test_a_block_is_summed_up_with_the_summary_before_it(office: Office) -> None:
    said = await office.talk("a", DUE)
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)")]
    said += await office.talk("a", BLOCK)
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)"), (said[7], "(( w0 w1 w2 w3) w4 w5 w6 w7)")]
    assert len(office.clerk.asked) == 2
    await office.sum_up("a")
    assert len(office.clerk.asked) == 2, "nothing is summed up twice"


async def test_nobody_waits_for_it_and_nothing_warm_is_evicted(office: Office) -> None:
    await office.talk("a", DUE)
    await office.sum_up("a")
    (request,) = office.clerk.asked
    assert request.background
    assert request.conversation is None
    assert request.sampling["max_tokens"] == 400 + 1_638, "what a model that reasons spends on that comes on top"


async def test_a_long_conversation_that_came_from_elsewhere_is_summed_up_block_by_block(office: Office) -> None:
    said = await office.talk("a", 4 * BLOCK + 3)
    await office.sum_up("a")
    assert [through for through, _ in await office.along("a")] == [said[3], said[7], said[11], said[15]]


async def test_on_another_branch_the_summary_that_is_still_true_stands(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    there = await office.along("a")
    other = await office.world.say("a", "elsewhere", said[5])
    assert await office.along("a") == there[:1]
    more = await office.talk("a", 4)
    await office.sum_up("a")
    assert await office.along("a") == [there[0], (more[0], f"({there[0][1]} w4 w5 elsewhere w11)")]
    await office.world.switch("a", said[-1])
    assert await office.along("a") == there
    assert other


async def test_what_is_deleted_takes_its_summaries_along(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    await office.world.cut("a", said[6])
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)")]
    assert len(await office.stored("a")) == 1
    await office.world.cut("a", said[0])
    assert await office.stored("a") == []


async def test_what_is_forgotten_stands_in_no_summary_and_is_not_summed_up_again(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    await office.world.forget(Selection(ids=(memory_id(ANN, said[5]),)))
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)")]
    assert len(await office.stored("a")) == 1
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)"), (said[7], "(( w0 w1 w2 w3) w4 w6 w7)")]
    await office.world.forget(Selection(character_id="ada"))
    assert await office.stored("a") == []
    await office.sum_up("a")
    assert {text for _, text in await office.along("a")} == {""}
    asked = len(office.clerk.asked)
    more = await office.talk("a", BLOCK)
    await office.sum_up("a")
    assert (await office.along("a"))[-1] == (more[1], "( w10 w11)")
    assert len(office.clerk.asked) == asked + 1


async def test_what_is_forgotten_while_it_is_summed_up_is_not_in_it(office: Office) -> None:
    said = await office.talk("a", DUE)

    async def forget() -> None:
        await office.world.forget(Selection(ids=(memory_id(ANN, said[1]),)))

    office.clerk.meanwhile = forget
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w2 w3)")]
    assert len(await office.stored("a")) == 1


async def test_what_is_deleted_while_it_is_summed_up_is_not_in_it(office: Office) -> None:
    said = await office.talk("a", DUE)

    async def cut() -> None:
        await office.world.cut("a", said[2])

    office.clerk.meanwhile = cut
    await office.sum_up("a")
    assert await office.stored("a") == []


async def test_a_correction_is_what_later_summaries_go_on_from(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    first = next(one for one in await office.stored("a") if one.previous_id is None)
    await office.summing.correct(ANN, "a", first.id, "They met in Leipzig.")
    assert await office.along("a") == [(said[3], "They met in Leipzig.")]
    await office.sum_up("a")
    assert (await office.along("a"))[1] == (said[7], "(They met in Leipzig. w4 w5 w6 w7)")
    with pytest.raises(NotFound):
        await office.summing.correct(ANN, "a", "unknown", "x")


async def test_a_correction_while_the_next_is_made_is_not_lost(office: Office) -> None:
    said = await office.talk("a", DUE)
    await office.sum_up("a")
    (first,) = await office.stored("a")
    await office.talk("a", BLOCK)

    async def correct() -> None:
        await office.summing.correct(ANN, "a", first.id, "They met.")

    office.clerk.meanwhile = correct
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "They met."), ("m8", "(They met. w4 w5 w6 w7)")]


async def test_one_that_is_taken_back_takes_those_made_of_it_along_and_is_made_anew(office: Office) -> None:
    await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    before = await office.along("a")
    first = next(one for one in await office.stored("a") if one.previous_id is None)
    await office.summing.drop(ANN, "a", first.id)
    assert await office.stored("a") == []
    await office.sum_up("a")
    assert await office.along("a") == before
    await office.summing.drop(ANN, "a")
    assert await office.stored("a") == []
    with pytest.raises(NotFound):
        await office.summing.drop(ANN, "a", first.id)


async def test_a_reply_that_is_being_written_is_not_disturbed(office: Office) -> None:
    await office.talk("a", DUE)
    await office.world.conversations.set_live(ANN, "a", "r1")
    await office.queue.note(ANN, [Changed("a")])
    await office.summariser.carry(await office.queue.take(1))
    assert office.clerk.asked == []
    assert await office.queue.waiting()
    await office.world.conversations.end_live(ANN, "a", "r1")
    await office.sum_up()
    assert len(await office.stored("a")) == 1


async def test_a_model_that_gives_way_is_asked_again_and_one_that_refuses_is_not(office: Office) -> None:
    await office.talk("a", DUE)
    office.clerk.trouble = Busy("somebody talks")
    with pytest.raises(Busy):
        await office.sum_up("a")
    assert await office.queue.waiting()
    office.clerk.trouble = UpstreamFailed("refused")
    await office.sum_up()
    assert not await office.queue.waiting()
    assert await office.stored("a") == []
    office.clerk.trouble = None
    await office.sum_up("a")
    assert len(await office.stored("a")) == 1


async def test_a_model_that_takes_too_long_or_says_nothing_is_not_asked_for_the_same_again_at_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.talk("a", DUE)
    office.clerk.trouble = DeadlineExceeded("too slow")
    await office.sum_up("a")
    assert not await office.queue.waiting(), "others are not kept waiting"
    office.clerk.trouble, office.clerk.silent = None, True
    await office.sum_up("a")
    asked = len(office.clerk.asked)
    assert "the model's summary says nothing" in caplog.text
    await office.sum_up("a")
    assert len(office.clerk.asked) == asked
    office.clerk.silent = False
    office.world.now += AGAIN
    await office.sum_up("a")
    assert len(await office.stored("a")) == 1


async def test_what_was_made_of_the_old_words_while_they_are_corrected_is_gone(office: Office) -> None:
    await office.talk("a", DUE)
    await office.sum_up("a")
    (first,) = await office.stored("a")
    store, put = office.summing._summaries, office.summing._summaries.put

    async def beaten(owner: Owner, made: Summary, *, instead_of: Summary | None = None) -> bool:
        if instead_of is not None:
            await put(owner, replace(first, id="late", previous_id=first.id))
        return await put(owner, made, instead_of=instead_of)

    store.put = beaten  # type: ignore[method-assign]
    await office.summing.correct(ANN, "a", first.id, "They met.")
    assert [one.text for one in await office.stored("a")] == ["They met."]


async def test_of_two_corrections_of_one_summary_at_once_the_second_is_told_to_read_again(office: Office) -> None:
    await office.talk("a", DUE)
    await office.sum_up("a")
    (first,) = await office.stored("a")
    store, put = office.summing._summaries, office.summing._summaries.put

    async def beaten(owner: Owner, made: Summary, *, instead_of: Summary | None = None) -> bool:
        store.put = put  # type: ignore[method-assign]
        await office.summing.correct(ANN, "a", first.id, "They met in Leipzig.")
        return await put(owner, made, instead_of=instead_of)

    store.put = beaten  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="read it again"):
        await office.summing.correct(ANN, "a", first.id, "They met.")
    assert [one.text for one in await office.stored("a")] == ["They met in Leipzig."]


async def test_one_that_does_not_hold_is_no_obstacle(office: Office) -> None:
    said = await office.talk("a", DUE)
    await office.sum_up("a")
    (first,) = await office.stored("a")
    assert office.world.summaries is not None
    await office.world.outbox.forget(ANN, Selection(ids=(memory_id(ANN, said[1]),), until=office.world.now + 9))
    await office.sum_up("a")
    (again,) = await office.stored("a")
    assert (again.id, again.text) == (first.id, "( w0 w2 w3)")


async def test_a_correction_longer_than_a_summary_may_be_is_refused(office: Office) -> None:
    await office.talk("a", DUE)
    await office.sum_up("a")
    (first,) = await office.stored("a")
    with pytest.raises(InvalidInput, match="400 tokens"):
        await office.summing.correct(ANN, "a", first.id, "word " * 790)


async def test_a_character_too_long_for_its_model_is_nothing_to_look_at(office: Office) -> None:
    long = ADA.model_copy(update={"system_prompt": "long " * 90_000})
    await office.summing.look(ANN, "a", long, [])


async def test_summaries_whose_message_is_gone_go_when_memory_follows(office: Office) -> None:
    await office.talk("a", DUE)
    await office.sum_up("a")
    world = office.world
    assert world.summaries is not None
    conversation = await world.conversations.get(ANN, "a")
    await Knowing(world.knowledge, world.summaries).follow(ANN, "a", conversation, [])
    assert await office.stored("a") == []


async def test_of_two_replicas_one_is_heard(office: Office) -> None:
    await office.talk("a", DUE)
    other = Office(office.world, office.queue)

    async def quicker() -> None:
        await other.sum_up("a")

    office.clerk.meanwhile = quicker
    await office.sum_up("a")
    (kept,) = await office.stored("a")
    assert kept.text == "( w0 w1 w2 w3)"
    assert await other.along("a") == await office.along("a")


async def gather(office: Office, place: str, count: int, *, missed: int | None = None) -> None:
    """The person and Ada by turns, and Mira listening, but for one message."""
    conversations = office.world.conversations
    await conversations.create(ANN, Conversation(place, "ada", 1.0, members=("ada", "mira")))
    messages = await conversations.messages(ANN, place)
    parent = messages[-1].id if messages else None
    for number in range(len(messages), len(messages) + count):
        heard = ("ada",) if number == missed else ("ada", "mira")
        role: Role = "assistant" if number % 2 else "user"
        speaker = "ada" if number % 2 else None
        name = f"{place}{number}"
        said = Message(name, parent, role, f"w{number}", float(number), speaker, audience=heard, kept_by=heard)
        await conversations.append(ANN, place, [said])
        parent = name


async def test_in_a_group_each_has_what_it_heard_summed_up(office: Office) -> None:
    await gather(office, "g", DUE, missed=1)
    await office.sum_up("g")
    assert {(one.character_id, one.text) for one in await office.stored("g")} == {
        ("ada", "( w0 w1 w2 w3)"),
        ("mira", "( w0 w2 w3)"),
    }
    assert "Ada: w3" in office.clerk.asked[-1].messages[1]["content"]
    assert "between User and Mira" in office.clerk.asked[-1].messages[0]["content"]


async def test_what_all_of_a_group_heard_is_summed_up_once_for_all(office: Office) -> None:
    await gather(office, "g", DUE)
    await office.sum_up("g")
    assert {(one.character_id, one.text) for one in await office.stored("g")} == {
        ("ada", "( w0 w1 w2 w3)"),
        ("mira", "( w0 w1 w2 w3)"),
    }
    assert len(office.clerk.asked) == 1
