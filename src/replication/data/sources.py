"""Where files of data sets come from: MedMNIST's as its package says, the tables' in Table 6."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A file as its publisher offers it.

    file: the name under which it is kept.
    address: the publisher's, of the file or of a page to download it from by hand.
    md5: None where nobody here has had a copy.
    licence: or the publisher, and the terms as far as they are stated.
    folder: where a mirror keeps it.
    """

    file: str
    address: str
    md5: str | None
    licence: str
    folder: str = "tabular"


SOURCES = {
    "appetency-kdd99": Source(
        "kddcup.data_10_percent.gz",
        "http://kdd.ics.uci.edu/databases/kddcup99/kddcup.data_10_percent.gz",
        "c421989ff187d340c1265ac3080a3229",
        "UCI KDD Archive, KDD Cup 1999, doi:10.24432/C51C7N; terms at the source",
    ),
    "appetency-kdd09": Source(
        "orange_small_train.data.zip",
        "https://kdd.org/cupfiles/KDDCupData/2009/orange_small_train.data.zip",
        None,
        "ACM SIGKDD and Orange, KDD Cup 2009; terms at the source",
    ),
    "appetency-kdd09-labels": Source(
        "orange_small_train_appetency.labels",
        "https://kdd.org/cupfiles/KDDCupData/2009/orange_small_train_appetency.labels",
        None,
        "ACM SIGKDD and Orange, KDD Cup 2009; terms at the source",
    ),
    "arrhythmia": Source(
        "arrhythmia.mat",
        "https://www.dropbox.com/s/lmlwuspn1sey48r/arrhythmia.mat?dl=1",
        "893af2390d459d18ad06b6fafc2a9b6b",
        "ODDS, http://odds.cs.stonybrook.edu/arrhythmia-dataset/, after UCI doi:10.24432/C5BS32; "
        "terms at the source",
    ),
    "click": Source(
        "Click_prediction_small.csv",
        "https://www.openml.org/d/1220",
        "d98d2dfd62a63ad88ef4525d76e5f648",
        "OpenML 1220, a subset of KDD Cup 2012 track 2; terms at the source",
    ),
    "credit": Source(
        "creditcard.arff",
        "https://www.openml.org/data/v1/download/1673544/creditcard.arff",
        None,
        "OpenML 1597, Université Libre de Bruxelles and Worldline; terms at the source",
    ),
    "qsar": Source(
        "biodeg.csv",
        "https://archive.ics.uci.edu/ml/machine-learning-databases/00254/biodeg.csv",
        "fd8262983776f6259f1025eec7c1d90f",
        "UCI, QSAR biodegradation, doi:10.24432/C5H60M; terms at the source",
    ),
    "shrutime": Source(
        "Churn_Modelling.csv",
        "https://www.kaggle.com/shrutimechlearn/churn-modelling",
        "496aee8fbfdfa1dfb6daa9dbca5d1a01",
        "Kaggle, shrutimechlearn/churn-modelling (needs an account); terms at the source",
    ),
    "volkert": Source(
        "volkert.arff",
        "https://www.openml.org/data/download/19335689/file1c556e3db171.arff",
        None,
        "OpenML 41166, after the ChaLearn AutoML challenge; terms at the source",
    ),
}


def sources(name: str) -> list[Source]:
    """The files of the data set `name`. KeyError for a set that is not downloaded."""
    if tables := [table for n, table in SOURCES.items() if n in (name, f"{name}-labels")]:
        return tables
    from medmnist import INFO

    info = INFO[name]
    return [Source(f"{name}.npz", info["url"], info["MD5"], info["license"], "medmnist")]
