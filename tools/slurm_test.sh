#!/usr/bin/env bash
# Test on a Slurm cluster, with one process per GPU.
#
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [ARGUMENTS OF tools/test.py]
#
# The environment variables are those of tools/srun.sh.
set -euo pipefail
partition=${1:?PARTITION} job=${2:?JOB_NAME} config=${3:?CONFIG} checkpoint=${4:?CHECKPOINT} tools=$(dirname "$0")
exec bash "$tools/srun.sh" "$partition" "$job" "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "${@:5}"
