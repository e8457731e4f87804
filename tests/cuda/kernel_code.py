# SPDX-License-Identifier: BSD-3-Clause
"""Reads the machine code of the library's own kernels, for every architecture that they were built for, and fails when
one keeps anything in local memory (a stack frame, spilled registers), takes more registers than two blocks per
multiprocessor leave it, or when the main loops of the first pass lose their wide loads: sixteen of 128 bits for float32,
of 64 bits for bfloat16 and float16, in the loop that folds full rows (42 exchanges across the warp).

    python kernel_code.py CUOBJDUMP OBJECT...        (nvdisasm lies beside cuobjdump)
"""
import os
import re
import subprocess
import sys

MOST_REGISTERS = 128
EXCHANGES = 42
LOADS = 16
KERNELS = {"reduce": 2, "combine": 1, "nodes": 1}


def run(tool, *arguments):
    environment = dict(os.environ, PATH=os.path.dirname(tool) + os.pathsep + os.environ["PATH"])
    result = subprocess.run([tool, *arguments], env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{tool} {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def name_of(symbol):
    """The kernel's own name, and whether it is the instantiation that counts values in bins."""
    for kernel in KERNELS:
        if re.search(rf"\d{kernel}(I|E|\b|P|N|v)", symbol):
            return kernel, "ILb1E" in symbol
    return symbol, False


def usages(tool, path):
    """(symbol, registers, stack, local) of every kernel and architecture."""
    found = re.findall(r"Function (\S+):\s*REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", run(tool, "-res-usage", path))
    return [(symbol, int(registers), int(stack), int(local)) for symbol, registers, stack, local in found]


def code(tool, path):
    """(architecture, symbol, [(address, instruction)]) of every kernel and architecture."""
    functions = []
    architecture = "?"
    for line in run(tool, "-sass", path).splitlines():
        if match := re.match(r"\s*code for (sm_\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            functions.append((architecture, match[1], []))
        elif match := re.match(r"\s*/\*([0-9a-f]+)\*/\s+(.*?)\s*;", line):
            functions[-1][2].append((int(match[1], 16), match[2]))
    return functions


def opcode(instruction):
    return re.sub(r"^@!?U?P\w+\s+", "", instruction).split()[0]


def main_loops(instructions):
    """Opcodes of the innermost loops with a barrier and as many exchanges as the fold of full rows needs."""
    index = {address: i for i, (address, _) in enumerate(instructions)}
    opcodes = [opcode(instruction) for _, instruction in instructions]
    ranges = []
    for i, (_, instruction) in enumerate(instructions):
        target = re.search(r"\b(?:BRA|BRA\.U)\b.*?(0x[0-9a-f]+)$", instruction)
        if target and index.get(int(target[1], 16), i) < i:
            ranges.append((index[int(target[1], 16)], i + 1))
    loops = []
    for first, last in sorted(ranges, key=lambda r: r[1] - r[0]):
        body = opcodes[first:last]
        exchanges = sum(op.startswith("SHFL.BFLY") for op in body)
        if exchanges < EXCHANGES or not any(op.startswith("BAR.") for op in body):
            continue
        if all(last <= other_first or other_last <= first for other_first, other_last in loops):
            loops.append((first, last))
    return [opcodes[first:last] for first, last in loops]


def count(opcodes, prefix):
    return sum(op.startswith(prefix) for op in opcodes)


def check_main_loops(instructions):
    loops = main_loops(instructions)
    loads = sorted((count(loop, "LDG.E.128"), count(loop, "LDG.E.64")) for loop in loops)
    wide = sum(loads_128 >= LOADS for loads_128, _ in loads)
    narrow = sum(loads_64 >= LOADS for _, loads_64 in loads)
    if wide < 1 or narrow < 2:
        return [f"main loops must load with {LOADS} LDG.E.128 (float32) and twice with {LOADS} LDG.E.64 (bfloat16, "
                f"float16), got (128, 64) bits: {loads}"]
    return []


def check(tool, path):
    """Complaints; and how many kernels were seen, by name."""
    complaints = []
    seen = dict.fromkeys(KERNELS, 0)
    for symbol, registers, stack, local in usages(tool, path):
        if registers > MOST_REGISTERS or stack or local:
            complaints.append(f"{path}: {symbol}: {registers} registers (at most {MOST_REGISTERS}), {stack} bytes of "
                              f"stack and {local} of local memory (0)")
    for architecture, symbol, instructions in code(tool, path):
        kernel, counts = name_of(symbol)
        seen[kernel] = seen.get(kernel, 0) + 1
        opcodes = [opcode(instruction) for _, instruction in instructions]
        where = f"{path}: {architecture}: {symbol}"
        spills = count(opcodes, "LDL") + count(opcodes, "STL")
        if spills:
            complaints.append(f"{where}: {spills} loads and stores of local memory")
        if kernel == "reduce" and not counts:
            complaints += [f"{where}: {complaint}" for complaint in check_main_loops(instructions)]
        print(f"{architecture} {kernel}: {len(opcodes)} instructions, {count(opcodes, 'LDG.E.128')} loads of 128 bits")
    return complaints, seen


def main():
    tool, *paths = sys.argv[1:]
    if not os.path.isfile(tool):
        sys.exit("kernel_code.py needs cuobjdump and nvdisasm: of a CUDA toolkit, or run scripts/bootstrap, which "
                 f"installs them into build/python; got '{tool}'")
    complaints = []
    seen = dict.fromkeys(KERNELS, 0)
    for path in paths:
        more, kernels = check(tool, path)
        complaints += more
        for kernel, number in kernels.items():
            seen[kernel] = seen.get(kernel, 0) + number
    architectures = seen["reduce"] // KERNELS["reduce"]
    expected = {kernel: number * architectures for kernel, number in KERNELS.items()}
    if architectures == 0 or seen != expected:
        complaints.append(f"expected kernels {expected}, got {seen}")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
