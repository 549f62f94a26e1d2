"""A stage for tests: FOLDER NAME [NEEDED ...] notes that it ran; fails without what it needs."""

import sys
import time
from pathlib import Path


def main():
    folder, name, *needed = sys.argv[1:]
    absent = [other for other in needed if not Path(folder, f"{other}.end").exists()]
    if absent:
        raise SystemExit(f"{name}: {absent[0]} is missing")
    Path(folder, f"{name}.begin").write_text(str(time.monotonic()))
    time.sleep(0.3)
    Path(folder, f"{name}.end").write_text(str(time.monotonic()))
