"""Who worked on which job, and when: written by the workers of every job system into a Redis of the benchmark's own.

A module without imports of ours: the peers' Python has none of it.
"""

import os
import time

import redis

BEGAN = "ruler:began"
ENDED = "ruler:ended"


class Ruler:
    """Notes of one worker."""

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(os.environ["RULER_URL"])
        self._worker = os.environ["WORKER"]

    def began(self, job: str) -> None:
        self._redis.rpush(BEGAN, f"{job} {self._worker} {time.time()}")

    def ended(self, job: str) -> None:
        self._redis.rpush(ENDED, f"{job} {self._worker} {time.time()}")
