"""Where jobs compute: devices, threads, process groups, the nodes of a SLURM job."""
