"""Errors about the user's files name the user's files."""

import pytest

from replication import data
from replication.settings.datasets import CSV


@pytest.mark.parametrize(("own", "named"), [(True, "data/own/mine/"), (False, "sets/mine/")])
def test_an_error_names_the_file_to_edit_and_not_its_copy(tmp_path, own, named):
    copy = tmp_path / "sets" / "mine"
    copy.mkdir(parents=True)
    (copy / "table.csv").write_text("a,b\n1,x\n2,y\n")
    source = CSV(kind="csv", own=own, file="table.csv", target="gone")
    with pytest.raises(ValueError, match="gone") as caught:
        data.load("mine", source, tmp_path / "sets", 0)
    assert f"{named}table.csv" in str(caught.value)
    assert (str(copy) in str(caught.value)) == (not own)
