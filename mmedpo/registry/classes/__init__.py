"""What a plugin offers: the class behind its hook, held to its contract before anything is made of it."""
