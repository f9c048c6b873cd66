"""The interface to Snakemake: paths, params, input files, targets, and the record of what a job used.

Nothing here imports Snakemake; its objects are handed in.
"""
