"""Running one service as a process: address, drain, and the sentences for what stops it from starting."""

import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from chatacter.chassis import logs
from chatacter.chassis.drain import Drain
from chatacter.chassis.errors import ChatacterError
from chatacter.chassis.settings import ServiceSettings

logger = logging.getLogger(__name__)


def serve(create_app: Callable[[], FastAPI], settings: ServiceSettings) -> None:
    """Serve until SIGTERM or Ctrl-C, then let running requests finish. Ends the process with a sentence on failure.

    After SIGTERM the status is 0: uvicorn raises the signal again when it has stopped, and the first process of a
    container would not even hear it before uvicorn listens.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logs.configure(settings)
    try:
        listener = bound(settings.host, settings.port)
        app = create_app()
    except ChatacterError as error:
        sys.exit(error.message)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace)),
    )
    server = Draining(config, app.state.drain)
    logging.getLogger("uvicorn.error").addFilter(lambda _: app.state.failure is None)
    try:
        with listener:
            server.run(sockets=[listener])
    except SystemExit:  # uvicorn's own, with a number where there is a sentence
        if app.state.failure is None:
            raise
    if app.state.failure is not None:
        sys.exit(app.state.failure)


class Draining(uvicorn.Server):
    """Tells the application when its end begins: no new connections are taken from then on."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and let what runs come to its end."""
        self._drain.begin()
        await super().shutdown(sockets)


def bound(host: str, port: int) -> socket.socket:
    """Bind before anything is loaded; `::` takes IPv4 too. Ends the process when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"Port {port} is in use. Stop what uses it, or set PORT to another.")
        sys.exit(f"Cannot listen on {host}:{port}: {error.strerror}.")
    return listener
