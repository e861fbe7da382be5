#!/usr/bin/env bash
# Start torchrun on each node of a Slurm job, for the scripts beside this one.
#
#   tools/srun.sh PARTITION JOB_NAME SCRIPT [ARGUMENTS]
#
# The rendezvous is on the first node. Environment variables:
#   GPUS (8)           number of GPUs in all
#   GPUS_PER_NODE (8)  of which one node has so many
#   CPUS_PER_TASK (5)  CPU cores per GPU
#   SRUN_ARGS          more arguments for srun
#   PORT               port of the rendezvous; computed from the job's number by default
#   MAX_RESTARTS (0)   how often all processes are started again after one of them has failed
set -euo pipefail
partition=${1:?PARTITION} job=${2:?JOB_NAME} tools=$(dirname "$0")
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
per_node=$((gpus < per_node ? gpus : per_node))
((gpus % per_node == 0)) || { echo "error: GPUS=$gpus is not a multiple of GPUS_PER_NODE=$per_node" >&2 && exit 2; }
export NNODES=$((gpus / per_node))
# shellcheck disable=SC2016,SC2086  # bash on the node expands the quoted words; SRUN_ARGS is several words
exec srun --partition "$partition" --job-name "$job" --nodes "$NNODES" --ntasks "$NNODES" --ntasks-per-node 1 \
    --gres "gpu:$per_node" --cpus-per-task $((${CPUS_PER_TASK:-5} * per_node)) --kill-on-bad-exit 1 ${SRUN_ARGS:-} \
    bash -euc '
        first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
        export MASTER_ADDR=$first PORT=${PORT:-$((20000 + SLURM_JOB_ID % 20000))} NODE_RANK=$SLURM_NODEID
        exec bash "$@"' bash "$tools/torchrun.sh" "$per_node" "${@:3}"
