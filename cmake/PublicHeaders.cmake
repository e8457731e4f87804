# SPDX-License-Identifier: BSD-3-Clause
# The public headers, by the library they need. Whoever adds one writes it here; the check below notices a forgotten one.
set(DYNASCOPE_RUNFILE_HEADERS
    callback_list
    error
    export
    hdf5_sink
    memory_sink
    metric_options
    monitor_options
    monitor_status
    option
    progress_bar
    recover
    row_layout
    run_description
    run_file
    sink
    training_callback)
set(DYNASCOPE_TORCH_HEADERS
    dynascope
    metrics
    module_ref
    monitor
    network
    network_builder
    trace
    training_loop)
