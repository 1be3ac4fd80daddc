"""`python -m vocalizr`: speech on port 8001."""

from chatacter.chassis.server import serve
from vocalizr.app import create_app
from vocalizr.settings import VocalizrSettings


def main() -> None:
    """Serve until told to stop."""
    settings = VocalizrSettings.read()
    serve(lambda: create_app(settings), settings)


if __name__ == "__main__":
    main()
