"""Fixtures that several of these modules use."""

from tests.media_rig import rig, rooms
from tests.studio import studio
from tests.two_tenants import ann, door, eve, home

__all__ = ["ann", "door", "eve", "home", "rig", "rooms", "studio"]
