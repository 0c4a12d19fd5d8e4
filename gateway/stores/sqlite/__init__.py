"""The ports on one SQLite file, written by one thread."""
