"""Reads plain radiology English by rules: which findings a text states, how surely, where, how severe, since when."""
