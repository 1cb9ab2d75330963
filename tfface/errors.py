"""The errors a user can do something about; each carries one whole sentence that the command line prints as it is."""


class InputError(ValueError):
    """What was given can't be used: the message says what was expected, what came and what to do."""


class OutputError(OSError):
    """A result can't be written: the message names the file, the reason and what to do."""
