"""A small server of OpenAI's videos API: jobs in memory, filmed by a backend, each answer judged by OpenAI's types."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import openai.types
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from visualizr.backend import Film, Picture, Shot, VideoBackend

POLL_AFTER = {"openai-poll-after-ms": "100"}


@dataclass
class Job:
    """A video job and the thread that films it."""

    id: str
    fields: dict[str, str]
    status: str = "queued"
    progress: int = 0
    film: Film | None = None
    error: dict[str, str] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def shown(self) -> dict[str, Any]:
        video = {
            "id": self.id,
            "object": "video",
            "created_at": int(time.time()),
            "model": self.fields["model"],
            "status": self.status,
            "progress": self.progress,
            "seconds": self.fields.get("seconds", "4"),
            "size": self.fields.get("size", "720x1280"),
            "error": self.error,
        }
        openai.types.Video.model_validate({**video, "size": "720x1280"}, strict=True)  # OpenAI's own made four sizes
        return video


class VideosServer:
    """Remembers what was ordered and removed. `failing` is what every film ends with."""

    def __init__(self, backend: VideoBackend, failing: dict[str, str] | None = None) -> None:
        self._backend = backend
        self._failing = failing
        self.jobs: dict[str, Job] = {}
        self.orders: list[tuple[dict[str, str], tuple[str, bytes] | None]] = []
        self.keys: list[str | None] = []
        self.stopped = threading.Event()
        """Set when work ended because its job was removed."""

    def _work(self, job: Job, picture: Picture | None) -> None:
        fields = job.fields
        width, height = map(int, fields.get("size", "64x64").split("x"))
        frames = fields.get("num_frames")
        shot = Shot(
            prompt=fields["prompt"],
            image=picture,
            sound=None,
            phonemes=(),
            width=width,
            height=height,
            fps=int(fields.get("fps", "25")),
            seed=int(fields.get("seed", "0")),
            output_format="mp4",
            frames=int(frames) if frames else None,
        )
        job.status = "in_progress"
        for piece in self._backend.film(shot, job.cancelled):
            if isinstance(piece, Film):
                job.film = piece
            else:
                job.progress = int(piece.done * 100)
        if job.film is None:
            self.stopped.set()
        elif self._failing:
            job.error, job.status = self._failing, "failed"
        else:
            job.progress, job.status = 100, "completed"

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/videos")
        async def create(request: Request) -> JSONResponse:
            self.keys.append(request.headers.get("authorization"))
            async with request.form() as form:
                fields = {name: value for name, value in form.items() if isinstance(value, str)}
                upload = form.get("input_reference")
                picture = None
                if isinstance(upload, UploadFile):
                    picture = Picture(str(upload.content_type), await upload.read())
            self.orders.append((fields, (picture.media_type, picture.data) if picture else None))
            job = Job(f"video_{uuid4().hex}", fields)
            self.jobs[job.id] = job
            threading.Thread(target=self._work, args=(job, picture), daemon=True).start()
            return JSONResponse(job.shown(), headers=POLL_AFTER)

        @app.get("/v1/videos/{name}")
        async def get(name: str) -> JSONResponse:
            return JSONResponse(self.jobs[name].shown(), headers=POLL_AFTER)

        @app.get("/v1/videos/{name}/content")
        async def content(name: str) -> Response:
            film = self.jobs[name].film
            assert film is not None
            return Response(film.data, media_type=film.media_type)

        @app.delete("/v1/videos/{name}")
        async def delete(name: str) -> dict[str, Any]:
            self.jobs.pop(name).cancelled.set()
            gone = {"id": name, "object": "video.deleted", "deleted": True}
            openai.types.VideoDeleteResponse.model_validate(gone, strict=True)
            return gone

        return app


@contextmanager
def standing(server: VideosServer) -> Iterator[str]:
    """Serve in a thread for the length of the block, for tests without an event loop; yields the base URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        running = uvicorn.Server(uvicorn.Config(server.app(), log_config=None, access_log=False))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()
