# SPDX-License-Identifier: BSD-3-Clause
"""An HDF5 file of unknown origin, for reading: kinds, ranks and sizes are checked before use, links lead nowhere but to
the file itself, and nothing is read that the file cannot hold."""

from __future__ import annotations

import os
import stat
import struct
from typing import Any, NoReturn

import h5py
import numpy
import numpy.typing

from .error import Error

try:
    import fcntl
except ImportError:  # a system without the locks that the writer's mark is made of
    fcntl = None  # type: ignore[assignment]

Array = numpy.typing.NDArray[Any]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LARGEST_COMPRESSION = 1100  # the best that HDF5's deflate filter does
_UNWRITTEN_BYTES = 1 << 20  # fill values that were never written take no room in the file


def _open_regular(path: str) -> int:
    # Without O_NONBLOCK a named pipe would wait for someone to write to it.
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Error(f"cannot open {path}: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Error(f"cannot open {path}: it is no regular file")
    return descriptor


class InputFile:
    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = _open_regular(path)
        try:
            if self._superblock()[:8] != _SIGNATURE:
                raise Error(f"{path} is no HDF5 file")
            self.live = self.marked_open()
            self.file = self._open()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _open(self) -> Any:
        # A writer may have opened the file since its mark was read.
        for live in [True] if self.live else [False, True]:
            try:
                file = h5py.File(self.path, "r", libver="latest", swmr=live)
            except OSError as error:
                reason = error
                continue
            self.live = live
            return file
        raise Error(f"cannot open {self.path}: {' '.join(str(reason).split())}") from reason

    def close(self) -> None:
        self.file.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _superblock(self) -> bytes:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.read(self._descriptor, 12)

    def marked_open(self) -> bool:
        """What the file says now about being open for writing: the disk, not HDF5's memory of it."""
        block = self._superblock()
        return len(block) == 12 and block[8] >= 3 and block[11] & 5 != 0

    def has_writer(self) -> bool:
        """A process holds the mark of src/runfile/life_mark.hpp; True where the system cannot tell."""
        command = getattr(fcntl, "F_OFD_GETLK", None)
        if command is None:
            return True
        free = 2  # F_UNLCK of Linux, the one system with these locks that h5py runs on
        question = struct.pack("hh4xqqi4x", fcntl.F_WRLCK, os.SEEK_SET, (2**63 - 1) // 2, 1, 0)
        try:
            answer = fcntl.fcntl(self._descriptor, command, question)
        except OSError:
            return True
        return bool(struct.unpack_from("h", answer)[0] != free)

    def refuse(self, what: str) -> NoReturn:
        raise Error(" ".join(f"{self.path}: {what}".split("\n")))

    def has(self, path: str) -> bool:
        at = self.file
        for name in path.strip("/").split("/"):
            if not isinstance(at, h5py.Group) or not isinstance(at.get(name, getlink=True), h5py.HardLink):
                return False
            at = at[name]
        return True

    def _linked(self, path: str) -> Any:
        if not self.has(path):
            self.refuse(f"there is no {path} in this file")
        return self.file[path]

    def group(self, path: str) -> Any:
        found = self._linked(path)
        if not isinstance(found, h5py.Group):
            self.refuse(f"{path} must be a group")
        return found

    def names(self, path: str) -> list[str]:
        """Names in a group, in the order of creation where the file tells it."""
        group = self.group(path)
        known = group.id.get_create_plist().get_link_creation_order() & h5py.h5p.CRT_ORDER_INDEXED
        found: list[str] = []
        group.id.links.iterate(
            lambda name: found.append(name.decode("utf-8", "replace")),
            idx_type=h5py.h5.INDEX_CRT_ORDER if known else h5py.h5.INDEX_NAME)
        return found

    def dataset(self, path: str, rank: int | None = None, row: tuple[int, ...] | None = None) -> Any:
        """A dataset of this rank, or one whose rows have the shape `row`."""
        found = self._linked(path)
        if not isinstance(found, h5py.Dataset):
            self.refuse(f"{path} must be a dataset")
        if self.live:
            found.refresh()
        if found.external or found.is_virtual:
            self.refuse(f"{path} keeps its data outside this file, which a run file does not")
        if found.dtype.kind not in "iufS":
            self.refuse(f"{path} must hold numbers or fixed-length strings")
        if row is not None:
            rank = len(row) + 1
        if rank is not None and len(found.shape) != rank:
            self.refuse(f"{path} must have {rank} axes, got {len(found.shape)}")
        if row is not None and found.shape[1:] != tuple(row):
            self.refuse(f"the rows of {path} are not of the shape that the file's layers tell")
        return found

    def check_size(self, path: str, size: int, filtered: bool) -> None:
        held = os.fstat(self._descriptor).st_size
        if size > _UNWRITTEN_BYTES and size > held * (_LARGEST_COMPRESSION if filtered else 1):
            self.refuse(f"{path} claims {size} bytes, more than a file of {held} bytes can hold")

    def rows(self, dataset: Any, first: int, count: int, integers: bool = False) -> Array:
        """Rows `first` to `first + count - 1`, in the type that the file has them in."""
        path = dataset.name
        kind = dataset.dtype.kind
        if kind == "S" or (integers and kind not in "iu"):
            self.refuse(f"{path} must hold {'integers' if integers else 'numbers'}")
        extent = dataset.shape[0]
        if first > extent or count > extent - first:
            self.refuse(f"{path} has {extent} rows, too few for rows {first} to {first + count} (exclusive)")
        values = count
        for size in dataset.shape[1:]:
            values *= size
        self.check_size(path, values * dataset.dtype.itemsize, dataset.chunks is not None and bool(dataset._filters))
        read: Array = dataset[first:first + count]
        return read

    def all(self, path: str, rank: int, integers: bool = False) -> Array:
        dataset = self.dataset(path, rank)
        return self.rows(dataset, 0, dataset.shape[0], integers)

    def number(self, path: str) -> int:
        dataset = self.dataset(path, 0)
        if dataset.dtype.kind not in "iu":
            self.refuse(f"{path} must hold integers")
        return int(dataset[()])

    def strings(self, path: str, count: int | None = None) -> list[str]:
        dataset = self.dataset(path, 1)
        count = dataset.shape[0] if count is None else count
        if dataset.dtype.kind != "S" or count > dataset.shape[0]:
            self.refuse(f"{path} must be a list of at least {count} fixed-length strings")
        self.check_size(path, count * dataset.dtype.itemsize, bool(dataset._filters))
        return [plain(value) for value in dataset[:count]]

    def text(self, at: Any, where: str, name: str) -> str | None:
        """A text attribute of the object `at`, which messages call `where`."""
        if name not in at.attrs:
            return None
        kind = at.attrs.get_id(name)
        if kind.dtype.kind != "S" or numpy.prod(kind.shape or (1,)) != 1:
            self.refuse(f"attribute {name} of {where} must be one fixed-length string")
        return plain(numpy.ravel(at.attrs[name])[0])

    def required_text(self, at: Any, where: str, name: str) -> str:
        found = self.text(at, where, name)
        if found is None:
            self.refuse(f"{where} has no attribute {name}")
        return found

    def integers(self, at: Any, where: str, name: str) -> tuple[int, ...]:
        if name not in at.attrs:
            self.refuse(f"{where} has no attribute {name}")
        kind = at.attrs.get_id(name)
        if kind.dtype.kind not in "iu" or len(kind.shape or ()) > 1:
            self.refuse(f"attribute {name} of {where} must be integers")
        return tuple(int(value) for value in numpy.ravel(at.attrs[name]))


def plain(value: Any) -> str:
    return bytes(value).split(b"\0")[0].decode("utf-8", "replace")
