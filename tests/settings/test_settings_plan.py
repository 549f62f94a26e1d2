"""What a profile asks for."""

from itertools import chain, product

from replication import settings
from replication.settings import load, methods


def small(copy, limits):
    copy.change("profiles/small.yaml", lambda profile: profile["tabular"].update(limits=limits))
    return load("small")


def test_of_the_limits_of_a_data_set_a_model_and_the_pair_the_lowest_holds(copy):
    limits = {
        "qsar": {"seeds": 3, "epochs": 9},
        "mlp": {"seeds": 5, "epochs": 7, "batch_size": 11},
        "trees": {"seeds": 2},
        "arrhythmia/mlp": {"epochs": 2, "batch_size": 5},
    }
    everything = small(copy, limits)
    recipe = everything.training("tabular", "qsar", "mlp")
    assert everything.seeds("tabular", "qsar", "mlp") == 3
    assert (recipe.epochs, recipe.batch_size) == (7, 11)
    assert everything.seeds("tabular", "arrhythmia", "mlp") == 5
    recipe = everything.training("tabular", "arrhythmia", "mlp")
    assert (recipe.epochs, recipe.batch_size) == (2, 5)
    assert everything.training("tabular", "arrhythmia", "saint-small").epochs > 2
    assert everything.seeds("tabular", "arrhythmia", "trees") == 2
    assert everything.training("tabular", "qsar", "trees").epochs == 9


def test_a_data_set_may_have_fewer_seeds_and_epochs_but_never_more(copy):
    few, many = {"seeds": 3, "epochs": 7, "batch_size": 9}, {"seeds": 10000, "epochs": 10000}
    everything = small(copy, {"qsar": few, "arrhythmia": many})
    grid = everything.profile.tabular
    assert everything.seeds("tabular", "qsar", "mlp") == 3
    own = {"epochs": 7, "batch_size": 9}
    assert everything.training("tabular", "qsar", "mlp") == grid.training.model_copy(update=own)
    assert everything.seeds("tabular", "arrhythmia", "mlp") == grid.seeds > 3
    assert everything.training("tabular", "arrhythmia", "mlp") == grid.training
    described = settings.describe(everything)
    assert "qsar, mlp: 3 seeds x 7 epochs" in described
    assert "arrhythmia, mlp:" not in described


def test_a_method_is_planned_with_the_settings_it_is_run_with(copy):
    everything = small(copy, {"qsar": {"seeds": 3, "epochs": 7}})
    for planned in methods(everything):
        method, recipe = planned.method, planned.recipe
        place = method.experiment, method.dataset, method.model
        assert planned.seeds == everything.seeds(*place)
        assert recipe.training == everything.training(*place, method.refiner)
        assert recipe.dataset == everything.datasets[method.dataset]
        assert recipe.model == everything.models[method.model]
        assert recipe.upstream == everything.upstreams[method.upstream]
        assert recipe.refiner == everything.refiners[method.refiner]


def test_a_refiner_s_own_validation_batch_is_part_of_how_its_cells_are_trained(copy):
    before = {p.method: p.dump() for p in methods(load("small"))}
    change = {"validation_batch": "all"}
    copy.change("params.yaml", lambda params: params["refiners"]["smoothing"].update(change))
    for planned in methods(load("small")):
        if planned.method.refiner == "smoothing":
            expected = before[planned.method]
            expected["recipe"]["training"]["validation_batch"] = "all"
        assert planned.dump() == before[planned.method]


def test_a_control_imitates_the_reading_of_the_refiner_that_it_names():
    everything = load("quick")
    assert everything.reading("calibrated") == everything.readings["calibrated"]
    for kind, of in product(("permuted", "smoothing"), ("calibrated", "paper")):
        refiners = everything.refiners.items()
        name = next(n for n, r in refiners if (r.kind, r.of) == (kind, of))
        assert everything.reading(name) == everything.readings[of]
    for name in ("none", "train-validation", "soft-augmentation"):
        assert everything.reading(name) is None


