"""`python -m replication.stages.missing PROFILE [TEXT ...]`: train what a profile lacks, no more.

With words, the methods that have all of them among their fields. What is there as it is planned
stays, so that committed cells of a profile can be completed: `dvc repro` would train them again.
Interrupted, it goes on where it was; a method that fails is named, and the others are trained.
"""

import argparse
import subprocess
import sys

from tqdm import tqdm

from replication import cells, settings
from replication.cells.state import DONE, state
from replication.settings import Planned, Settings
from replication.stages import train
from replication.stages.generate import images
from replication.stages.generator import ORIGIN, place
from replication.stages.judges import JUDGES
from replication.training.cell import SETS, VIEWS, pretrained
from replication.upstream.diffusion.folder import MANIFEST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("words", nargs="*", help="fields of methods, as in: digits posterior")
    arguments = parser.parse_args()
    everything = settings.load(arguments.profile)
    lacking = missing(everything, arguments.words)
    failed = []
    for planned in tqdm(lacking, desc="methods", unit="method"):
        try:
            prepare(everything, planned)
            train.run(planned, arguments.profile)
        except SystemExit as error:
            failed.append(planned)
            tqdm.write(str(error))
    print(f"methods trained: {len(lacking) - len(failed)}, failed: {len(failed)}")
    if failed:
        raise SystemExit(1)


def missing(everything: Settings, words: list[str]) -> list[Planned]:
    """Methods with all of these words among their fields, a cell of which is not done."""
    profile = everything.profile.profile
    return [
        planned
        for planned in settings.methods(everything)
        if set(words) <= {*planned.method.model_dump().values()}
        and any(state(planned, cells.result(c, profile)) != DONE for c in planned.cells)
    ]


def prepare(everything: Settings, planned: Planned) -> None:
    """The method's data, stored views and pretrained network, if they are not there yet; of images
    that a diffusion model makes, that model, the images, and what is seen in them."""
    profile, method = everything.profile.profile, planned.method
    stages = [("data", SETS / method.dataset, [method.dataset])]
    viewed = method.experiment, method.dataset, method.upstream
    for made in settings.made(everything):
        if viewed == (made.experiment, made.dataset, made.upstream):
            of = [made.experiment, made.dataset]
            stages += [
                ("generator", place(profile, made) / ORIGIN, [*of, made.generator]),
                ("judges", JUDGES.joinpath(profile, made.dataset), of),
                ("generate", images(profile, made) / MANIFEST, [*viewed]),
                ("judged", VIEWS.joinpath(profile, *viewed), [*viewed]),
            ]
    if viewed in settings.views(everything) and planned.recipe.generator is None:
        stages.append(("views", VIEWS.joinpath(profile, *viewed), [*viewed]))
    for network in settings.pretrained(everything):
        if planned.recipe.network == network.recipe and method.dataset == network.dataset:
            wanted = [network.experiment, network.dataset, network.network]
            stages.append(("pretrain", pretrained(profile, *wanted[1:]), wanted))
    for stage, folder, fields in stages:
        if not folder.exists():
            command = [sys.executable, "-m", f"replication.stages.{stage}", profile, *fields]
            if subprocess.run(command).returncode:
                raise SystemExit(f"{planned.method}: stage {stage} failed, as it says above")


if __name__ == "__main__":
    main()
