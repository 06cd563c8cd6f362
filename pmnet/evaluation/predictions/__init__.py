"""Predictions of any system: read, joined with the samples of a data set, checked, and measured."""
