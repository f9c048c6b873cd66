"""Devices, threads, process groups and SLURM nodes that jobs compute on."""
