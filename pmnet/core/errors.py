"""The one kind of error that is the user's to mend."""


class InputError(ValueError):
    """A file, key or value that the user can mend: the message names it, what was expected and what to do."""
