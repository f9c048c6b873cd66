"""What several tests share: tiny networks and data, local servers, Snakemake processes."""
