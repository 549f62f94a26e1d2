"""Settings: what is legal arrives as it was written and is planned so; the rest is named."""

import copy
import json
import math
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import replication.settings as house
from replication.data import DataError
from replication.settings import SettingsError
from replication.stages.plan import plan

fuzz = settings.get_profile("fuzz")
ROOT = Path(__file__).parents[2]
PARAMS, PROFILE = "params.yaml", "profiles/quick.yaml"
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (PARAMS, PROFILE)}
BEFORE = {name: YAML(typ="safe").load(text) for name, text in TEXTS.items()}

positive = st.floats(1e-12, 1e12)
share = st.floats(0, 1)
count = st.integers(1, 10**6)
index = st.integers(0, 10**6)
label = st.text("abzÄ$%<>&_{}#:-'\" ,0", max_size=12)
one_of = st.sampled_from


def each(keys, value):
    return dict.fromkeys(keys.split(), value)


LEGAL = {
    **each("alpha sigma penalty temperature slope power learning_rate spread", positive),
    **each("beta gumbel weight_decay", st.just(0.0) | positive),
    **each("probability margin dropout validation_noise", share),
    **each("optimizer_aware centre normalise unit_scale shrink batch_norm", st.booleans()),
    **each("row_attention channels_last compile", st.booleans()),
    **each("operations iterations depth embedding_dim stem_stride", count),
    **each("seeds epochs batch_size", count),
    **each("views split_seed", index),
    **each("label target", label),
    "magnitude": st.integers(0, 30),
    "width": st.integers(8, 10**4),
    "minutes": st.none() | count,
    "validation_batch": st.integers(4, 10**6) | st.just("all"),
    "validation_sampling": one_of(["uniform", "stratified", "balanced"]),
    "validation_share": st.floats(1e-9, 1),
    "drops": st.lists(share, max_size=4),
    "device": one_of(["auto", "cpu", "cuda"]),
    "precision": one_of(["auto", "float32", "bfloat16"]),
    "space": one_of(["log_probs", "probs", "logits"]),
    "how": one_of(["jvp", "lookahead"]),
    "weight_rule": one_of(["label", "sum", "gate", "positive", "all"]),
    "sign": one_of([1, -1]),
    "encoding": one_of(["embedding", "one-hot"]),
    "twist": st.floats(-1e6, 1e6),
}
below_0 = one_of([-1, -0.5, -1e-9, -math.inf])
no_number = one_of(["1", "", None, [], {}, True, math.nan, math.inf, "abc", [1]])
no_integer = no_number | one_of([1.5, 2.0])
no_text = one_of([1, 1.5, None, True, [], {}])
not_positive = below_0 | no_number | st.just(0)
no_count = below_0 | no_integer | st.just(0)
WRONG = {
    **each("alpha sigma penalty temperature slope learning_rate spread", not_positive),
    **each("beta gumbel weight_decay", below_0 | no_number),
    **each("probability margin dropout validation_noise", below_0 | no_number | st.just(1.001)),
    **each("optimizer_aware centre compile batch_norm", one_of([0, 1, "true", None, "yes"])),
    **each("operations iterations depth seeds epochs batch_size heads steps test", no_count),
    **each("space how weight_rule device select", no_text | one_of(["", "Gate", "x"])),
    **each("encoding kind batch", no_text | one_of(["", "Gate", "x"])),
    **each("views split_seed", no_integer),
    **each("label target reading", no_text),
    "magnitude": no_integer | one_of([31, -1, 10**30]),
    "width": no_integer | st.integers(-9, 7),
    "minutes": one_of([0, -1, 1.5, "1", [], True]),
    "validation_batch": one_of([3, 0, -4, "al", None, 4.0, True, []]),
    "validation_share": below_0 | no_number | one_of([0, 1.1]),
    "drops": one_of([0.5, None, "0.5", [1.5], [-0.1], ["x"], [math.nan], {}]),
    "sign": one_of([0, 2, "1", None, -2]),
    "file": no_text | one_of(["", ".", "..", ".x", "a/b", "/etc/passwd", "a\\b", "a\0"]),
    "twist": no_number,
    "grid": below_0 | no_integer | st.integers(0, 1),
    "refiners": one_of([None, "none", ["nobody"], [1], ["none", "none"], [None], {}]),
    "datasets": one_of([None, "digits", ["nobody"], [1], ["digits", "digits"]]),
    "models": one_of([None, ["nobody"], [1], ["mlp", "mlp"], ["resnet18", "mlp"]]),
    "batches": one_of([None, [], ["clean"], ["augmented", "augmented"], [1]]),
    "sigmas": one_of([[], None, [-1.0], [0.1, 0.1], ["x"], 0.1, [math.inf], [0.2, 0.1]]),
}
REQUIRED = {
    **each("kind probability labels learning_rate width hidden heads", PARAMS),
    **each("split_seed target file reading", PARAMS),
    **each("images tabular tables training clean epochs batch_size drops", PROFILE),
    **each("sigmas picture minutes data", PROFILE),
}


