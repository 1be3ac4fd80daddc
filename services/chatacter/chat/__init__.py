"""`chatacter chat`: talking with a character in a terminal. A client of the public API, like any other."""
