"""Settings that note which of their fields are read, and a service that runs with them.

`RECORDED_SERVICE=vocalizr RECORDED_INTO=seen.json python -m tests.recorded_settings` serves like `python -m vocalizr`
and writes, when it ends, the names of the fields that anything asked for. What the settings classes read of themselves
while they are checked does not count: a setting that only a validator looks at is not obeyed.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from chatacter.chassis.server import serve
from chatacter.chassis.settings import ServiceSettings
from chatacter.supervise.settings import LauncherSettings
from chattr.settings import ChattrSettings
from chattr.ui.settings import UiSettings
from visualizr.settings import VisualizrSettings
from vocalizr.settings import VocalizrSettings

CLASSES: dict[str, type[ServiceSettings]] = {
    "chattr": ChattrSettings,
    "chattr.dispatcher": ChattrSettings,
    "chattr.ui": UiSettings,
    "vocalizr": VocalizrSettings,
    "visualizr": VisualizrSettings,
    "launcher": LauncherSettings,
}


def fields(kind: type[BaseModel], prefix: str = "") -> set[str]:
    """Every field that must be obeyed, those of sections as `section.field`.

    A field that takes one value only need not be read: it refuses to start on any other, until that is built.
    """
    found = set()
    for name, field in kind.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found |= fields(section, f"{prefix}{name}.")
        elif get_origin(section) is not Literal or len(get_args(section)) > 1:
            found.add(f"{prefix}{name}")
    return found


def recorded(settings: BaseModel, seen: set[str], prefix: str = "") -> BaseModel:
    """Return a copy whose class is a subclass that adds the name of each field that is read to `seen`."""
    kind = type(settings)
    names = frozenset(kind.model_fields)

    def read(self: BaseModel, name: str) -> Any:
        if name in names:
            seen.add(prefix + name)
        return object.__getattribute__(self, name)

    spy = type(kind.__name__, (kind,), {"__getattribute__": read, "__module__": kind.__module__})
    values = {
        name: recorded(value, seen, f"{prefix}{name}.") if isinstance(value, BaseModel) else value
        for name, value in settings.__dict__.items()
    }
    return spy.model_construct(settings.model_fields_set, **values)


def run(service: str, settings: Any) -> int:
    """Run a service as its own `main` does."""
    if service == "launcher":
        up = importlib.import_module("chatacter.supervise.up")
        return int(up.run(settings))
    app = importlib.import_module("chattr.dispatcher.__main__" if service == "chattr.dispatcher" else f"{service}.app")
    serve(lambda: app.create_app(settings), settings)
    return 0


def main() -> None:
    service, into = os.environ["RECORDED_SERVICE"], Path(os.environ["RECORDED_INTO"])
    seen: set[str] = set()
    settings = recorded(CLASSES[service].read(), seen)
    seen.clear()
    # uvicorn hands SIGTERM on when it has stopped; end as a program does, so that what was seen is written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        code = run(service, settings)
    finally:
        into.write_text(json.dumps(sorted(seen)))
    sys.exit(code)


if __name__ == "__main__":
    main()
