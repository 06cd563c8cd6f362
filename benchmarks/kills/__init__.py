"""Runs that are killed at random must end with the bytes of undisturbed ones."""
