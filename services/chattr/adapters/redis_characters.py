"""Characters in Redis: a hash a tenant, id → JSON, another one of briefs, so that a list reads no character whole, and
one hash of all: the id of what is published → its tenant.

A write is one script, which touches both; so this needs one Redis with its replicas, not a Redis Cluster. A revision is
the hash of what is stored, so that records of every version have one. A brief says of which revision it is: a replica
of a version that knows no briefs may write meanwhile, or again after a rollback; what it wrote is read whole, once.

Redis hashes slowly, on the one thread that answers everybody: a list has it hash little at a time, and a large record
whose length did not change not again for a minute. So long a list may miss what an older replica wrote into that.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from chattr.adapters.large_records import Records
from chattr.adapters.redis_connection import PREFIX, key, told
from chattr.domain.character import Brief, Character
from chattr.domain.identity import Owner
from chattr.ports.records import StoredCharacter, Written

CLAIMS: Final = f"{PREFIX}:published"

UNCHANGED: Final = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local revision = stored and redis.sha1hex(stored) or ''
local claimed = redis.call('HGET', KEYS[2], ARGV[1])
"""
# KEYS characters claims briefs; ARGV id tenant expected json published brief. An empty `expected`: nothing is stored.
WRITE: Final = (
    UNCHANGED
    + """
if revision ~= ARGV[3] then return 'stale' end
if ARGV[5] == '1' then
  if claimed and claimed ~= ARGV[2] then return 'taken' end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
elseif claimed == ARGV[2] then
  redis.call('HDEL', KEYS[2], ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[3], ARGV[1], redis.sha1hex(ARGV[4]) .. ARGV[6])
return 'done'
"""
)
# KEYS characters briefs; ARGV ids. How long each record is, and its brief behind the revision that this is of.
LOOK: Final = """
local found = {}
for i, id in ipairs(ARGV) do
  found[i] = {redis.call('HSTRLEN', KEYS[1], id), redis.call('HGET', KEYS[2], id)}
end
return found
"""
# The same of those alone whose brief is of what is stored: Redis hashes that.
PROVEN: Final = """
local found = {}
for i, id in ipairs(ARGV) do
  local stored, brief = redis.call('HGET', KEYS[1], id), redis.call('HGET', KEYS[2], id)
  found[i] = stored and brief and string.sub(brief, 1, 40) == redis.sha1hex(stored) and {string.len(stored), brief}
end
return found
"""
# KEYS characters briefs; ARGV id revision brief.
RENEW: Final = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored and redis.sha1hex(stored) == ARGV[2] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ARGV[3]) end
"""
# What Redis does in one go, while nobody else is answered: it looks at so many, and hashes so many bytes or one record.
AT_ONCE: Final = 200
HASHED_AT_ONCE: Final = 262_144
REVISION: Final = 40
# From here on a record is not hashed again for so many seconds.
LARGE: Final = 32_768
LATELY: Final = 60
MOST_SEEN: Final = 10_000
# KEYS characters claims briefs; ARGV id tenant expected.
DELETE: Final = (
    UNCHANGED
    + """
if not stored or revision ~= ARGV[3] then return 0 end
if claimed == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[1]) end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
"""
)


class Seen:
    """Which large records were lately of the length and the revision that they say. The oldest is forgotten."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str], tuple[int, bytes, float]] = OrderedDict()

    def lately(self, place: tuple[str, str], length: int, revision: bytes) -> bool:
        """Whether a record need not be hashed now."""
        seen = self._seen.get(place)
        return seen is not None and seen[:2] == (length, revision) and self._clock() - seen[2] < LATELY

    def keep(self, place: tuple[str, str], length: int, revision: bytes) -> None:
        """Remember what was hashed now."""
        self._seen.pop(place, None)
        if length >= LARGE:
            self._seen[place] = (length, revision, self._clock())
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)


