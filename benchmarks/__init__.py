"""Measurements: each module is one command that writes what it measured to a file."""
