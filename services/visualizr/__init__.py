"""Visualizr: video."""
