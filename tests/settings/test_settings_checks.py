"""What does not go together is refused, with the key that says so."""

import pytest

from replication import settings
from replication.settings import SettingsError, load

QUICK, PARAMS = "profiles/quick.yaml", "params.yaml"


def refused(copy, name, change, match):
    copy.change(name, change)
    with pytest.raises(SettingsError, match=match) as caught:
        load()
    assert str(caught.value).startswith(name)


def test_every_profile_is_valid_and_its_cells_are_distinct():
    for profile in settings.profiles():
        everything = load(profile)
        planned = settings.cells(everything)
        assert everything.profile.profile == profile
        assert len(planned) == len(set(planned)) > 0


def test_quick_is_offline_paired_and_controlled():
    everything = load("quick")
    grid = everything.profile.images
    kinds = {everything.datasets[name].kind for name in everything.profile.data}
    assert kinds <= {"digits", "csv", "styled-digits", "digits-in-domains"}
    assert not any(everything.datasets[name].own for name in everything.profile.data)
    assert grid.seeds >= 5
    assert set(grid.batches) == {"augmented", "clean-augmented"}
    for grid in everything.profile.experiments.values():
        names = (*grid.refiners, *grid.controlled.refiners)
        refiners = {name: everything.refiners[name] for name in names}
        controls = {(r.kind, r.of) for r in refiners.values() if r.role == "control"}
        of = next(name for name in refiners if name.startswith("calibrated"))
        assert {("permuted", of), ("smoothing", of)} <= controls


@pytest.mark.parametrize(
    ("experiment", "key", "name", "message"),
    [
        ("images", "upstreams", "cutmix", "is for tabular, and images are expected"),
        ("tabular", "upstreams", "mixup", "is for images, and tabular are expected"),
        ("images", "upstreams", "none", "is what clean.models and clean.refiners are for"),
        ("images", "datasets", "wine", "is for tabular"),
        ("tabular", "datasets", "digits", "is for images"),
        ("images", "models", "mlp", "is for tabular"),
        ("tabular", "models", "resnet18", "is for images"),
        ("tabular", "models", "trees", "is trained without augmentation"),
        ("images", "refiners", "soft-augmentation", "needs upstreams that crop; .*crops.refiners"),
        ("images", "clean.models", "trees", "is for tabular"),
        ("images", "clean.refiners", "soft-augmentation", "needs upstreams that crop"),
        ("tabular", "clean.refiners", "calibrated", "refines what is trained by gradients"),
    ],
)
def test_what_does_not_fit_an_experiment(copy, experiment, key, name, message):
    def change(profile):
        place = profile[experiment]
        *parts, last = key.split(".")
        for part in parts:
            place = place[part]
        place[last] = [name]

    refused(copy, QUICK, change, rf"{experiment}\.{key}: '{name}' {message}")