def places(content, at=()):
    """The path of every value below a mapping, mappings and lists among them."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def inside(content, path):
    for part in path:
        content = content[part]
    return content


def put(content, path, value):
    inside(content, path[:-1])[path[-1]] = value


EVERYWHERE = [(name, path) for name in BEFORE for path in places(BEFORE[name])]


def named(keys):
    """Paths that end with one of these keys of a setting, not with the name of an entry."""
    found = [(n, p) for n, p in EVERYWHERE if p[-1] in keys and not (n == PARAMS and len(p) < 3)]
    return [(n, p) for n, p in found if "picture" not in p or p[-1] == "refiners"]


def as_yaml(content):
    """JSON, which YAML has as a part, with YAML's words for numbers that JSON lacks."""
    text = json.dumps(content, ensure_ascii=False)
    return text.replace("NaN", ".nan").replace("-Infinity", "-.inf").replace("Infinity", ".inf")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "dvc.yaml").write_text("vars:\n- profiles/quick.yaml\n")
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def base(folder):
    return house.load().model_dump()


def write(folder, contents):
    for name, content in contents.items():
        (folder / name).write_text(as_yaml(content), encoding="utf-8")


def loaded():
    """The settings, or None and what is said of them."""
    try:
        return house.load(), ""
    except SettingsError as error:
        return None, str(error)


def check_plan(everything, params, profile):
    """Cells, seeds and epochs against arithmetic of one's own on what the files say."""
    expected = {}
    none = {"upstreams": [], "refiners": []}
    for experiment in ("images", "tabular", "generated", "contrastive"):
        grid = profile[experiment]
        clean, batches = grid["clean"], grid.get("batches", [])
        crops, beside = grid.get("crops", none), grid.get("beside", none)
        controlled = grid.get("controlled", none)
        rows = [
            *product(clean["models"], ["none"], clean["refiners"], ["clean"]),
            *product(grid["models"], grid["upstreams"], grid["refiners"], batches),
            *product(grid["models"], crops["upstreams"], crops["refiners"], batches),
            *product(grid["models"], controlled["upstreams"], controlled["refiners"], batches),
            *product(grid["models"], beside["upstreams"], beside["refiners"], batches),
        ]
        for dataset, (model, upstream, refiner, batch) in product(grid["datasets"], rows):
            keys = (dataset, model, f"{dataset}/{model}")
            limits = [x for k in keys if (x := grid.get("limits", {}).get(k))]

            def least(name, value, limits=limits):
                return min([value, *(x[name] for x in limits if x.get(name))])

            expected[experiment, dataset, model, upstream, refiner, batch] = (
                least("seeds", grid.get("seeds", 1)),
                least("epochs", grid["training"]["epochs"]),
            )
    got = {
        (*vars(planned.method).values(), batch): (planned.seeds, planned.recipe.training.epochs)
        for planned in house.methods(everything)
        for batch in planned.batches
    }
    assert got == expected
    for planned in house.methods(everything):
        entry = params["models"][planned.method.model]
        assert planned.recipe.model.model_dump() | entry == planned.recipe.model.model_dump()


def agrees(found, written):
    """What was written is in what was loaded, value by value."""
    if isinstance(written, dict):
        return isinstance(found, dict) and all(
            key in found and agrees(found[key], value) for key, value in written.items()
        )
    if isinstance(written, list):
        return len(found) == len(written) and all(map(agrees, found, written))
    return found == written and isinstance(found, bool) == isinstance(written, bool)


