"""Let `python -m mmedpo` and `accelerate launch -m mmedpo` be the command."""

from mmedpo.cli import main

main()
