"""The error of everything that a user can correct."""


class InputError(ValueError):
    """A wrong file, key or value; the message names it, what was expected, and what to do."""
