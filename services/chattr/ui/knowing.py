"""What a character remembers of the person: shown with where it comes from, corrected, pinned, forgotten."""

import time
from collections.abc import Mapping
from typing import Any, Final

from chatacter.client.api import Api
from chatacter.client.errors import ClientError
from chattr.ui import words
from chattr.ui.seat import Seat

A_PAGE: Final = 30
# So much of a message says which one is meant.
FIRST_WORDS: Final = 60

Shown = dict[str, Any]


async def known(seat: Seat, event: Any) -> Shown:
    """Do what the browser asks for, and describe to it what is remembered now; what went wrong is told."""
    told, stays = "", True
    wanted = {"q": str(event.q or "").strip(), "kind": str(event.kind or "")}
    memories: Shown = {"items": [], "next": None, "away": ""}
    summaries: list[Shown] = []
    try:
        async with seat.api() as api:
            try:
                stays = await done(api, seat, str(event.what), event)
            except ClientError as error:
                told = words.told_of(error)
            summaries = await summed(api, seat)
            memories = await remembered(api, seat, wanted, str(event.after or "") if event.what == "list" else "")
    except ClientError as error:
        told = words.told_of(error)
    who = seat.character
    return {
        "at": time.time(),
        "open": stays or told != "",
        "told": told,
        "name": who.name if who else "",
        "summaries": summaries,
        **memories,
        **wanted,
        "what": str(event.what),
        "id": str(event.id or ""),
        "after": str(event.after or ""),
    }


async def done(api: Api, seat: Seat, deed: str, event: Any) -> bool:
    """Do one thing; return whether the sheet stays open. Raises `ClientError`."""
    which, text = str(event.id or ""), str(event.text or "")
    if deed == "correct":
        await api.correct_memory(which, text)
    elif deed in {"pin", "unpin"}:
        await api.pin_memory(which, pinned=deed == "pin")
    elif deed == "forget":
        await api.forget_memory(which)
    elif deed == "open":
        await seat.turn_to(which)
        return False
    elif seat.session is not None and deed == "correct_summary":
        await api.correct_summary(seat.session, which, text)
    elif seat.session is not None and deed == "drop_summary":
        await api.drop_summary(seat.session, which)
    return True


async def summed(api: Api, seat: Seat) -> list[Shown]:
    """Describe the summaries of the conversation that is shown, each with the last message that it sums up."""
    if seat.session is None:
        return []
    places = {each.id: number for number, each in enumerate(seat.said)}
    return [
        {
            "id": each["id"],
            "text": each["text"],
            "corrected": each["corrected"],
            "left": each["branch"] == "left",
            "messages": places[through] + 1 if (through := each["through_message_id"]) in places else 0,
            "message": through if through in places else "",
            "through": first_words(seat.said[places[through]].content) if through in places else "",
        }
        for each in await api.summaries(seat.session)
    ]


async def remembered(api: Api, seat: Seat, wanted: Mapping[str, str], after: str) -> Shown:
    """Describe a page of memories; where there are none to be had, why."""
    if seat.character is None:
        return {"items": [], "next": None, "away": ""}
    query: dict[str, str | int] = {name: each for name, each in wanted.items() if each} | {"limit": A_PAGE}
    if after:
        query["after"] = after
    try:
        page = await api.remembered(seat.character.id, **query)
    except ClientError as error:
        return {"items": [], "next": None, "away": words.told_of(error)}
    shown_now = {each.id for each in seat.said}
    items = [
        {
            "id": each["id"],
            "text": each["text"],
            "kind": each["kind"],
            "own": each["role"] == "user",
            "pinned": each["pinned"],
            "left": each["branch"] == "left",
            "when": each["created_at"],
            "message": each["message_id"] if each["message_id"] in shown_now else "",
            "conversation": each["conversation_id"],
            "here": each["conversation_id"] == seat.session,
        }
        for each in page["data"]
    ]
    return {"items": items, "next": page["next"], "away": ""}


def first_words(text: str) -> str:
    """Return the beginning of a message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= FIRST_WORDS else f"{line[:FIRST_WORDS].rstrip()} …"
