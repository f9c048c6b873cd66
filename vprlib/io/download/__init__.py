"""Download published files: resume, verify against checksums, and unpack archives safely."""
