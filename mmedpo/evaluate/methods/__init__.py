"""Methods that are compared: which runs are one, what they measured, and what the bootstrap draws of it."""
