"""Fixtures that several of these modules use."""

from tests.card_shelf.door import keeper
from tests.media_rig import rig, rooms
from tests.studio import studio
from tests.summing_office import new_office
from tests.two_tenants import ann, door, eve, home

__all__ = ["ann", "door", "eve", "home", "keeper", "new_office", "rig", "rooms", "studio"]
