"""From weighted pairs to batches: encoded, split, ordered, laid out as rows or as token trees. Private."""