@pytest.mark.parametrize(
    ("section", "name", "fields", "message"),
    [
        ("upstreams", "none", {"kind": "trivialaugment"}, r"upstreams.none: \{kind: none\}"),
        ("refiners", "none", {"role": "rival"}, r"refiners.none: .*role: baseline"),
        (
            "refiners",
            "none",
            {"kind": "saflex", "role": "baseline", "reading": "paper"},
            r"refiners.none: \{kind: none",
        ),
        ("refiners", "none", {"train_on_validation": True}, "refiners.none: train_on_validation"),
        ("refiners", "paper", {"role": "baseline"}, "refiners.paper.role: the baseline is `none`"),
        ("refiners", "paper", {"reading": "papre"}, r"refiners.paper.reading: 'papre' is none of"),
        ("refiners", "paper", {"of": "calibrated"}, "refiners.paper: of: is for controls"),
        ("refiners", "paper", {"train_on_validation": True}, "refiners.paper.train_on_validation"),
        (
            "refiners",
            "permuted",
            {"train_on_validation": True},
            "permuted looks at validation data",
        ),
        ("refiners", "posterior-cross-fitted", {"folds": 1}, "posterior-cross-fitted.folds"),
        (
            "refiners",
            "permuted",
            {"of": "paper-literals"},
            "refiners.permuted.of: 'paper-literals'",
        ),
        ("refiners", "permuted", {"of": "none"}, "refiners.permuted.of: 'none' is no reading"),
        ("refiners", "permuted", {"of": "smoothing"}, ".of: 'smoothing' is a control itself"),
        ("refiners", "permuted", {"of": "permuted"}, ".of: 'permuted' is a control itself"),
        (
            "refiners",
            "permuted",
            {"of": "paper"},
            "refiners.permuted-paper: permuted is the permuted control of paper already",
        ),
        ("refiners", "permuted", {"role": "reading"}, "refiners.permuted.role"),
        ("refiners", "train-validation", {"validation_noise": 0.2}, "takes no validation_noise"),
        ("refiners", "train-validation", {"kind": "saflex"}, "refiners.train-validation"),
        ("refiners", "paper-size25", {"validation_share": 0.0}, "paper-size25.validation_share"),
    ],
)
def test_definitions_that_do_not_fit(copy, section, name, fields, message):
    refused(copy, PARAMS, lambda params: params[section][name].update(fields), message)


@pytest.mark.parametrize(
    ("name", "missing"), [("upstreams", "none"), ("refiners", "none"), ("refiners", "calibrated")]
)
def test_what_others_rest_on_cannot_be_left_out(copy, name, missing):
    refused(copy, PARAMS, lambda params: params[name].pop(missing), rf"{name}\..*{missing}")


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        ({"qsar": {"seeds": 0}}, "tabular.limits.qsar.seeds"),
        ({"qsar": {"epochs": "x"}}, "tabular.limits.qsar.epochs"),
        ({"qsar": None}, "tabular.limits.qsar"),
        ({"wine": {"seeds": 3}}, "tabular.limits: 'wine' is not among datasets and models"),
        ({"mlp/qsar": {"seeds": 3}}, "'mlp/qsar' is not among .* nor a data set/model"),
    ],
)
def test_mistaken_limits(copy, limits, part):
    copy.change("profiles/small.yaml", lambda profile: profile["tabular"].update(limits=limits))
    with pytest.raises(SettingsError, match=part):
        load("small")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crops": ["randaugment"]}, "images.crops.upstreams: 'randaugment' does not crop"),
        ({"upstreams": ["randaugment"]}, "images.crops.upstreams: 'crop' is not among upstreams"),
        ({"crop_refiners": ["paper"]}, "images.crops.refiners: 'paper' is among refiners"),
        ({"crop_refiners": ["soft"]}, "images.crops.refiners: 'soft' is not defined"),
    ],
)
def test_crops_that_do_not_fit(copy, changed, message):
    chosen = {
        "upstreams": ["randaugment", "crop"],
        "crops": ["crop"],
        "refiners": ["none", "paper"],
    }
    chosen |= {"crop_refiners": ["soft-augmentation"]} | changed

    def change(profile):
        crops = {"upstreams": chosen["crops"], "refiners": chosen["crop_refiners"]}
        own = {"upstreams": chosen["upstreams"], "refiners": chosen["refiners"], "crops": crops}
        profile["images"].update(own)

    refused(copy, QUICK, change, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["images"]["training"].update(patience=3), "patience: needs select: best"),
        (lambda p: p["images"].pop("training"), "images: training: is missing"),
        (lambda p: p["images"].update(batches=[]), "images: batches: is empty"),
        (lambda p: p["images"].pop("crops"), "images.crops: Field required"),
        (lambda p: p["toy"].update(steps=3), "toy: picture.steps: 20 is beyond steps, 3"),
        (lambda p: p["toy"].update(refiners=["paper"]), "toy.refiners: 'none' is expected"),
        (lambda p: p["toy"].update(sigmas=[0.5, 0.1]), r"toy: sigmas: an ascending .*\[0.5, 0.1"),
        (lambda p: p["toy"]["picture"].update(steps=[]), "toy.picture.steps: .*at least 1"),
        (lambda p: p["toy"]["picture"].update(refiners=[]), "toy.picture.refiners: .*at least 1"),
        (lambda p: p.pop("toy"), "tables.figure2: this profile has no toy"),
        (lambda p: p["tables"].update(figure2=[]), "toy: is there, but tables.figure2 does not"),
        (lambda p: p["toy"].update(refiners=["soft-augmentation"]), "toy.refiners: 'soft-augm"),
        (lambda p: p.update(data=["digits", "wine"]), "data: 'breast_cancer' is missing"),
        (lambda p: p["data"].append("qsar"), "data: 'qsar' is used by no experiment"),
        (lambda p: p["tables"].update(table1=["tabular"]), "tables.table1.0: .*'images'"),
        (
            lambda p: p["tables"].update(further=["images", "tabular"]),
            "tables.further: .*at most 1",
        ),
        (
            lambda p: p.update(data=["digits"]) or p["tabular"].update(datasets=[]),
            "tables.table2: this profile has no tabular",
        ),
    ],
)
def test_parts_of_a_profile_that_do_not_fit(copy, change, message):
    refused(copy, QUICK, change, message)


