"""What routes ask for, one alias each. The lifespan's typed state is read here and nowhere else."""

from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from chatacter.chassis.auth import Caller, Principal
from chatacter.chassis.errors import InvalidInput
from chattr.domain.identity import PERSON, Owner
from chattr.ports.assets import Assets
from chattr.ports.cache import IdempotencyStore
from chattr.ports.jobs import JobLog, Jobs
from chattr.ports.lorebooks import Lorebooks
from chattr.ports.sessions import SessionLog
from chattr.usecases.amending import Amending
from chattr.usecases.cards import Cards
from chattr.usecases.casting import Actors
from chattr.usecases.characters import Cast
from chattr.usecases.conversing import Conversing
from chattr.usecases.editing import Editing
from chattr.usecases.film import Film
from chattr.usecases.infer import Infer
from chattr.usecases.moving import Moving
from chattr.usecases.outstanding import Outstanding
from chattr.usecases.reading_aloud import ReadAloud
from chattr.usecases.remember import Remember
from chattr.usecases.reply import Reply
from chattr.usecases.signing import Signing
from chattr.usecases.speak import Speak
from chattr.usecases.summing import Summing
from chattr.usecases.transcripts import Transcripts

PERSON_HEADER: Final = "x-chatacter-person"
SOMEBODY: Final = "owner"
BAD_PERSON: Final = "A person is named by 1 to 128 letters, digits, `_`, `.`, `@` or `-`, and not by `-` alone."


def owner_of(caller: Principal, connection: HTTPConnection, user: str | None = None) -> Owner:
    """Say whose data a request touches: the key's tenant, and the person it names. Raises `InvalidInput`."""
    person = connection.headers.get(PERSON_HEADER) or user or SOMEBODY
    if not PERSON.fullmatch(person):
        raise InvalidInput(BAD_PERSON, param="user")
    return Owner(caller.tenant, person)


def owner(caller: Caller, connection: HTTPConnection) -> Owner:
    """Say whose data a request without a body of its own touches."""
    return owner_of(caller, connection)


def reply(connection: HTTPConnection) -> Reply:
    """Return what makes characters answer."""
    found: Reply = connection.state.reply
    return found


def remember(connection: HTTPConnection) -> Remember | None:
    """Return long-term memory; None where it is switched off."""
    found: Remember | None = connection.state.remember
    return found


def amending(connection: HTTPConnection) -> Amending | None:
    """Return what changes memories; None where long-term memory is switched off."""
    found: Amending | None = connection.state.amending
    return found


def moving(connection: HTTPConnection) -> Moving:
    """Return what takes conversations and knowledge along."""
    found: Moving = connection.state.moving
    return found


def summing(connection: HTTPConnection) -> Summing:
    """Return the running summaries."""
    found: Summing = connection.state.summing
    return found


def cast(connection: HTTPConnection) -> Cast:
    """Return the characters."""
    found: Cast = connection.state.characters
    return found


def actors(connection: HTTPConnection) -> Actors:
    """Return the characters' voices and portraits."""
    found: Actors = connection.state.actors
    return found


def editing(connection: HTTPConnection) -> Editing:
    """Return what changes characters."""
    found: Editing = connection.state.editing
    return found


def cards(connection: HTTPConnection) -> Cards:
    """Return what reads and writes character cards."""
    found: Cards = connection.state.cards
    return found


def lorebooks(connection: HTTPConnection) -> Lorebooks:
    """Return the lorebooks that characters share."""
    found: Lorebooks = connection.state.lorebooks
    return found


def conversing(connection: HTTPConnection) -> Conversing:
    """Return the people's conversations."""
    found: Conversing = connection.state.conversing
    return found


def transcripts(connection: HTTPConnection) -> Transcripts:
    """Return what reads and writes conversations as files."""
    found: Transcripts = connection.state.transcripts
    return found


def session_log(connection: HTTPConnection) -> SessionLog:
    """Return the logs of replies."""
    found: SessionLog = connection.state.session_log
    return found


def idempotency_store(connection: HTTPConnection) -> IdempotencyStore:
    """Return the kept answers."""
    found: IdempotencyStore = connection.state.idempotency
    return found


def speak(connection: HTTPConnection) -> Speak:
    """Return what speaks."""
    found: Speak = connection.state.speak
    return found


def read_aloud(connection: HTTPConnection) -> ReadAloud:
    """Return what says long texts."""
    found: ReadAloud = connection.state.read_aloud
    return found


def film(connection: HTTPConnection) -> Film:
    """Return what films."""
    found: Film = connection.state.film
    return found


def infer(connection: HTTPConnection) -> Infer:
    """Return what passes KServe's protocols on."""
    found: Infer = connection.state.infer
    return found


def jobs(connection: HTTPConnection) -> Jobs:
    """Return the stored jobs."""
    found: Jobs = connection.state.jobs
    return found


def job_log(connection: HTTPConnection) -> JobLog:
    """Return what happens to jobs."""
    found: JobLog = connection.state.job_log
    return found


def assets(connection: HTTPConnection) -> Assets:
    """Return the stored files."""
    found: Assets = connection.state.assets
    return found


def signing(connection: HTTPConnection) -> Signing:
    """Return what makes addresses that open without a key."""
    found: Signing = connection.state.signing
    return found


def outstanding(connection: HTTPConnection) -> Outstanding:
    """Return the count of work."""
    found: Outstanding = connection.state.outstanding
    return found


OwnerDep = Annotated[Owner, Depends(owner)]
ReplyDep = Annotated[Reply, Depends(reply)]
ActorsDep = Annotated[Actors, Depends(actors)]
AmendingDep = Annotated[Amending | None, Depends(amending)]
SummingDep = Annotated[Summing, Depends(summing)]
MovingDep = Annotated[Moving, Depends(moving)]
RememberDep = Annotated[Remember | None, Depends(remember)]
CardsDep = Annotated[Cards, Depends(cards)]
EditingDep = Annotated[Editing, Depends(editing)]
CastDep = Annotated[Cast, Depends(cast)]
LorebooksDep = Annotated[Lorebooks, Depends(lorebooks)]
ConversingDep = Annotated[Conversing, Depends(conversing)]
TranscriptsDep = Annotated[Transcripts, Depends(transcripts)]
SessionLogDep = Annotated[SessionLog, Depends(session_log)]
SpeakDep = Annotated[Speak, Depends(speak)]
ReadAloudDep = Annotated[ReadAloud, Depends(read_aloud)]
FilmDep = Annotated[Film, Depends(film)]
InferDep = Annotated[Infer, Depends(infer)]
JobLogDep = Annotated[JobLog, Depends(job_log)]
JobsDep = Annotated[Jobs, Depends(jobs)]
SigningDep = Annotated[Signing, Depends(signing)]
AssetsDep = Annotated[Assets, Depends(assets)]
OutstandingDep = Annotated[Outstanding, Depends(outstanding)]
