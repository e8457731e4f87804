# SPDX-License-Identifier: BSD-3-Clause
"""Writes scikit-learn's 1,797 handwritten digits as IDX files, the format of MNIST.

The digits are real (NIST forms, 8 x 8 pixels) and come inside scikit-learn, so nothing is downloaded. Pixels 0 .. 16
are scaled to 0 .. 255. The split is fixed: 1,437 images to train and 360 to test, after a shuffle with seed 0.

    make_digits.py FOLDER
"""

import argparse
import pathlib
import struct

import numpy
from sklearn.datasets import load_digits

TRAIN = 1437
SEED = 0


def write_idx(path, array):
    """One IDX file of unsigned bytes: two zero bytes, type 8, number of axes, their sizes as big-endian int32."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}i", *array.shape)
    path.write_bytes(header + array.astype(numpy.uint8).tobytes())


def make_digits(folder):
    digits = load_digits()
    order = numpy.random.RandomState(SEED).permutation(len(digits.images))
    images = numpy.rint(digits.images * (255 / 16))[order]
    labels = digits.target[order]
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", slice(None, TRAIN)), ("t10k", slice(TRAIN, None))):
        write_idx(folder / f"{name}-images-idx3-ubyte", images[part])
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels[part])
    return len(images)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where to write the four files")
    arguments = parser.parse_args()
    print(f"{make_digits(arguments.folder)} digits in {arguments.folder}")
