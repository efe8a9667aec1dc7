"""The code digest: what changes it, what does not, on which Python, and that nothing that computes is outside."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import perceiver.errors
from orchestrator.plan.closure import closure_digest, symbols
from orchestrator.plan.sources import Target
from perceiver.config import dump, parse, with_changes
from perceiver.data.audioset import DataSource

PACKAGE = Path(perceiver.errors.__file__).parent
ROOTS = (Target("perceiver.train", "train"),)
TRAIN = """
from perceiver.net import Net
from perceiver import sizes
import perceiver.words as say


def train(steps=sizes.STEPS):
    net = Net()
    for step in range(steps):
        net.forward(step)
    return say.hello(net)
"""
NET = """
import math

from perceiver.sizes import WIDTH as width
from perceiver.sums import add


class Net:
    size: int = 2 * width

    def forward(self, x):
        return add(math.sin(x), self.size) if x else self.again(x)

    def again(self, x):
        add = lambda one: one + 1
        return [add(WIDTH) for WIDTH in range(x)]
"""
SIZES = "WIDTH = 3\nSTEPS = 5\nUNUSED = 1\n"
SUMS = "def add(one, two):\n    return one + two\n\n\ndef unused():\n    return add(1, 2)\n"
WORDS = "COMPUTES = False\n\n\ndef hello(net):\n    return 'hello'\n"


def digest(folder: Path, **sources: str) -> str:
    for name, source in (dict(train=TRAIN, net=NET, sizes=SIZES, sums=SUMS, words=WORDS) | sources).items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return closure_digest(folder, ROOTS)


@pytest.fixture
def before(tmp_path: Path) -> str:
    return digest(tmp_path / "before")


@pytest.mark.parametrize(
    "sources",
    [
        {"cnn14": "class Cnn14: pass\n"},
        {"sums": SUMS.replace("add(1, 2)", "add(1, 3)")},
        {"sizes": SIZES.replace("UNUSED = 1", "")},
        {"sums": f'"""Sums."""\n\n# of two\n{SUMS}'},
        {"sums": SUMS.replace("    return one + two", '    """Their sum."""\n    return (one +\n        two)')},
        {"sums": SUMS.replace("(one, two):", "(one: int, two: 'Two') -> float:")},
        {"sums": SUMS.replace("    return one + two", "    pass\n    return one + two")},
        {"sums": f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from perceiver.net import Net\n{SUMS}"},
        {"sums": f"{SUMS}\nif __name__ == '__main__':\n    add(1, 1)\n"},
        {"words": WORDS.replace("'hello'", "f'good morning, {net}'")},
        {"net": NET.replace("import math", "from math import sin as sine").replace("math.sin", "sine")},
        {"net": NET.replace(" as width", "").replace("2 * width", "2 * WIDTH")},
        {
            "net": NET.replace("from perceiver.sums import add", "from perceiver import sums").replace(
                " add(m", " sums.add(m"
            )
        },
        {"train": TRAIN.replace("net import Net", "net import Net as Model").replace("Net()", "Model()")},
        {
            "train": TRAIN.replace("net import Net", "shown import Net"),
            "shown": "from perceiver.net import Net as Net\n",
        },
        {"train": TRAIN.replace("perceiver.net", "perceiver.deep.model"), "deep__model": NET, "net": ""},
        {"sums": SUMS.replace("add", "plus"), "net": NET.replace("import add", "import plus as add")},
        {
            "sums": "",
            "net": NET.replace("from perceiver.sums import add\n", "").replace("class Net", f"{SUMS}\nclass Net"),
        },
    ],
    ids=lambda sources: " ".join(sources),
)
def test_what_changes_no_result_keeps_the_digest(before: str, sources: dict[str, str], tmp_path: Path) -> None:
    assert digest(tmp_path / "after", **sources) == before


@pytest.mark.parametrize(
    "sources",
    [
        {"sums": SUMS.replace("one + two", "one - two")},
        {"sizes": SIZES.replace("WIDTH = 3", "WIDTH = 4")},
        {"sizes": SIZES.replace("STEPS = 5", "STEPS = 5.0")},
        {"sizes": SIZES.replace("STEPS = 5", "STEPS = '5'")},
        {"sizes": f"{SIZES}STEPS += 1\n"},
        {"sizes": f"{SIZES.replace('WIDTH = 3', 'WIDTH = {}')}for number in range(3):\n    WIDTH[number] = 1\n"},
        {"sizes": f"import torch\n\n{SIZES}torch.set_default_dtype(torch.float64)\n"},
        {"net": NET.replace("math.sin", "math.cos")},
        {"net": NET.replace("import math", "import cmath as math")},
        {"net": NET.replace("class Net:", "class Net(dict):")},
        {"net": NET.replace("size: int", "size: float")},
        {"net": NET.replace("class Net:", "@print\nclass Net:")},
        {"net": NET.replace("one + 1", "one + 2")},
        {"net": f"{NET}\n\nNet.forward = Net.again\n"},
        {"train": TRAIN.replace("STEPS", "WIDTH")},
        {"train": TRAIN.replace("say.hello", "say.goodbye")},
        {"words": WORDS.replace("COMPUTES = False", "COMPUTES = True")},
    ],
    ids=lambda sources: " ".join(sources),
)
def test_what_computes_changes_the_digest(before: str, sources: dict[str, str], tmp_path: Path) -> None:
    assert digest(tmp_path / "after", **sources) != before


def test_what_fills_a_table_belongs_to_it(tmp_path: Path) -> None:
    def filled(folder: str, value: int) -> str:
        return digest(
            tmp_path / folder, sizes=f"STEPS, WIDTH = 5, {{}}\nfor key in range(3):\n    WIDTH[key] = {value}\n"
        )

    assert filled("a", 1) != filled("b", 2)


def test_functions_that_need_one_another_are_told_apart(tmp_path: Path) -> None:
    def even_and_odd(folder: str, train: str, odd: str = "x and even(x - 1)") -> str:
        sums = f"def even(x):\n    return not x or odd(x - 1)\n\n\ndef odd(x):\n    return {odd}\n"
        return digest(tmp_path / folder, sums=sums, train=f"from perceiver.sums import {train}\ntrain = {train}\n")

    digests = {even_and_odd("a", "even"), even_and_odd("b", "odd"), even_and_odd("c", "even", "x or even(x - 1)")}
    assert len(digests) == 3


def test_a_name_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"perceiver\.sums has no product"):
        digest(tmp_path, net=NET.replace("import add", "import product as add"))


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_every_python_gives_the_same_digest(version: str) -> None:
    python = _python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    code = "from orchestrator.plan.closure import closure_digest; print(closure_digest())"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    told = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == closure_digest()


def _python(version: str) -> str | None:
    """A Python of that version on the PATH or of pyenv; nothing else needs to be installed in it."""
    of_pyenv = sorted((Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions").glob(f"{version}.*"))
    places = [shutil.which(f"python{version}"), *(str(folder / "bin" / "python") for folder in of_pyenv)]
    return next((place for place in places if place and subprocess.run([place, "--version"]).returncode == 0), None)


RUN = """
import json, sys, threading
ran = set()
def see(frame, event, argument):
    if event == "call" and "/perceiver/" in frame.f_code.co_filename:
        ran.add((frame.f_code.co_filename, frame.f_code.co_qualname.partition(".")[0]))
