"""`pmnet check`: what lies below a folder, what is wrong with it, and what to do."""
