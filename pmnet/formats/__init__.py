"""Readers of foreign files: nothing in a file is ever run."""
