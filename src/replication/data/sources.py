"""Where files of data sets come from: this repository, the user, or a publisher.

The publishers of MedMNIST are as its package says, those of the tables as in the paper's Table 6.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from replication.files import checksums
from replication.settings.datasets import AnyDataSource

PACKAGED, EMBEDDED = Path(__file__).parent / "embedded", Path("data/embedded")
OWN, SETS = Path("data/own"), Path("data/sets")
WILDS = "SAFLEX_WILDS"
"""The variable that names the folder of WILDS' data sets."""
IWILDCAM = "iwildcam_v2.0"
LAYOUT = ("metadata.csv", "categories.csv", "RELEASE_v2.0.txt", "train")
"""What is in its folder of iWildCam."""


class DataError(SystemExit):
    """Ends a stage with a paragraph for people and exit status 1."""


@dataclass(frozen=True)
class Source:
    """A file as its publisher offers it.

    file: the name under which it is kept.
    address: the publisher's, of the file or of a page to download it from by hand.
    md5: None where nobody here has had a copy; such a file has to be the user's own.
    licence: or the publisher, and the terms as far as they are stated.
    folder: where a mirror keeps it.
    limit: bytes; a longer answer is refused.
    """

    file: str
    address: str
    md5: str | None
    licence: str
    folder: str = "tabular"
    limit: int = 4 * 10**9


def local(name: str, source: AnyDataSource) -> Path | None:
    """The folder of the user's or the embedded files of a data set, None for published ones.

    Embedded ones are taken from where data.dvc puts them, else from the package.
    DataError where the user's are declared and not there.
    """
    if source.kind == "iwildcam":
        return wilds(name)
    if not source.own:
        folders = [place / (source.embedded or name) for place in (EMBEDDED, PACKAGED)]
        return next((folder for folder in folders if folder.is_dir()), None)
    folder = OWN / name
    found = sorted(checksums(folder)) if folder.is_dir() else []
    if not found:
        raise DataError(
            f"datasets.{name}: own: true says that its files are yours, and there is none in "
            f"{folder}/. Put them there and run the command again."
        )
    if (file := getattr(source, "file", None)) and file not in found:
        raise DataError(
            f"datasets.{name}.file: there is no {file} in {folder}/, which has {', '.join(found)}. "
            "Name one of these, or put the file there, and run the command again."
        )
    return folder


def published(name: str) -> tuple[Source, ...]:
    """The files of a published data set; DataError for a set that nobody is known to publish."""
    if name not in SOURCES:
        raise DataError(
            f"datasets.{name}: no publisher of it is known, only of {', '.join(SOURCES)}. For "
            f"files of yours say own: true and put them into {OWN / name}/."
        )
    return SOURCES[name]


def origin(name: str, source: AnyDataSource) -> dict[str, str | None]:
    """What identifies the files of a data set: each one's MD5, None where none is published."""
    if source.kind == "iwildcam":  # known without a copy
        return dict.fromkeys(LAYOUT[:2])
    if (folder := local(name, source)) is not None:
        return checksums(folder)
    return {file.file: file.md5 for file in published(name)}


def wilds(name: str) -> Path:
    """The folder of iWildCam, of which the small files are kept; images stay where they are."""
    if not (root := os.environ.get(WILDS)):
        raise DataError(
            f"datasets.{name}: set {WILDS} to a folder with {IWILDCAM}/, WILDS' iWildCam, 12 GB. "
            "Its download failed for the last time in April 2026 (github.com/p-lambda/wilds, issue "
            "174): ask somebody who has a copy, or make it with that repository's scripts from "
            "the images of iWildCam 2020 (kaggle.com/c/iwildcam-2020-fgvc7, lila.science)."
        )
    folder = Path(root) / IWILDCAM
    if missing := [part for part in LAYOUT if not (folder / part).exists()]:
        raise DataError(
            f"datasets.{name}: {folder}/ has no {' and no '.join(missing)}. {WILDS} names a folder "
            f"with {IWILDCAM}/, in which {', '.join(LAYOUT[:-1])} and the images in "
            f"{LAYOUT[-1]}/ are expected. Correct it and run the command again."
        )
    return folder


def _medmnist(name: str, md5: str, licence: str = "CC BY 4.0") -> tuple[Source]:
    address = f"https://zenodo.org/records/10519652/files/{name}.npz?download=1"
    return (Source(f"{name}.npz", address, md5, licence, "medmnist"),)