def test_the_grid_is_every_combination_and_the_clean_rows():
    everything = load("quick")
    grid = everything.profile.images
    found = {
        (m.dataset, m.model, m.upstream, m.refiner): p.batches
        for p in methods(everything)
        if (m := p.method).experiment == "images"
    }
    augmented = set(product(grid.datasets, grid.models, grid.upstreams, grid.refiners))
    clean = set(product(grid.datasets, grid.clean.models, ["none"], grid.clean.refiners))
    assert set(found) == augmented | clean
    assert all(found[key] == grid.batches for key in augmented)
    assert all(found[key] == ["clean"] for key in clean)


def test_refiners_for_crops_are_cells_of_crops_alone(copy):
    def change(profile):
        crops = {"upstreams": ["crop"], "refiners": ["soft-augmentation"]}
        own = {"upstreams": ["randaugment", "crop"], "refiners": ["none", "paper"], "crops": crops}
        profile["images"].update(own)

    copy.change("profiles/quick.yaml", change)
    found = [p.method for p in methods(load()) if p.method.experiment == "images"]
    assert {(m.upstream, m.refiner) for m in found if m.upstream != "none"} == {
        ("randaugment", "none"),
        ("randaugment", "paper"),
        ("crop", "none"),
        ("crop", "paper"),
        ("crop", "soft-augmentation"),
    }


def test_views_are_stored_unless_they_are_drawn_in_each_step(copy):
    def change(profile):
        profile["images"]["upstreams"].append("lp-a3")

    copy.change("profiles/quick.yaml", change)
    everything = load()
    images, made = everything.profile.images, everything.profile.generated
    stored = {
        p.method.upstream: p.recipe.views
        for p in methods(everything)
        if p.method.upstream not in made.beside.upstreams or p.method.experiment == "images"
    }
    grids = everything.profile.experiments.values()
    others = [grid.upstreams for grid in grids if grid not in (images, made)]
    drawn = dict.fromkeys(["none", "lp-a3", *chain(*others)], 0)
    copies = dict.fromkeys(made.upstreams, made.copies)
    assert stored == dict.fromkeys(images.upstreams, images.views) | drawn | copies
    beside = {p.recipe.views for p in methods(everything) if p.method.experiment == "generated"}
    assert beside == {0, made.copies}
    assert images.views > 0


def test_an_experiment_without_a_data_set_is_not_in_the_profile():
    everything = load("planted")
    assert list(everything.profile.experiments) == ["images"]
    assert {p.method.experiment for p in methods(everything)} == {"images"}
    assert "tabular" not in settings.describe(everything)


def test_the_plan_in_words_says_how_long():
    everything = load("quick")
    text, planned = settings.describe(everything), settings.cells(everything)
    profile = everything.profile
    start = f"profile quick: {len(planned)} cells, about {profile.minutes} minutes on two CPU"
    assert text.startswith(start)
    for experiment, grid in profile.experiments.items():
        count = sum(cell.experiment == experiment for cell in planned)
        length = f"{grid.seeds} seeds x {grid.training.epochs} epochs"
        places = ", ".join(grid.datasets)
        assert f"  {experiment}: {count} cells x {length} on {places}" in text
    assert "time not measured" in settings.describe(load("full"))


def test_what_only_the_report_says_is_no_part_of_a_recipe(copy):
    before = [p.recipe.dump() for p in methods(load())]

    def change(params):
        for section in ("upstreams", "refiners"):
            for entry in params[section].values():
                entry["label"] = "another"
        params["readings"]["another"] = params["readings"]["calibrated"]
        params["refiners"]["calibrated"]["reading"] = "another"
        params["refiners"]["paper"]["role"] = "rival"

    copy.change("params.yaml", change)
    assert [p.recipe.dump() for p in methods(load())] == before


def test_the_factorial_of_the_study():
    """Every level with every other, once; two more weight rules where the rest is as printed."""
    everything = load("readings")
    levels = ("space", "sign", "reduction", "gumbel", "beta", "weight_rule")
    own = [name for name in everything.readings if name not in load("quick").readings]
    found = [tuple(getattr(everything.readings[name], level) for level in levels) for name in own]
    assert len(found) == len(set(found)) == 38
    assert sum(rule == "label" for *_, rule in found) == 36
    for grid in everything.profile.experiments.values():
        assert {*own} <= {*grid.refiners}
        assert all(everything.refiners[name].reading == name for name in own)
    same = everything.readings["paper"]
    assert sum(everything.readings[name] == same for name in own) == 1
