"""The doors: HTTP and WebSocket in, use cases behind."""
