"""What the active profile asks for: its cells, and the plan in words."""

from itertools import product

from replication.settings.schema import FAMILIES, Settings


def expected_cells(settings: Settings) -> list[dict[str, str]]:
    """Every cell of the active profile: the keys of a cell file's "cell"."""
    cells = []
    for family in FAMILIES:
        grid = getattr(settings.run, family)
        methods = [
            *product(grid.clean_models, ["none"], ["clean"], grid.clean_refiners),
            *product(grid.models, grid.upstreams, grid.batches, grid.refiners),
            *product(grid.models, grid.crops, grid.batches, grid.crop_refiners),
        ]
        cells += [
            {
                "profile": settings.run.name,
                "family": family,
                "dataset": dataset,
                "model": model,
                "upstream": upstream,
                "batch": batch,
                "refiner": refiner,
            }
            for dataset in grid.datasets
            for model, upstream, batch, refiner in methods
        ]
    return cells


def method_name(cell: dict[str, str]) -> str:
    """The stem of the result file that holds a method's cells, one per batch composition."""
    return "-".join(cell[k] for k in ("dataset", "model", "upstream", "refiner"))


def print_plan(settings: Settings) -> None:
    run = settings.run
    cells = expected_cells(settings)
    length = f"about {run.minutes} minutes on two CPU cores" if run.minutes else "time not measured"
    print(f"profile {run.name}: {len(cells)} cells, {length}; what is up to date is not run again")
    for family in FAMILIES:
        grid = getattr(run, family)
        count = sum(cell["family"] == family for cell in cells)
        print(
            f"  {family}: {count} cells x {grid.seeds} seeds x {grid.training.epochs} epochs on "
            f"{', '.join(grid.datasets) or 'nothing'}"
        )
        for dataset, model in product(grid.datasets, grid.models):
            seeds = settings.seeds(family, dataset, model)
            epochs = settings.training(family, dataset, model).epochs
            if (seeds, epochs) != (grid.seeds, grid.training.epochs):
                print(f"    {dataset}, {model}: {seeds} seeds x {epochs} epochs")
