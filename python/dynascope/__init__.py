# SPDX-License-Identifier: BSD-3-Clause
"""Reads and draws what Dynascope recorded while a network trained: node strengths and layer fluctuations."""

from __future__ import annotations

import os

from .description import (ConnectionInfo, Event, MetricOptions, NodeLayerInfo, ParameterInfo, RunDescription,
                          RunProvenance, SkippedInfo, WeightLayerInfo, escape_name, node_layer_path, weight_layer_path)
from .error import Error
from .run_file import RunFile, RunRows, expand

__version__ = "0.1.0"
__all__ = ["ConnectionInfo", "Error", "Event", "MetricOptions", "NodeLayerInfo", "ParameterInfo", "RunDescription",
           "RunFile", "RunProvenance", "RunRows", "SkippedInfo", "WeightLayerInfo", "escape_name", "expand",
           "node_layer_path", "open", "weight_layer_path"]


def open(path: str | os.PathLike[str]) -> RunFile:  # noqa: A001
    """Opens a run file for reading, whether it is finished, still growing, or was left behind by a killed process."""
    return RunFile(path)
