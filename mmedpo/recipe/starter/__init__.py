"""A first recipe: what lies here, what can be done with it offline, and the lines that say so."""
