"""The errors of many runs packed into small files, and compared in pairs."""
