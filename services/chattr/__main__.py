"""`python -m chattr`: Chattr as a process."""

from chatacter.chassis.server import serve
from chattr.app import create_app
from chattr.settings import ChattrSettings

if __name__ == "__main__":
    settings = ChattrSettings.read()
    serve(lambda: create_app(settings), settings)
