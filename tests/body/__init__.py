"""A package, so that its test_files.py is not taken for the one above."""
