"""A fake for every port, held to the same contract suite as the real adapters."""
