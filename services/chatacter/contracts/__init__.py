"""Models that cross a process boundary; the only thing that the services know of each other."""
