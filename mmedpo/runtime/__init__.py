"""One run in progress: what its stages share, its processes, its signals. Private."""
