#!/usr/bin/env bash
# Test on several GPUs of one or more machines, or on several CPU processes (gloo) without a GPU.
#
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [ARGUMENTS OF tools/test.py]
#
# The environment variables are those of tools/torchrun.sh.
set -euo pipefail
config=${1:?CONFIG} checkpoint=${2:?CHECKPOINT} processes=${3:?number of processes} tools=$(dirname "$0")
exec bash "$tools/torchrun.sh" "$processes" "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "${@:4}"
