"""Every exception that a user can see, and how it shows what the user wrote."""

from importlib.util import find_spec

_MOST = 1000  # characters of a message; names in it may have millions
_LAST = 300  # of them from its end, which says what is allowed


class InputError(ValueError):
    """The user's input is wrong; the message says where, what, and what is allowed.

    The command line prints it as one message and exits with code 2. It has one line, and no control
    character, whatever the user's names hold, and is cut in the middle where they are too long.
    """

    def __init__(self, message: str) -> None:
        if len(message) > _MOST:
            message = f"{message[: _MOST - _LAST - 1]}…{message[-_LAST:]}"
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


class ArgumentError(InputError, TypeError):
    """An argument of a Python function has a type that it cannot have."""


class KeyedError(InputError):
    """A key of a configuration file is at fault; the loader adds file and line."""

    def __init__(self, key: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.key = key


class DeadlockError(InputError):
    """The machine as configured can never finish; the message names the stuck stages."""


class MissingExtraError(InputError):
    """An optional dependency is needed; the message says which and how to install it."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{module}', which is not installed: "
            f"pip install 'accelsim[{extra}]', or in a clone: pip install -e '.[{extra}]'"
        )


def check_extra(module: str, extra: str) -> None:
    """Raise MissingExtraError unless a module of an optional dependency can be found."""
    try:
        found = find_spec(module)
    except (ImportError, ValueError):  # somebody sees to it that it cannot be
        found = None
    if found is None:
        raise MissingExtraError(module, extra)


def shown(value: object, most: int = 60) -> str:
    r"""Return a user's text for a message: on one line, and cut where it is long.

    >>> shown("two\nlines"), len(shown("long " * 100))
    ('two\\nlines', 60)
    """
    text = value if isinstance(value, str) else repr(value)
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
