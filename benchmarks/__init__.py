"""Measurements of the project beside its peers; not part of the package."""
