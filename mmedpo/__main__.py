"""Let `python -m mmedpo` and `accelerate launch -m mmedpo` be the command."""

from mmedpo.cli.main import main

if __name__ == "__main__":
    main()
