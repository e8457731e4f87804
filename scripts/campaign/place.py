# SPDX-License-Identifier: BSD-3-Clause
"""Where executables and libraries are, and what machine this is."""
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import subprocess

SCRIPTS = pathlib.Path(__file__).resolve().parents[1]
TORCH = "2.11"
FOLDERS = {"cuda_backend": "tests/cuda", "cuda_kernels": "tests/cuda", "cuda_kernels_device": "tests/cuda",
           "cuda_endurance": "tests/cuda", "cuda_remeasure": "tests/cuda", "engine": "tests/engine",
           "oracle": "tests/oracle", "bench_engine": "benchmarks/engine", "bench_overhead": "benchmarks/overhead",
           "dynascope-train": "bin", "dynascope": "bin"}


class Unusable(Exception):
    """The campaign cannot begin; the message says what to do."""


class Place:
    """A build tree, or a bundle's folder."""

    def __init__(self, root, bundled, commit, torch_folder):
        self.root = root
        self.bundled = bundled
        self.commit = commit
        self.torch_folder = torch_folder

    def executable(self, name):
        return self.root / ("bin" if self.bundled else FOLDERS[name]) / name

    def fingerprint(self):
        """Of all executables: a campaign goes on only with those that it began with."""
        digest = hashlib.sha256()
        for name in sorted(FOLDERS):
            path = self.executable(name)
            if path.is_file():
                digest.update(name.encode())
                with open(path, "rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        return digest.hexdigest()[:16]

    def torch_version(self):
        """Of the LibTorch that the executables load."""
        try:
            folder = self.torch_folder or torch_of_build(self.root)
            return re.search(r"__version__ = '([^']+)'", (folder / "version.py").read_text())[1]
        except (OSError, TypeError):
            return "unknown"

    def environment(self, device):
        environment = dict(os.environ, REQUIRE_GPU="1" if device == "cuda" else "0")
        if self.bundled:
            # Wheels that LibTorch needs lie beside it; a build tree's executables know their libraries.
            site = self.torch_folder.parent
            folders = [self.root / "lib", self.torch_folder / "lib", *sorted(site.glob("nvidia/*/lib")),
                       site / "cusparselt/lib", site / "nvshmem/lib", pathlib.Path("/usr/local/cuda/lib64")]
            known = [str(folder) for folder in folders if folder.is_dir()]
            environment["LD_LIBRARY_PATH"] = ":".join(known + [os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")
        return environment


def find(build):
    """The bundle that this script lies in, else the build tree."""
    bundled = build is None and (SCRIPTS / "revision").is_file()
    if bundled:
        return Place(SCRIPTS, True, (SCRIPTS / "revision").read_text().strip(), bundle_torch())
    root = (build or SCRIPTS.parent / "build" / "ci").resolve()
    if not root.is_dir():
        raise Unusable(f"needs a build tree, found none at {root}: run scripts/build ci, or name one with --build")
    return Place(root, False, commit_of(SCRIPTS.parent), None)


def bundle_torch():
    spec = importlib.util.find_spec("torch")  # found, not imported: its C++ libraries are all that is needed
    if spec is None or not spec.submodule_search_locations:
        raise Unusable("a bundle needs LibTorch from a Python environment, and this Python has no torch: "
                       f"run it with one that has torch {TORCH}")
    version = importlib.metadata.version("torch")
    if not version.startswith(TORCH + "."):
        raise Unusable(f"the bundle was built with torch {TORCH}, but this Python has {version}")
    return pathlib.Path(spec.submodule_search_locations[0])


def torch_of_build(root):
    found = re.search(r"^Torch_DIR:PATH=(.+)/share/cmake/Torch$", (root / "CMakeCache.txt").read_text(), re.MULTILINE)
    return pathlib.Path(found[1])


def commit_of(source):
    result = subprocess.run(["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
                            capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def tool(name):
    """Path of a CUDA tool, or None."""
    profilers = sorted(pathlib.Path("/opt/nvidia/nsight-compute").glob("*"), reverse=True)
    others = ["/usr/local/cuda/bin", *map(str, profilers)]
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *others]))


def query(fields):
    """What nvidia-smi says of the first GPU, field by field; None where there is none."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return None
    try:
        result = subprocess.run([smi, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
                                capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return None
    lines = result.stdout.strip().splitlines()
    if result.returncode != 0 or not lines:
        return None
    return dict(zip(fields, (value.strip() for value in lines[0].split(","))))


def processor():
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} processors"


def machine(device, torch):
    """What is measured on, for the record."""
    facts = {"processor": processor(), "torch": torch}
    if device == "host":
        return {"gpu": "none: kernels on the host stand-in", "driver": "none", **facts}
    fields = ["name", "driver_version", "memory.total", "clocks.max.sm", "clocks.max.memory", "power.limit"]
    found = query(fields)
    if found is None:
        raise Unusable("needs an NVIDIA GPU, but nvidia-smi shows none here; --device host runs the kernels' sources "
                       "on the stand-in instead")
    return {"gpu": found["name"], "driver": found["driver_version"], "memory_mib": found["memory.total"],
            "max_sm_mhz": found["clocks.max.sm"], "max_memory_mhz": found["clocks.max.memory"],
            "power_limit_w": found["power.limit"], **facts}
