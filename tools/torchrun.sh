#!/usr/bin/env bash
# Run torchrun with a rendezvous, for the scripts beside this one.
#
#   tools/torchrun.sh PROCESSES SCRIPT [ARGUMENTS]
#
# PROCESSES are started on this machine. For several machines, run the same command on each of them and set:
#   NNODES (1)               number of machines
#   MASTER_ADDR (127.0.0.1)  address of the machine that hosts the rendezvous
#   PORT (29500)             port of the rendezvous
#   NODE_RANK                0 on the machine of MASTER_ADDR, another number elsewhere; without it, torchrun looks whether
#                            MASTER_ADDR is a name of this machine
#   LOCAL_ADDR               address of this machine; needed if the other machines cannot resolve its host name
#   MAX_RESTARTS (0)         how often all processes are started again after one of them has failed
set -euo pipefail
processes=${1:?number of processes} nodes=${NNODES:-1}
[[ $nodes != 1 ]] || LOCAL_ADDR=${LOCAL_ADDR:-127.0.0.1}
options=(--nnodes "$nodes" --nproc-per-node "$processes" --max-restarts "${MAX_RESTARTS:-0}" --rdzv-backend c10d
    --rdzv-endpoint "${MASTER_ADDR:-127.0.0.1}:${PORT:-${MASTER_PORT:-29500}}")
[[ -z ${NODE_RANK:-} ]] || options+=(--rdzv-conf "is_host=$([[ $NODE_RANK == 0 ]] && echo 1 || echo 0)")
[[ -z ${LOCAL_ADDR:-} ]] || options+=(--local-addr "$LOCAL_ADDR")
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1  # else a machine that is replaced cannot rejoin (pytorch/pytorch#135712)
exec torchrun "${options[@]}" "${@:2}"