def test_the_toys_name_for_the_truth_is_taken(copy):
    copy.change(PARAMS, lambda p: p["refiners"].update(oracle=p["refiners"]["paper"]))
    refused(copy, QUICK, lambda p: p["toy"]["refiners"].append("oracle"), "toy.refiners: 'oracle'")


def test_a_profile_of_nothing(copy):
    def change(profile):
        for experiment in ("images", "tabular", "contrastive", "generated"):
            profile[experiment]["datasets"] = []
        del profile["toy"]
        profile.update(data=[], tables={key: [] for key in profile["tables"]})

    refused(copy, QUICK, change, "no experiment has a data set, and there is no toy")


@pytest.mark.parametrize(
    "key",
    [
        "data",
        "images.datasets",
        "images.models",
        "images.upstreams",
        "images.refiners",
        "images.clean.models",
        "tabular.clean.refiners",
        "images.batches",
        "toy.sigmas",
        "toy.refiners",
        "toy.picture.steps",
        "toy.picture.refiners",
    ],
)
def test_what_appears_twice(copy, key):
    def change(profile):
        for part in key.split("."):
            profile = profile[part]
        profile.append(profile[0])

    refused(copy, QUICK, change, f"{key}: .* appears twice")


@pytest.mark.parametrize("dataset", ["wine", "breast_cancer"])
def test_two_methods_of_one_stage(copy, dataset):
    """DVC names a stage wine-mlp-slow-cutmix-none, and would run one of the two."""

    def define(params):
        params["datasets"][f"{dataset}-mlp"] = params["datasets"]["wine"]
        params["models"]["slow"] = params["models"]["mlp"]
        params["models"]["mlp-slow"] = params["models"]["mlp"]

    def name(profile):
        profile["data"] = ["digits", dataset, f"{dataset}-mlp"]
        own = {"datasets": [dataset, f"{dataset}-mlp"], "models": ["mlp-slow", "slow"]}
        profile["tabular"].update(own)

    copy.change(PARAMS, define)
    message = rf"tabular.datasets: \({dataset}, mlp-slow, cutmix, none\) and \({dataset}-mlp, slow"
    refused(copy, QUICK, name, message)


def test_two_views_of_one_stage(copy):
    def define(params):
        params["datasets"]["digits-mixup"] = params["datasets"]["digits"]
        params["upstreams"]["mixup-mixup"] = params["upstreams"]["mixup"]

    def name(profile):
        profile["data"].append("digits-mixup")
        own = {"datasets": ["digits", "digits-mixup"], "upstreams": ["mixup", "mixup-mixup"]}
        profile["images"].update(own)

    copy.change(PARAMS, define)
    refused(
        copy, QUICK, name, r"images.datasets: \(digits, mixup-mixup\) and \(digits-mixup, mixup"
    )
