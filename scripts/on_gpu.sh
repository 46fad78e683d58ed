#!/usr/bin/env bash
# Try mmedpo on a machine with a GPU and measure it: no network, at most eight minutes, one JSON, one log, a table last.
#   scripts/on_gpu.sh [FOLDER]                            # runs/on_gpu, unless another folder is named
#   scripts/on_gpu.sh FOLDER --device cpu --size tiny     # the same steps where there is no GPU
# Packages that the machine lacks are taken from .wheels/, which scripts/gpu_wheels.sh fills.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" scripts/on_gpu "$@"
