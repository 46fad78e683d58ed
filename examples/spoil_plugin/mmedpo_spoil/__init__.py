"""Pairs of known worth, for studies of what scores and weights can do."""
