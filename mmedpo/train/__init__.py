"""From weighted pairs to an adapter. Private."""
