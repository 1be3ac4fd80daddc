"""Makes `data/talks.json`: dated talks of invented people in LoCoMo's shape, with questions about what they told.

Facts and questions were written by hand, the questions mostly in other words than the facts; what stands around them is
put together at random from one seed. `python benchmarks/measuring/made_up_talks.py` writes it anew, the same each time.
"""

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

PLACE: Final = Path(__file__).parents[1] / "data" / "talks.json"
SEED: Final = 29
SESSIONS: Final = 8
TURNS: Final = 14
PEOPLE: Final = (("Maren", "Oskar"), ("Priya", "Tomas"), ("Lucia", "Henrik"), ("Amara", "Jonas"))
# What somebody tells, what the other says to it, and questions that it answers: about the one, about that time.
FACTS: Final = (
    ("I started pottery lessons at the old brewery.", "Clay suits you.", "Which craft is {name} learning?"),
    ("My brother Emil moved to Porto for a job on ferries.", "So far away!", "Where does {name}'s sibling live now?"),
    ("I sold my car and bought a blue cargo bike.", "No more parking then.", "How does {name} get around these days?"),
    ("The vet says our cat Minka has diabetes.", "Poor thing.", "Which illness does {name}'s pet have?"),
    ("I passed the exam for the sailing licence yesterday.", "Captain!", "When did {name} get the sailing licence?"),
    ("Grandmother left me her accordion, and I keep it tuned.", "Play it once.", "What did {name} inherit?"),
    ("We are repainting the kitchen in a dark green.", "Bold choice.", "What colour will {name}'s kitchen be?"),
    ("I can't eat walnuts any more, my throat swells up.", "Better be careful.", "What is {name} allergic to?"),
    ("My team at the museum lost its funding last week.", "I am sorry.", "What happened to {name}'s work?"),
    ("I signed up for the half marathon in Bergen in May.", "You will fly.", "Which race does {name} train for?"),
    ("My daughter Ida wants to become a glaciologist.", "She loves the cold.", "What does {name}'s child want to be?"),
    ("I have been sober for three years now.", "That is a lot of courage.", "How long has {name} not been drinking?"),
    ("I adopted two hens, Greta and Olga.", "Fresh eggs!", "What are {name}'s birds called?"),
    ("Our landlord raised the rent by a fifth.", "That is outrageous.", "Why may {name} have to move house?"),
    (
        "I finished reading all of Middlemarch on the train.",
        "Impressive.",
        "Which novel has {name} read?",
    ),
    ("A stork has built its nest on our chimney.", "Luck for the house.", "What lives on {name}'s roof?"),
)
OPENERS: Final = ("Good to hear you!", "How was your week?", "Guess where I am.", "It rained all day here.")
CHATTER: Final = (
    "The trams were late again this morning.",
    "I slept badly, the neighbours had guests.",
    "Have you seen the new bridge? It sways a little.",
    "I made soup and burnt half of it.",
    "The market was full of people from the coast.",
    "What are you up to on Sunday?",
    "I keep losing my umbrella.",
    "There was a concert in the park, rather loud.",
    "I should call my aunt more often.",
    "The light in the evening is so soft now.",
    "Do you still go swimming on Fridays?",
    "My phone died in the middle of a call.",
)


def talk(number: int, chance: random.Random) -> dict[str, Any]:
    """Make one talk with its questions."""
    people = PEOPLE[number]
    told = chance.sample(FACTS, len(FACTS))
    conversation: dict[str, Any] = {"speaker_a": people[0], "speaker_b": people[1]}
    questions: list[dict[str, Any]] = []
    day = datetime(2025, 1 + 2 * number, 3, 18, 5)
    for session in range(1, SESSIONS + 1):
        day += timedelta(days=chance.randint(6, 20), minutes=chance.randint(-90, 90))
        turns = small_talk(session, people, chance)
        questions += [put(told.pop(), turns, people, chance) for _ in range(2)]
        for place, turn in enumerate(turns, 1):
            turn["dia_id"] = f"D{session}:{place}"
        conversation[f"session_{session}_date_time"] = day.strftime("%I:%M %p on %d %B, %Y").lower()
        conversation[f"session_{session}"] = turns
    asked = [{**one, "evidence": [turn["dia_id"] for turn in one["evidence"]]} for one in questions]
    nobody = {"question": f"Which opera did {people[0]} sing in?", "evidence": [], "category": 5}
    return {"sample_id": f"made-up-{number + 1}", "conversation": conversation, "qa": [*asked, nobody]}


def small_talk(session: int, people: tuple[str, str], chance: random.Random) -> list[dict[str, Any]]:
    """Say things of no weight by turns."""
    said = [chance.choice(OPENERS), *chance.sample(CHATTER, TURNS - 5)]
    return [{"speaker": people[(session + place) % 2], "text": text} for place, text in enumerate(said)]


def put(
    fact: tuple[str, str, str], turns: list[dict[str, Any]], people: tuple[str, str], chance: random.Random
) -> dict[str, Any]:
    """Tell a fact somewhere in a session, and return the question that it answers."""
    text, reply, question = fact
    teller = chance.randrange(2)
    turn = {"speaker": people[teller], "text": text}
    place = chance.randint(1, len(turns))
    turns[place:place] = [turn, {"speaker": people[1 - teller], "text": reply}]
    return {"question": question.format(name=people[teller]), "evidence": [turn], "category": 4}


def main() -> None:
    """Write the file."""
    chance = random.Random(SEED)
    talks = [talk(number, chance) for number in range(len(PEOPLE))]
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(json.dumps(talks, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
