"""Files: atomic writes, locks, fingerprints, and downloads."""
