"""The page `index.html`: tables, curves and bodies to turn in one file that needs no network.

`predicting` makes the samples that the page shows, `document` writes the page, `assets/` holds its parts.
"""
