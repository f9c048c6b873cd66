"""The commands of the command line, one file each: its arguments, their checks before anything slow, and its output."""
