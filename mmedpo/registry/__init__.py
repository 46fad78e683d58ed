"""Parts: the contracts of their kinds, how plugins are found, and how what they say and return is checked. Private."""
