"""Facts that somebody tells about themselves, questions about them in other words, and small talk to bury them in."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """What was said once, and questions that it answers."""

    said: str
    questions: tuple[str, ...]


FACTS = (
    Fact(
        "My golden retriever is called Biscuit and he is terrified of thunder.",
        (
            "What's my dog's name?",
            "Do you remember what my pet is afraid of?",
            "Who hides under the table at my place when there is a storm?",
        ),
    ),
    Fact(
        "I'm allergic to peanuts, even a trace of them sends me to hospital.",
        ("Which food could make me ill?", "Is there an ingredient I must avoid?", "Could I try the satay sauce?"),
    ),
    Fact(
        "I work as a nurse on the children's ward in Leipzig.",
        ("What do I do for a living?", "In which city is my job?", "Guess what kind of patients I look after."),
    ),
    Fact(
        "My sister Anna is getting married in October.",
        ("Who in my family is having a wedding?", "When is the ceremony?", "What is my sibling called?"),
    ),
    Fact(
        "Next year I will move to Portugal to open a small bakery.",
        ("Where am I planning to relocate?", "What business do I dream of?", "Which country will I emigrate to?"),
    ),
    Fact(
        "I have been learning the cello for three years.",
        ("Which instrument do I play?", "Do I make music?", "How long have I been taking lessons?"),
    ),
    Fact(
        "My favourite drink is black tea with honey.",
        ("What should you serve me?", "How do I take my tea?", "Something warm to sip, what would I like best?"),
    ),
    Fact(
        "My grandmother Ottilie kept bees behind her house in the Harz.",
        ("What was my granny's name?", "Who in my family made honey?", "Which insects did my relative raise?"),
    ),
    Fact(
        "I failed my driving test twice last summer and still cannot drive.",
        ("Do I have a licence?", "Could I pick you up by car?", "Which exam went badly for me?"),
    ),
    Fact(
        "On the fourteenth of March I turn forty.",
        ("When is my birthday?", "How old will I be?", "On which day should you congratulate me?"),
    ),
)

OPENERS = (
    "Honestly,",
    "By the way,",
    "You know what?",
    "This morning I thought that",
    "I read somewhere that",
    "A friend told me that",
    "It seems to me that",
    "I keep thinking that",
)
CLAIMS = (
    "the {adjective} {place} looks different in the {season}",
    "people in the {place} walk much too fast these days",
    "a {adjective} book about {topic} would be worth reading",
    "nobody understands {topic} as well as you do",
    "the price of {goods} at the {place} went up again",
    "they showed a film about {topic} at the {place} yesterday",
    "the weather at the {place} was {adjective} all {season}",
    "somebody left a {adjective} umbrella at the {place}",
    "the neighbour's cat slept in the {place} again",
    "my colleague brought {goods} from the {place}",
    "I burnt the {goods} while listening to a talk on {topic}",
    "the train to the {place} was late because of the {season} storms",
)
QUESTIONS = (
    "What do you think about {topic}?",
    "Have you ever been to a {adjective} {place}?",
    "Would you rather have {goods} or a walk to the {place}?",
    "How did people learn {topic} in your time?",
    "Why is {topic} so {adjective}?",
    "Tell me something {adjective} about the {season}.",
)
ANSWERS = (
    "Ah, {topic}! I could speak of it for hours, my dear friend.",
    "In my day the {place} was a {adjective} sight, I assure you.",
    "I would take the {goods}, and then the walk.",
    "The {season} has always made me {adjective}, I confess.",
    "Let us consider {topic} step by step; what do you see first?",
    "How {adjective}! Do go on.",
    "I never cared much for {goods}, but the {place} delighted me.",
)
WORDS = {
    "adjective": ("quiet", "curious", "crowded", "golden", "difficult", "splendid", "foggy", "strange", "cheerful"),
    "place": ("harbour", "market", "library", "station", "museum", "park", "theatre", "bakery", "bridge", "garden"),
    "season": ("spring", "summer", "autumn", "winter"),
    "topic": (
        "astronomy",
        "chess",
        "arithmetic",
        "sailing",
        "poetry",
        "steam engines",
        "gardening",
        "the violin",
        "driving in snow",
        "raising dogs",
        "weddings in films",
        "nursing in the old days",
    ),
    "goods": ("apples", "bread", "coffee", "candles", "peaches", "fish", "lemonade", "cheese", "newspapers"),
}


def small_talk(count: int, seed: int = 7) -> list[tuple[str, str]]:
    """Make that many different turns, `(role, text)`, by turns a user's and a character's."""
    chance = random.Random(seed)
    turns: list[tuple[str, str]] = []
    said: set[str] = set()
    while len(turns) < count:
        role = "user" if len(turns) % 2 == 0 else "assistant"
        if role == "assistant":
            template = chance.choice(ANSWERS)
        elif chance.random() < 0.3:
            template = chance.choice(QUESTIONS)
        else:
            template = f"{chance.choice(OPENERS)} {chance.choice(CLAIMS)}."
        text = template.format(**{name: chance.choice(words) for name, words in WORDS.items()})
        if text not in said:
            said.add(text)
            turns.append((role, text))
    return turns
