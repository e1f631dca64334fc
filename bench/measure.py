"""What a tree of processes costs: CPU time, with that of its dead, and memory."""

import os

TICK = os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the program's name; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def tree(root):
    """The process and all its living descendants."""
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        fields = stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(pid))
    found, to_see = [], [root]
    while to_see:
        pid = to_see.pop()
        found.append(pid)
        to_see += children.get(pid, [])
    return found


def living_s(pid):
    """CPU seconds of a living process: what the scheduler counted for each thread, in nanoseconds."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
                total += int(f.read().split()[0])
    except OSError:
        pass
    return total / 1e9


def cpu_s(root):
    """CPU seconds of a tree. A child that was waited for has gone into its parent's counts, to a hundredth of a second."""
    total = 0
    for pid in tree(root):
        fields = stat_fields(pid)
        if fields:
            total += living_s(pid) + (int(fields[13]) + int(fields[14])) / TICK
    return total


def memory_kb(root):
    """Memory of a tree, shared pages divided among those who share them (PSS)."""
    total = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except (OSError, StopIteration):
            pass
    return total
