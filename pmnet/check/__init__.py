"""`pmnet check`: the data sets below a folder, what is wrong with them, and what to do."""
