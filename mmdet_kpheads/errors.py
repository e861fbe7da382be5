"""What the user can mend."""


class InputError(ValueError):
    """A config, file or data set is not as it must be; the message says what and where."""
