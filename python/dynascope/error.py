# SPDX-License-Identifier: BSD-3-Clause
"""The one kind of exception that reading a run raises on purpose."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Error(RuntimeError):
    """What was expected, what was got, and where: one line that opens with the file's path."""


# Whatever h5py and numpy raise about a broken file; programming errors (NameError, ...) stay what they are.
_TROUBLE = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, IndexError, SystemError)


@contextlib.contextmanager
def in_file(path: str) -> Iterator[None]:
    """Whatever goes wrong inside is one Error that tells the path."""
    try:
        yield
    except Error:
        raise
    except MemoryError as error:
        raise Error(f"{path}: there is not enough memory to read it") from error
    except _TROUBLE as error:
        raise Error(f"{path}: it cannot be read: {' '.join(str(error).split())}") from error
