#!/bin/bash
# Debian's SLURM, for the tests in this folder. Nothing is started. Where it cannot be installed it says so, which is
# no failure: the tests are skipped then.
set -uo pipefail
installed() { command -v munged mariadbd slurmdbd slurmctld slurmd sbatch sacctmgr | wc -l; }
if [ "$(installed)" != 7 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # no service is started
  apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge slurmdbd mariadb-server > /dev/null
fi
[ "$(installed)" = 7 ] || echo "Debian's SLURM cannot be installed here: its tests are skipped"
