"""The stages in order, variants and seeds of them, and what they can cost. Private."""