class RedisCharacters:
    """All tenants' characters."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._write = redis.register_script(WRITE)
        self._delete = redis.register_script(DELETE)
        self._look = redis.register_script(LOOK)
        self._proven = redis.register_script(PROVEN)
        self._seen = Seen(clock)
        self._renew = redis.register_script(RENEW)
        self._records = Records(Character)

    async def get(self, owner: Owner, character_id: str) -> StoredCharacter | None:
        """Return one of the tenant's, or None."""
        with told():
            stored = await self._redis.hget(home(owner), character_id)
        return await self._whole(owner.tenant, stored) if stored else None

    async def some(self, places: Sequence[tuple[str, str]]) -> Sequence[StoredCharacter]:
        """Return those that are there, in the order in which they are named."""
        stored = await self._records_of(places)
        return [await self._whole(tenant, one) for (tenant, _), one in zip(places, stored, strict=True) if one]

    async def list(self, owner: Owner) -> Sequence[Brief]:
        """Return all of the tenant's, by id."""
        with told():
            names = await self._redis.hkeys(home(owner))
        return [brief for _, brief in await self._briefs([(owner.tenant, name.decode()) for name in sorted(names)])]

    async def published(self, character_id: str) -> StoredCharacter | None:
        """Return the one that any tenant published under this id, or None."""
        with told():
            tenant = await self._redis.hget(CLAIMS, character_id)
        found = await self.get(Owner(tenant.decode()), character_id) if tenant else None
        return found if found and found.character.published else None

    async def all_published(self) -> Sequence[tuple[str, Brief]]:
        """Return all that any tenant published, by id."""
        with told():
            claims = await self._redis.hgetall(CLAIMS)
        found = await self._briefs([(claims[name].decode(), name.decode()) for name in sorted(claims)])
        return [(tenant, brief) for tenant, brief in found if brief.published]  # one may have been withdrawn since

    async def write(self, owner: Owner, character: Character, expected: str | None) -> Written:
        """Store one, with its claim on the id where it is published."""
        published = int(character.published)
        args: list[str | int] = [character.id, owner.tenant, expected or "", character.model_dump_json(), published]
        args.append(Brief.of(character).model_dump_json())
        with told():
            outcome: bytes = await self._write(keys=keys_of(owner), args=args)
        return OUTCOMES[outcome]

    async def delete(self, owner: Owner, character_id: str, expected: str) -> bool:
        """Remove one, and its claim."""
        with told():
            return bool(await self._delete(keys=keys_of(owner), args=[character_id, owner.tenant, expected]))

    async def _whole(self, tenant: str, stored: bytes) -> StoredCharacter:
        """Read a record of any version."""
        revision = hashlib.sha1(stored, usedforsecurity=False).hexdigest()
        return StoredCharacter(await self._records.read(stored), tenant, revision)

    async def _briefs(self, places: Sequence[tuple[str, str]]) -> Sequence[tuple[str, Brief]]:
        """Return the briefs of what is there, each behind its tenant; what has none of its own is read whole."""
        briefs = {place: Brief.model_validate_json(brief) for place, brief in (await self._stored(places)).items()}
        for one in await self.some([place for place in places if place not in briefs]):
            brief = briefs[one.tenant, one.character.id] = Brief.of(one.character)
            keys = keys_of(Owner(one.tenant))[::2]
            with told():
                await self._renew(keys=keys, args=[one.character.id, one.revision, brief.model_dump_json()])
        return [(place[0], briefs[place]) for place in places if place in briefs]

    async def _stored(self, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """Return the briefs that are of what is stored now.

        One script after the other, since Redis answers nobody else between those that are sent together.
        """
        fresh: dict[tuple[str, str], bytes] = {}
        for tenant, names in by_tenant(places).items():
            unsure: list[tuple[str, int]] = []
            for first in range(0, len(names), AT_ONCE):
                some = names[first : first + AT_ONCE]
                for name, (length, brief) in zip(some, await self._asked(self._look, tenant, some), strict=True):
                    if brief and self._seen.lately((tenant, name), length, brief[:REVISION]):
                        fresh[tenant, name] = brief[REVISION:]
                    elif brief and length:
                        unsure.append((name, length))
            for some in by_bytes(unsure, HASHED_AT_ONCE):
                for name, found in zip(some, await self._asked(self._proven, tenant, some), strict=True):
                    if found:
                        length, brief = found
                        self._seen.keep((tenant, name), length, brief[:REVISION])
                        fresh[tenant, name] = brief[REVISION:]
        return fresh

    async def _asked(self, script: Any, tenant: str, names: Sequence[str]) -> Any:
        """Return what a script says of some characters of a tenant."""
        with told():
            return await script(keys=keys_of(Owner(tenant))[::2], args=names)

    async def _records_of(self, places: Sequence[tuple[str, str]]) -> Sequence[bytes | None]:
        """Read characters as they are stored, all in one go."""
        wanted = by_tenant(places)
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, names in wanted.items():
                    pipe.hmget(home(Owner(tenant)), names)
                answers = await pipe.execute()
        found = {
            (tenant, name): one
            for (tenant, names), answer in zip(wanted.items(), answers, strict=True)
            for name, one in zip(names, answer, strict=True)
        }
        return [found[place] for place in places]


OUTCOMES: Final[dict[bytes, Written]] = {b"done": "done", b"stale": "stale", b"taken": "taken"}


def home(owner: Owner) -> str:
    """Name a tenant's hash."""
    return key(owner.shared, "characters")


def keys_of(owner: Owner) -> list[str]:
    """Name what a write touches: characters, claims, briefs."""
    return [home(owner), CLAIMS, key(owner.shared, "briefs")]


def by_bytes(sized: Sequence[tuple[str, int]], most: int) -> Iterator[list[str]]:
    """Part names so that no part with more than one of them is of more bytes than that."""
    part: list[str] = []
    held = 0
    for name, size in sized:
        if part and held + size > most:
            yield part
            part, held = [], 0
        part.append(name)
        held += size
    if part:
        yield part


def by_tenant(places: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Sort ids by their tenant."""
    sorted_out: dict[str, list[str]] = {}
    for tenant, name in places:
        sorted_out.setdefault(tenant, []).append(name)
    return sorted_out
