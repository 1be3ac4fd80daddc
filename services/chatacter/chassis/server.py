"""Running one service as a process: address, drain, and the sentences for what stops it from starting."""

import errno
import logging
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from chatacter.chassis import logs
from chatacter.chassis.errors import ChatacterError
from chatacter.chassis.settings import ServiceSettings

logger = logging.getLogger(__name__)


def serve(create_app: Callable[[], FastAPI], settings: ServiceSettings) -> None:
    """Serve until SIGTERM or Ctrl-C, then let running requests finish. Ends the process with a sentence on failure."""
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
    server = uvicorn.Server(config)
    logging.getLogger("uvicorn.error").addFilter(lambda _: app.state.failure is None)
    try:
        with listener:
            server.run(sockets=[listener])
    except SystemExit:  # uvicorn's own, with a number where there is a sentence
        if app.state.failure is None:
            raise
    if app.state.failure is not None:
        sys.exit(app.state.failure)


def bound(host: str, port: int) -> socket.socket:
    """Bind before anything is loaded. Ends the process when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"Port {port} is in use. Stop what uses it, or set PORT to another.")
        sys.exit(f"Cannot listen on {host}:{port}: {error.strerror}.")
    return listener
