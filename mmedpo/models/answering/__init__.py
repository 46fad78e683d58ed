"""Answers on token trees: questions about one image grow from it, samples from their question. Private."""
