"""The layouts of prediction files, one module each, recognised by what a file holds.

A module has `NAME`, `recognises(content)`, and `read(source, content)`, which returns `Predictions`.
"""
