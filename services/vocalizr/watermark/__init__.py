"""An inaudible mark in the sound itself, which stays when metadata is stripped: put in as it is spoken, found again."""
