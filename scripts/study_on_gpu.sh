#!/usr/bin/env bash
# Carry out the study on harder films (examples/studies/hard.yaml) on a machine with one GPU: no network, twelve minutes.
#   scripts/study_on_gpu.sh [FOLDER]                            # runs/study_on_gpu, unless another folder is named
#   scripts/study_on_gpu.sh FOLDER --device cpu --size tiny     # the same steps where there is no GPU
#   scripts/study_on_gpu.sh "$OUT" --minutes 9.5                # where a command may not take twelve: the next goes on
# Base and runs lie in runs/study/hard unless --work names a folder; JSON, log and table in FOLDER.
# Packages that the machine lacks are taken from .wheels/, which scripts/gpu_wheels.sh fills.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" scripts/on_gpu --study "$@"
