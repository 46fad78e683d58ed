"""Heat maps on a film: the region that is hot."""
