"""Finds identifiers of people, and keys, in what a run wrote."""