from perceiver.config import parse
from perceiver.config import dump, parse, with_changes
from perceiver.data.audioset import DataSource
from perceiver.train import train
threading.setprofile_all_threads(see) if hasattr(threading, "setprofile_all_threads") else threading.setprofile(see)
sys.setprofile(see)
for config, data in json.loads(sys.argv[1]):
    for progress in train(parse(config), data=DataSource(**data)):
        pass
sys.setprofile(None)
print(json.dumps(sorted(ran)))
"""
SMALL = {
    "model": {
        "classes": 9,
        "latents": 4,
        "latent_channels": 8,
        "iterations": 1,
        "layers_per_block": 1,
        "inputs": {
            "video": {"size": 16, "frames": 8, "patch": [2, 8, 8], "bands": 2},
            "audio": {"samples": 15360, "bands": 2},
        },
    },
    "train": {"steps": 1, "batch_size": 2},
    "eval": {"clips": 2, "times": 1},
}

VARIANTS = (
    {"train.mixup": 0.5, "train.spec_augment": True, "train.ema": 0.9, "data.sampler": "balanced"},
    {
        "model.inputs.video": None,
        "model.inputs.audio.kind": "raw",
        "train.optimizer": "lamb",
        "data.sampler": "weighted",
    },
    {
        "model.inputs.audio": None,
        "model.share_weights": True,
        "train.augment": False,
        "model.absorbed_attention": False,
    },
)


def test_everything_that_runs_while_a_trial_trains_is_in_its_closure(synthetic_source: DataSource) -> None:
    runs = json.dumps(
        [(dump(with_changes(parse(SMALL), changes)), {"url": synthetic_source.url}) for changes in VARIANTS]
    )
    told = subprocess.run([sys.executable, "-c", RUN, runs], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    covered = symbols()
    for file, name in json.loads(told.stdout):
        module = ".".join(Path(file).relative_to(PACKAGE.parent).with_suffix("").parts)
        if not name.startswith("<"):  # lambdas and comprehensions at the top of a module
            assert f"{module}.{name}" in covered, f"{name} of {module} ran, but the code digest does not cover it"
