"""Processes beside the run's own that do its slices, on Ray. Private."""
