"""What the page says about itself: who answers, what is missing, how far a film is."""

from collections.abc import Mapping
from typing import Any, Final

from chatacter.client.errors import Away, ClientError, KeyNeeded

NOTICE: Final = "You talk with an AI. It makes things up, and its voice and films are synthetic."

PHASES: Final = {
    "queued": "Waiting for its turn",
    "waiting_for_gpu": "Waiting for a GPU to wake",
    "speaking": "Recording the voice",
    "filming": "Filming",
    "publishing": "Almost there",
}
WORKING: Final = "Working"

EMBEDDED: Final = (
    "**A very small model answers here: {model}, on this machine.** It needs no account and no internet, and it shows: "
    "it forgets its part, repeats itself and makes facts up, about real people too. Do not rely on what it says."
)
PROVIDER: Final = (
    "**{model} answers here**, a model of the provider that this server is set to. What you write is sent there. "
    "It plays a part, and it can be wrong about facts and about real people."
)
WHO: Final = "Who answers here?"
SMALL: Final = "A very small model answers here. What that means, and how to connect a better one"
UNKNOWN: Final = "**A language model answers here.** It plays a part, and it can be wrong about facts and real people."
AWAY: Final = "The server does not answer. It may still be starting: reload the page in a moment."
KEY_WANTED: Final = "This server wants an API key. Ask its operator for one, and enter it below."
KEY_WRONG: Final = "The server does not know this key. Check it, or ask its operator for another one."
NO_SUCH_VOICE: Final = "This voice is not there any more."
NOTHING_TO_FILM: Final = "There is nothing to film yet: say something first."


def who_answers(health: Mapping[str, Any]) -> str:
    """Say what stands behind the character, from what the server's health tells."""
    answers = health.get("answers") or {}
    told = {"embedded": EMBEDDED, "provider": PROVIDER}.get(str(answers.get("kind")), UNKNOWN)
    return told.format(model=answers.get("model") or "A model")


def embedded(health: Mapping[str, Any]) -> bool:
    """Whether the small model answers, so that a better one is worth a hint."""
    return bool((health.get("answers") or {}).get("kind") == "embedded")


def missing(health: Mapping[str, Any]) -> list[str]:
    """List what does not work just now, a sentence each."""
    checks = health.get("checks") or {}
    return [f"{name.replace('_', ' ').capitalize()}: {told}" for name, told in checks.items() if told != "ok"]


def phase(name: str | None) -> str:
    """Say in words what is being done to a film."""
    return PHASES.get(name or "", WORKING)


def told_of(error: ClientError) -> str:
    """Say what happened, in the page's words where it has them."""
    if isinstance(error, Away):
        return AWAY
    return KEY_WRONG if isinstance(error, KeyNeeded) else error.message