@fuzz
@given(st.data())
def test_legal_changes_arrive_as_they_were_written(folder, base, data):
    contents, expected = copy.deepcopy((BEFORE, base))
    for name, path in data.draw(st.lists(st.sampled_from(named(LEGAL)), min_size=1, max_size=4)):
        value = data.draw(LEGAL[path[-1]], label=".".join(map(str, path)))
        put(contents[name], path, value)
        put(expected, (*(["profile"] if name == PROFILE else []), *path), value)
    write(folder, contents)
    everything = house.load()
    assert everything.model_dump() == expected
    check_plan(everything, contents[PARAMS], contents[PROFILE])
    assert json.dumps(list(map(str, plan(everything))))


@fuzz
@given(st.data())
def test_a_mistake_is_named_with_file_and_key(folder, data):
    contents = copy.deepcopy(BEFORE)
    kind = data.draw(st.sampled_from(["value", "missing", "unknown", "name"]))
    if kind == "value":
        name, path = data.draw(st.sampled_from(named(WRONG)))
        put(contents[name], path, data.draw(WRONG[path[-1]]))
        key = ".".join(map(str, path))
    elif kind == "missing":
        name, path = data.draw(
            st.sampled_from([(n, p) for n, p in named(REQUIRED) if REQUIRED[p[-1]] == n])
        )
        del inside(contents[name], path[:-1])[path[-1]]
        key = ".".join(path[:-1]) if path[-1] in ("kind", "training") else ".".join(path)
    elif kind == "unknown":
        entries = [
            (n, p) for n, p in EVERYWHERE
            if isinstance(inside(BEFORE[n], p), dict) and (n == PROFILE or len(p) == 2)
        ]  # fmt: skip
        name, path = data.draw(st.sampled_from(entries))
        word = data.draw(st.text("abcxyz", min_size=3, max_size=9)) + "_"
        inside(contents[name], path)[word] = data.draw(st.sampled_from([1, None, "x", [], {}]))
        key = ".".join((*path, word))
    else:
        name, section = PARAMS, data.draw(st.sampled_from(sorted(BEFORE[PARAMS])))
        word = data.draw(st.sampled_from(["", " ", "a b", "../x", "$(id)", "-x", ".x", "x" * 65]))
        contents[name][section][word] = next(iter(contents[name][section].values()))
        key = f"{section}.{word}"
    write(folder, contents)
    with pytest.raises(SettingsError) as caught:
        house.load()
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{name}: ") for line in lines)
    last = key.split(".")[-1].strip()
    assert any(key in line or (key.rsplit(".", 1)[0] in line and last in line) for line in lines)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | label
    | st.sampled_from(["none", "paper", "digits", "wine", "mlp", "augmented", "all", "images"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(label, inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@st.composite
def spoilt(draw):
    """The two files' texts with some values replaced, moved, doubled or gone, or bytes changed."""
    contents, texts = copy.deepcopy(BEFORE), {}
    for _ in range(draw(st.integers(1, 3))):
        name, path = draw(st.sampled_from(EVERYWHERE))
        try:
            parent = inside(contents[name], path[:-1])
            match draw(st.sampled_from(["replace", "delete", "move", "rename", "append"])):
                case "replace":
                    parent[path[-1]] = draw(anything)
                case "delete":
                    del parent[path[-1]]
                case "move":
                    parent[path[-1]] = copy.deepcopy(
                        inside(BEFORE[name], draw(st.sampled_from(EVERYWHERE))[1])
                    )
                case "rename":
                    parent[draw(label)] = parent.pop(path[-1])
                case "append":
                    parent.append(draw(anything | st.sampled_from(parent)))
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    for name, content in contents.items():
        text = draw(st.sampled_from([as_yaml(content), TEXTS[name]]))
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(text) - 1))
            piece = draw(st.text(" \n\t:-#{}[],'\"&*!|>%@0a.é\x00\u2028", max_size=3))
            text = text[:at] + piece + text[at + draw(st.integers(0, 5)) :]
        texts[name] = text
    return texts


@fuzz
@given(spoilt())
def test_anything_else_is_named_or_is_what_dvc_reads(folder, texts):
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    everything, message = loaded()
    event("refused" if message else "read")
    if everything is None:
        named = (f"{PARAMS}: ", f"{PROFILE}: ")
        assert any(line.startswith(named) for line in message.splitlines())
        return
    params, profile = (
        parse_yaml((folder / n).read_text(encoding="utf-8"), n) for n in (PARAMS, PROFILE)
    )
    dump = everything.model_dump()
    assert agrees(dump, params | {"profile": profile})
    check_plan(everything, params, profile)
    with suppress(DataError):
        plan(everything)


# ---- the toy -------------------------------------------------------------------------------------
few = st.integers(1, 4)


def some(values, most):
    """Some of these in any order, rarely none of them."""
    full = st.lists(one_of(values), min_size=1, max_size=most, unique=True)
    return st.integers(0, 9).flatmap(lambda i: full if i else st.just([]))


in_toy = ["train-validation", "paper", "calibrated", "permuted"]
TOY = {
    "train": st.integers(1, 12),
    "validation": st.integers(4, 12),
    "test": st.integers(1, 12),
    "spread": st.floats(1e-6, 10),
    "twist": st.floats(-10, 10),
    "hidden": few,
    "learning_rate": st.floats(1e-3, 1) | st.just(1e30),
    "steps": st.integers(1, 4) | st.just(4),
    "batch_size": st.integers(1, 20),
    "batch": st.sampled_from(["augmented", "clean-augmented"]),
    "sigmas": some([0.0, 0.1, 0.5, 2.0], 2),
    "seeds": st.integers(1, 2),
    "refiners": st.lists(one_of(in_toy), max_size=3, unique=True).map(lambda t: ["none", *t]),
    "grid": st.integers(2, 5),
    "picture": st.fixed_dictionaries(
        {
            "sigma": st.floats(0, 3),
            "seed": index,
            "steps": some([0, 1, 2], 2),
            "refiners": some(in_toy, 2),
        }
    ),
}


class Here:
    """A process pool that runs in this process."""

    def __init__(self, *_):
        self.map = map

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@settings(fuzz, max_examples=fuzz.max_examples // 6)
@given(st.data())
@pytest.mark.filterwarnings("ignore:No contour levels", "ignore:Tight layout", "error:Attempting")
def test_a_toy_that_loads_is_computed_and_drawn(folder, monkeypatch, data):
    from replication.report.legend import Legend
    from replication.report.toy_figures import figure_2a, figure_2b
    from replication.stages import toy as stage

    monkeypatch.setattr(stage, "ProcessPoolExecutor", Here)
    contents = copy.deepcopy(BEFORE)
    contents[PROFILE]["toy"] = data.draw(st.fixed_dictionaries(TOY))
    write(folder, contents)
    everything, message = loaded()
    if everything is None:
        assert f"{PROFILE}: toy" in message
        event(message.split(": ", 2)[2][:40])
        return
    event("read")
    toy = everything.profile.toy
    named = {*toy.refiners, *toy.picture.refiners}
    refiners = {name: (everything.refiners[name], everything.reading(name)) for name in named}
    try:
        computed = json.loads(json.dumps(stage.compute(toy.model_dump(), refiners)))
    except (ValueError, FloatingPointError):
        assert toy.learning_rate == 1e30
        return
    above, _ = figure_2a(computed, Legend.of(everything)).axes
    drawn = {name: [] for name in toy.refiners}
    for record in computed["records"]:
        scores = record["accuracy"]
        assert all(abs(s * toy.test - round(s * toy.test)) < toy.test * 1e-4 for s in scores)
        if record["refiner"] in drawn:
            drawn[record["refiner"]].append(100 * sum(scores) / len(scores))
    lines = [list(line.get_ydata()) for line in above.lines]
    for means in drawn.values():
        assert any(means == pytest.approx(line) for line in lines)
    assert above.get_xlim()[0] <= toy.sigmas[0] < above.get_xlim()[1]
    figure = figure_2b(computed, Legend.of(everything))
    shown = [axes.get_title(loc="left").split(":")[0] for axes in figure.axes]
    assert shown == [f"step {s}" for s in sorted(toy.picture.steps)] * len(toy.picture.refiners)
    for drawing in (above.figure, figure):
        drawing.savefig(folder / "figure.png", dpi=20)
