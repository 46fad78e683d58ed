"""What is shared is computed once: token trees, the places of their tokens, attention over them. Private."""
