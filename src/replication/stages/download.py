"""`python -m replication.stages.download NAME --folder data/raw`: one data set's file."""

import argparse
from pathlib import Path

from replication.data.download import fetch, source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        what = source(arguments.name)
    except KeyError:
        raise SystemExit(f"run.downloads: no data set {arguments.name!r} is known") from None
    path = fetch(what, arguments.folder / arguments.name)
    print(f"{path} (md5 {what.md5}, licence {what.licence})")


if __name__ == "__main__":
    main()
