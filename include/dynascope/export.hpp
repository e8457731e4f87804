// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// Marks what the shared libraries export; everything else is hidden.
///
/// `DYNASCOPE_RUNFILE_API` belongs to the library dynascope_runfile (no LibTorch), `DYNASCOPE_API` to dynascope.
#if defined(DYNASCOPE_STATIC) || !defined(__GNUC__)
#define DYNASCOPE_API
#define DYNASCOPE_RUNFILE_API
#else
#define DYNASCOPE_API __attribute__((visibility("default")))
#define DYNASCOPE_RUNFILE_API __attribute__((visibility("default")))
#endif
