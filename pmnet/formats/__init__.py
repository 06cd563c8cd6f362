"""Readers of the files of others: nothing in a file is ever run."""
