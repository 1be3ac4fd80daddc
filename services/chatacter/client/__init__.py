"""A client of the public API, for those who talk with characters: the command line and the page.

It knows what stands on the wire (`contracts`) and nothing of any service.
"""
