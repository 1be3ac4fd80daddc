"""Fixtures that several of these modules use."""

from tests.media_rig import rig, rooms
from tests.studio import studio

__all__ = ["rig", "rooms", "studio"]
