"""Losses: what training lessens of each pair."""
