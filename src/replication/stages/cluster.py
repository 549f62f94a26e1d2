"""Methods as tasks of a Ray cluster: the one of RAY_ADDRESS, or one that is started here.

A task trains one method, all of its cells and seeds, on one node, in the folder that this process
runs in: nodes share it. A task whose node or process is lost is started again, and finds in
checkpoints/ the seeds that were finished. Result files are written here, once a method.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from replication.settings import Planned
from replication.stages import train

RETRIES = 5  # of a task whose node or process was lost
T = TypeVar("T")


def train_methods(methods: list[Planned], profile: str) -> list[Planned]:
    """Train methods and write their cells; those that failed."""
    failed = []
    for planned, found in each(train.results, methods, profile):
        if isinstance(found, str):
            failed.append(planned)
            tqdm.write(f"{planned.method}: {found}")
        else:
            train.write(found, profile)
    return failed


def each(work: Callable[..., Any], items: list[T], *arguments) -> Iterator[tuple[T, Any]]:
    """Every item once, with `work(item, *arguments)` or the text of what went wrong, as they end.

    SystemExit if ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SystemExit("--cluster ray: ray is not installed; pip install '.[cluster]'") from error
    seeds, threads = (train.count(f"SAFLEX_{of}", 1) for of in ("JOBS", "THREADS"))
    own = {"SAFLEX_JOBS": str(seeds), "SAFLEX_THREADS": str(threads)}
    ray.init(runtime_env={"env_vars": own}, log_to_driver=False)
    try:
        gpus = min(1, ray.cluster_resources().get("GPU", 0))
        options = {"num_cpus": seeds * threads, "num_gpus": gpus, "max_retries": RETRIES}
        task = ray.remote(**options)(_in_folder)
        left = {task.remote(os.getcwd(), work, item, *arguments): item for item in items}
        with tqdm(total=len(items), desc="methods", unit="method") as bar:
            while left:
                (ended,), _ = ray.wait([*left])
                item = left.pop(ended)
                try:
                    found = ray.get(ended)
                except ray.exceptions.RayError as error:
                    found = str(error)
                yield item, found
                bar.update()
    finally:
        ray.shutdown()


def _in_folder(folder: str, work: Callable[..., Any], *arguments) -> Any:
    """On a node. SystemExit would end its process, and the task would be tried again."""
    try:
        os.chdir(folder)
        return work(*arguments)
    except (SystemExit, OSError) as error:
        return str(error)
