"""A recipe as it is written: YAML with places, changed from outside, its mistakes told by line. Private."""
