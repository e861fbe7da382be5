#!/usr/bin/env bash
# Train on a Slurm cluster, with one process per GPU.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARGUMENTS OF tools/train.py]
#
# The environment variables are those of tools/srun.sh. MAX_RESTARTS above 0 adds --resume.
set -euo pipefail
partition=${1:?PARTITION} job=${2:?JOB_NAME} config=${3:?CONFIG} tools=$(dirname "$0")
[[ ${MAX_RESTARTS:-0} == 0 ]] || set -- "${@:1:3}" --resume "${@:4}"
exec bash "$tools/srun.sh" "$partition" "$job" "$tools/train.py" "$config" --launcher pytorch "${@:4}"
