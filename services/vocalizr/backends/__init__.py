"""The speech backends that come with Vocalizr; others come by entry point."""
