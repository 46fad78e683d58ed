"""From data to weighted pairs: read, localize, disprefer, score, weigh. Private."""
