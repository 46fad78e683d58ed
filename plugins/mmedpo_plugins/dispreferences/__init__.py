"""Dispreferences: the answers and films that are made to be rejected."""
