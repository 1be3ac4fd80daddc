"""`python -m chattr.ui`: the page as a process of its own, before the API at `CHATTR__URL`."""

from chatacter.chassis.server import serve
from chattr.ui.app import create_app
from chattr.ui.settings import UiSettings

if __name__ == "__main__":
    settings = UiSettings.read()
    serve(lambda: create_app(settings), settings)
