"""Commands, and what a person sees of them. Private."""
