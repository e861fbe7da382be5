#!/usr/bin/env bash
# Train on several GPUs of one or more machines, or on several CPU processes (gloo) without a GPU.
#
#   tools/dist_train.sh CONFIG PROCESSES [ARGUMENTS OF tools/train.py]
#
# The environment variables are those of tools/torchrun.sh. MAX_RESTARTS above 0 adds --resume.
set -euo pipefail
config=${1:?CONFIG} processes=${2:?number of processes} tools=$(dirname "$0")
[[ ${MAX_RESTARTS:-0} == 0 ]] || set -- "${@:1:2}" --resume "${@:3}"
exec bash "$tools/torchrun.sh" "$processes" "$tools/train.py" "$config" --launcher pytorch "${@:3}"
