#!/bin/bash
# Debian's SLURM, for the tests in this folder. Nothing is started. Says `skipped` where it cannot be installed.
set -euo pipefail
if command -v munged mariadbd slurmdbd slurmctld slurmd sbatch sacctmgr > /dev/null; then
  exit
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo skipped
  exit
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # no service is started
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurm-wlm munge slurmdbd mariadb-server > /dev/null
