"""Pairs, adapters and models as other tools load them, and the cards beside them. Private."""
