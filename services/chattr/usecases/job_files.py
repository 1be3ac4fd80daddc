"""What is stored for a job, by name: the files that came with it, and for each lease what it has made.

No lease overwrites what another made, and whoever removes a job finds all of it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, cast

from chattr.ports.jobs import Job, Modality

RENDITIONS: Final = ("thumbnail", "spritesheet", "preview")
NAME: Final = re.compile(
    r"((?P<modality>video|speech)_[0-9a-f]{32})-(?:(?P<fence>\d+)(?:-[a-z]+)?|image|sound|source|text)"
)


def made_id(job_id: str, fence: int) -> str:
    """Name what one lease makes: a film, or speech."""
    return f"{job_id}-{fence}"


def rendition_id(job_id: str, fence: int, variant: str) -> str:
    """Name a small form of the film that one lease makes."""
    return f"{job_id}-{fence}-{variant}"


def image_id(job_id: str) -> str:
    """Name the picture that a job films."""
    return f"{job_id}-image"


def sound_id(job_id: str) -> str:
    """Name the sound that a job brings."""
    return f"{job_id}-sound"


def source_id(job_id: str) -> str:
    """Name the film that a job makes another one from."""
    return f"{job_id}-source"


def text_id(job_id: str) -> str:
    """Name the text that a job speaks."""
    return f"{job_id}-text"


def made_by(job_id: str, fence: int) -> Iterator[str]:
    """Name all that one lease may have made."""
    yield made_id(job_id, fence)
    yield from (rendition_id(job_id, fence, variant) for variant in RENDITIONS)


def files_of(job_id: str, fences: Iterable[int]) -> Iterator[str]:
    """Name what came with a job, and all that those leases may have made."""
    yield from (image_id(job_id), sound_id(job_id), source_id(job_id), text_id(job_id))
    for each in fences:
        yield from made_by(job_id, each)


def job_of_file(name: str) -> str | None:
    """Return the id of the job that a file belongs to; None for files of another kind."""
    found = NAME.fullmatch(name)
    return found[1] if found else None


def modality_of_file(name: str) -> Modality | None:
    """Return the kind of job that a file belongs to; None for files of another kind."""
    found = NAME.fullmatch(name)
    return cast(Modality, found["modality"]) if found else None


def is_made(name: str) -> bool:
    """Whether a file was made by a job, and did not come with it."""
    found = NAME.fullmatch(name)
    return found is not None and found["fence"] is not None


def is_of_use(name: str, job: Job) -> bool:
    """Whether a job still needs a file of it: what came with it and what it published; while it runs, everything."""
    found = NAME.fullmatch(name)
    if found is None or found["fence"] is None or job.result is None:
        return True
    return name == job.result.get("asset") or name in job.result.get("renditions", {}).values()
