"""`python -m replication.stages.data PROFILE NAME`: a data set's files, in data/sets/NAME."""

import argparse

from replication import data, settings
from replication.data import SETS
from replication.files import checksums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("name")
    arguments = parser.parse_args()
    source = settings.load(arguments.profile).datasets[arguments.name]
    folder = SETS / arguments.name
    data.obtain(arguments.name, source, folder)
    for name, md5 in checksums(folder).items():
        print(f"{folder / name} (md5 {md5})")


if __name__ == "__main__":
    main()
