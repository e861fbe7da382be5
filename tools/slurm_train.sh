#!/usr/bin/env bash
# Train on a Slurm cluster, one task per GPU.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARGUMENTS OF tools/train.py]
#
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS are read from the environment.
set -euo pipefail
partition=${1:?PARTITION} job=${2:?JOB_NAME} config=${3:?CONFIG}
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
per_node=$((gpus < per_node ? gpus : per_node))
# shellcheck disable=SC2086  # SRUN_ARGS is several words
exec srun --partition "$partition" --job-name "$job" --gres "gpu:$per_node" --ntasks "$gpus" \
    --ntasks-per-node "$per_node" --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit 1 ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/train.py" "$config" --launcher slurm "${@:4}"
