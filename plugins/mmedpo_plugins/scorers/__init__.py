"""Scorers: how clinically relevant a pair is."""
