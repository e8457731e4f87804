// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// The whole interface. On top of <torch/torch.h>, which a program that trains includes anyway, it costs little; alone
/// it pulls in LibTorch's module and tensor headers. Programs that only read runs include <dynascope/run_file.hpp>.

#include <dynascope/callback_list.hpp>
#include <dynascope/error.hpp>
#include <dynascope/hdf5_sink.hpp>
#include <dynascope/memory_sink.hpp>
#include <dynascope/metrics.hpp>
#include <dynascope/monitor.hpp>
#include <dynascope/network_builder.hpp>
#include <dynascope/progress_bar.hpp>
#include <dynascope/run_file.hpp>
#include <dynascope/schedule.hpp>
#include <dynascope/trace.hpp>
#include <dynascope/training_callback.hpp>
#include <dynascope/training_loop.hpp>
#include <dynascope/version.hpp>
