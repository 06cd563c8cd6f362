"""Fitting: bodies from markers, joints and their projections."""
