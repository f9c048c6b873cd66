"""Mining of training tuples."""
