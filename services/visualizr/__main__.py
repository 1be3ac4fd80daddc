"""`python -m visualizr`: video on port 8002."""

from chatacter.chassis.server import serve
from visualizr.app import create_app
from visualizr.settings import VisualizrSettings


def main() -> None:
    """Serve until told to stop."""
    settings = VisualizrSettings.read()
    serve(lambda: create_app(settings), settings)


if __name__ == "__main__":
    main()
