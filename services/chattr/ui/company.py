"""Who is in a conversation besides the person: characters join and go, and it is said who of them answers."""

import time
from typing import Any, Final

import orjson

from chatacter.client.api import Api
from chatacter.client.errors import ClientError
from chattr.ui import words
from chattr.ui.seat import Seat

ORDERS: Final = {
    "mention": "Whoever is named, else the next in turn",
    "round_robin": "Each in turn",
    "model": "Whom the model chooses",
    "client": "Whom I choose",
}
MOST_REPLIES: Final = 8

Shown = dict[str, Any]


async def gathered(seat: Seat, event: Any) -> Shown:
    """Do what the browser asks for, and describe to it who is here now; what went wrong is told in a sentence."""
    told = ""
    try:
        if event.what != "list":
            async with seat.regrouping, seat.api() as api:
                await changed(api, seat, str(event.what), str(event.value))
    except ClientError as error:
        told = words.told_of(error)
    here, who = seat.here, seat.character
    # A conversation is listed with whom it begins with: before it has begun that one stays.
    staying = who.id if who and seat.draft else None
    return {
        "at": time.time(),
        "told": told,
        "here": [{**seat.card_of(each), "stays": each == staying} for each in here],
        "others": [each.card() for each in seat.cast if each.id not in here],
        "persona": seat.persona or {},
        "order": seat.order,
        "orders": ORDERS,
        "replies": seat.replies,
    }


async def changed(api: Api, seat: Seat, deed: str, value: str) -> None:
    """Change who is here, or who answers. Raises `ClientError`."""
    await seat.leave()
    if seat.draft is not None:
        await seat.drafted(api, redrafted(seat.draft.body, seat.here, deed, value))
    elif seat.session is not None:
        await regrouped(api, seat, seat.session, deed, value)
    if deed == "persona":
        seat.usual = said_of_oneself(value)


async def regrouped(api: Api, seat: Seat, session: str, deed: str, value: str) -> None:
    """Change a conversation that has begun. Raises `ClientError`."""
    if deed == "join":
        await api.join(session, value)
    elif deed == "leave":
        await api.let_go(session, value)
    elif deed == "persona":
        await api.change(session, persona=said_of_oneself(value))
    elif deed in {"order", "replies"}:
        await api.change(session, **{deed: number(value) if deed == "replies" else value})
    await seat.look(api)


def redrafted(body: dict[str, Any], here: list[str], deed: str, value: str) -> dict[str, Any]:
    """Return what begins a conversation that is changed before it has begun."""
    if deed == "join":
        return {**body, "characters": [*here, value], "greeting": 0}
    if deed == "leave":
        return {**body, "characters": [each for each in here if each != value], "greeting": 0}
    if deed == "persona":
        return {**body, "persona": said_of_oneself(value)}
    return {**body, deed: number(value) if deed == "replies" else value}


def said_of_oneself(value: str) -> dict[str, str] | None:
    """Read who somebody says that they are; None where they say nothing."""
    said = orjson.loads(value)
    persona = {name: str(said.get(name) or "").strip() for name in ("name", "description")}
    return persona if any(persona.values()) else None


def number(value: str) -> int:
    """Read how many may answer."""
    return min(max(int(value), 1), MOST_REPLIES) if value.isdigit() else 1
