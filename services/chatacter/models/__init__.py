"""Model files on disk: which there are (`models.lock`), where they come from, and where they lie."""

from chatacter.models.lock import Lock
from chatacter.models.store import ModelStore

__all__ = ["Lock", "ModelStore"]
