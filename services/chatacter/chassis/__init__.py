"""How any service runs: settings, errors, auth, limits, streams, health, telemetry, logs, plugins, application."""
