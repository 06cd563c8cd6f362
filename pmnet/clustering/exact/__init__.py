"""The certified search: the nearest centre of float64, found at a fraction of the work."""
