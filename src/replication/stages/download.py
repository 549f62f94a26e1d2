"""`python -m replication.stages.download NAME --folder data/raw`: one data set's files."""

import argparse
from pathlib import Path

from replication.data.download import fetch
from replication.data.sources import sources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        files = sources(arguments.name)
    except KeyError:
        raise SystemExit(f"run.downloads: no data set {arguments.name!r} is known") from None
    for file in files:
        path = fetch(file, arguments.folder / arguments.name)
        print(f"{path} (md5 {file.md5}, licence {file.licence})")


if __name__ == "__main__":
    main()
