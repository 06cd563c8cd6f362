"""Recordings of markers and joints: what is fitted before it becomes samples."""
