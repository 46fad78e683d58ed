"""Metrics: how good answers and reports are."""
