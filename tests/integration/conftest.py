"""Fixtures that several of these modules use."""

from tests.card_shelf.door import keeper
from tests.media_rig import rig, rooms
from tests.studio import studio
from tests.two_tenants import ann, door, eve, home

__all__ = ["ann", "door", "eve", "home", "keeper", "rig", "rooms", "studio"]
