# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/gpu_campaign consists of.

    place     where executables and libraries are, and what machine this is
    parts     what is run, in order of worth
    runner    runs parts within the time, and remembers
    readings  numbers out of logs
    compiled  the contender torch.compile, a program of its own
    targets   what the numbers should be
    table     campaign.md
    docs      the generated part of docs/gpu.md
"""
