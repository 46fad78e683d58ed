"""What `check_part` holds a part to: a module of named checks for each kind, and what several kinds share."""
