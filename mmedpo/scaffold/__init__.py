"""What `mmedpo plugins new` writes: the templates of a plugin's package, and what fills them in."""
