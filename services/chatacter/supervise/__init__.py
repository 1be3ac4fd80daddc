"""`chatacter up`: everything on this machine, as real processes that are started, watched and stopped together."""
