"""Fits of bodies to markers and joints beside their peers."""
