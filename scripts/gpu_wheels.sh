#!/usr/bin/env bash
# Download into .wheels/ the packages that a machine with a GPU lacks to run scripts/on_gpu.sh without a network.
# Run it where there is a network, in an environment that mmedpo is installed in; then carry .wheels/ with the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" scripts/on_gpu/wheels.py "$@"
