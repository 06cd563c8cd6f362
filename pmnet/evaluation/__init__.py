"""Errors of every test sample under a stated protocol."""
