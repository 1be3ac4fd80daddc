"""Relier's side: the same task with its reliability on."""

import asyncio
import json
import sys

from job_ruler import Ruler
from relier import rl_task


@rl_task(queue="default", idempotent=True, hard_timeout=60, name="work")
async def work(job: str, seconds: float) -> str:
    ruler = Ruler()
    await asyncio.to_thread(ruler.began, job)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(ruler.ended, job)
    return job


async def order() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        said = json.loads(line)
        receipt = await work.apush(said["job"], said["seconds"])
        print(json.dumps({"id": receipt.id}), flush=True)


if __name__ == "__main__":
    asyncio.run(order())
