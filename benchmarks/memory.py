"""How much memory a process has, as the kernel counts it."""

from pathlib import Path


def resident(peak: bool) -> float:
    """Resident memory of this process in MiB, now or at its peak; nan without Linux's /proc.

    getrusage's peak will not do: a new process starts with that of the one that made it.
    """
    field = "VmHWM:" if peak else "VmRSS:"
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 2**10
