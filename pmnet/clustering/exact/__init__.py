"""The certified search: exact nearest centres at a fraction of the work of brute force."""
