"""A recipe: YAML with places, into parts and options, checked before anything runs. Private."""
