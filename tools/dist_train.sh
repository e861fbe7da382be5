#!/usr/bin/env bash
# Train on several GPUs of one or more machines, or on several CPU processes (gloo) without a GPU.
#
#   tools/dist_train.sh CONFIG PROCESSES [ARGUMENTS OF tools/train.py]
#
# On several machines, set NNODES, NODE_RANK, MASTER_ADDR and, if port 29500 is in use, MASTER_PORT.
set -euo pipefail
config=${1:?CONFIG} processes=${2:?number of processes}
exec torchrun --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "$processes" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${MASTER_PORT:-29500}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "${@:3}"