SOURCES = {
    "pathmnist": _medmnist("pathmnist", "a8b06965200029087d5bd730944a56c1"),
    "dermamnist": _medmnist("dermamnist", "0744692d530f8e62ec473284d019b0c7", "CC BY-NC 4.0"),
    "octmnist": _medmnist("octmnist", "c68d92d5b585d8d81f7112f81e2d0842"),
    "pneumoniamnist": _medmnist("pneumoniamnist", "28209eda62fecd6e6a2d98b1501bb15f"),
    "retinamnist": _medmnist("retinamnist", "bd4c0672f1bba3e3a89f0e4e876791e4"),
    "breastmnist": _medmnist("breastmnist", "750601b1f35ba3300ea97c75c52ff8f6"),
    "bloodmnist": _medmnist("bloodmnist", "7053d0359d879ad8a5505303e11de1dc"),
    "tissuemnist": _medmnist("tissuemnist", "ebe78ee8b05294063de985d821c1c34b"),
    "organamnist": _medmnist("organamnist", "68e3f8846a6bd62f0c9bf841c0d9eacc"),
    "organcmnist": _medmnist("organcmnist", "b9ceb9546e10131b32923c5bbeaea2b1"),
    "organsmnist": _medmnist("organsmnist", "9ab87b696fb54e2a387ebe992d6ed5f1"),
    "appetency-kdd99": (
        Source(
            "kddcup.data_10_percent.gz",
            "http://kdd.ics.uci.edu/databases/kddcup99/kddcup.data_10_percent.gz",
            "c421989ff187d340c1265ac3080a3229",
            "UCI KDD Archive, KDD Cup 1999, doi:10.24432/C51C7N; terms at the source",
        ),
    ),
    "appetency-kdd09": (
        Source(
            "orange_small_train.data.zip",
            "https://kdd.org/cupfiles/KDDCupData/2009/orange_small_train.data.zip",
            None,
            "ACM SIGKDD and Orange, KDD Cup 2009; terms at the source",
        ),
        Source(
            "orange_small_train_appetency.labels",
            "https://kdd.org/cupfiles/KDDCupData/2009/orange_small_train_appetency.labels",
            None,
            "ACM SIGKDD and Orange, KDD Cup 2009; terms at the source",
        ),
    ),
    "arrhythmia": (
        Source(
            "arrhythmia.mat",
            "https://www.dropbox.com/s/lmlwuspn1sey48r/arrhythmia.mat?dl=1",
            "893af2390d459d18ad06b6fafc2a9b6b",
            "ODDS, http://odds.cs.stonybrook.edu/arrhythmia-dataset/, after UCI "
            "doi:10.24432/C5BS32; terms at the source",
        ),
    ),
    "click": (
        Source(
            "Click_prediction_small.csv",
            "https://www.openml.org/d/1220",
            "d98d2dfd62a63ad88ef4525d76e5f648",
            "OpenML 1220, a subset of KDD Cup 2012 track 2; terms at the source",
        ),
    ),
    "credit": (
        Source(
            "creditcard.arff",
            "https://www.openml.org/data/v1/download/1673544/creditcard.arff",
            None,
            "OpenML 1597, Université Libre de Bruxelles and Worldline; terms at the source",
        ),
    ),
    "qsar": (
        Source(
            "biodeg.csv",
            "https://archive.ics.uci.edu/ml/machine-learning-databases/00254/biodeg.csv",
            "fd8262983776f6259f1025eec7c1d90f",
            "UCI, QSAR biodegradation, doi:10.24432/C5H60M; terms at the source",
        ),
    ),
    "shrutime": (
        Source(
            "Churn_Modelling.csv",
            "https://www.kaggle.com/shrutimechlearn/churn-modelling",
            "496aee8fbfdfa1dfb6daa9dbca5d1a01",
            "Kaggle, shrutimechlearn/churn-modelling (needs an account); terms at the source",
        ),
    ),
    "volkert": (
        Source(
            "volkert.arff",
            "https://www.openml.org/data/download/19335689/file1c556e3db171.arff",
            None,
            "OpenML 41166, after the ChaLearn AutoML challenge; terms at the source",
        ),
    ),
    "cub": (
        Source(
            "CUB_200_2011.tgz",
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
            "97eceeb196236b17998738112f37df78",
            "Wah et al. 2011, CaltechDATA 20098; for research that is not commercial",
            "images",
        ),
    ),
    "cub100": (
        Source(
            "cub100-128.tar",
            "https://data.caltech.edu/records/65de6-vp158",
            "a1a9ff0e4809a3957464d4e386fa1694",
            "Wah et al. 2011, 100 classes at 128 x 128 pixels, made for this project; as cub",
            "images",
        ),
    ),
    "iwildcam-mini": tuple(
        Source(
            f"{name}.csv",
            f"https://raw.githubusercontent.com/lisadunlap/ALIA/main/data/iwildcam_v2.0/{name}.csv",
            md5,
            "Dunlap et al. 2023, lists of iWildCam v2.0; terms at the source",
            "alia",
        )
        for name, md5 in {
            "train_subset": "da422e7dc8a3b625b6c7bead0b9a61c8",
            "train_extra_subset": "30df0e646d4efcf710ed1b5b36fdbdf9",
            "val_subset": "38848dfd34e9835f03678b028aeba0c1",
            "test_subset": "1ad78c7e32cb5b749b5e7505c492f935",
        }.items()
    ),
    **{
        name: (
            Source(
                "pacs-96.tar",
                "https://dali-dl.github.io/project_iccv2017.html",
                "d400bafcafb77507e64de15fe39d6d66",
                "Li et al. 2017, at 96 x 96 pixels, made for this project; terms at the source",
                "images",
            ),
        )
        for name in ("pacs", "pacs-photo")
    },
}
