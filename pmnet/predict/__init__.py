"""Prediction for users: pictures in, bodies, meshes and overlays out (`pmnet predict`)."""
