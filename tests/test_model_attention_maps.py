"""What latents look at, as numbers and as pictures."""

import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from model_maker import clips, stir, tiny

from perceiver.attention_maps import draw_attention, draw_clip
from perceiver.config import load, with_changes
from perceiver.errors import DataError
from perceiver.model.perceiver import build_model
from perceiver.state import TrainState
from perceiver.train import train

BASE = Path(__file__).parent.parent / "sweeps" / "base" / "tiny.yaml"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("absorbed", [True, False])
@pytest.mark.parametrize(
    ("changes", "grids"),
    [
        ({}, {"audio": (8, 16), "video": (2, 2, 2)}),
        ({"inputs__audio__kind": "raw"}, {"audio": (60,), "video": (2, 2, 2)}),
        ({"inputs__audio": None}, {"video": (2, 2, 2)}),
        ({"inputs__video": None, "iterations": 3}, {"audio": (8, 16)}),
        ({"unroll_time": True}, {"audio": (8, 16), "video": (1, 2, 2)}),
        ({"cross_heads": 2, "inputs__video__embedding": 3}, {"audio": (8, 16), "video": (2, 2, 2)}),
        ({"share_weights": True, "iterations": 3, "placement": "at_start"}, {"audio": (8, 16), "video": (2, 2, 2)}),
    ],
)
def test_every_cross_attend_gives_a_distribution_over_the_grids_it_sees(changes, grids, absorbed) -> None:
    model = stir(build_model(tiny(**changes, absorbed_attention=absorbed)))
    maps = model.attention_maps(clips(model.config))
    assert len(maps) == model.config.iterations
    for each in maps:
        assert {name: part.shape for name, part in each.items()} == {n: (3, 7, *grid) for n, grid in grids.items()}
        assert torch.allclose(sum(part.flatten(2).sum(-1) for part in each.values()), torch.ones(3, 7))


def test_maps_are_the_weights_that_the_forward_pass_uses() -> None:
    model = stir(build_model(tiny(iterations=1, layers_per_block=0)))
    encoder, inputs = model.encoder, clips(model.config)
    tokens = model.tokens(inputs)
    cross_attend, latents = encoder.cross_attends[0], encoder.latents.expand(3, -1, -1)
    values = torch.cat([group.array() for group in tokens], dim=1)
    weights = torch.cat([part.flatten(2) for part in model.attention_maps(inputs)[0].values()], dim=-1)
    attended = cross_attend.out(weights @ cross_attend.value(cross_attend.input_norm(values)))
    assert torch.allclose(cross_attend.dense(latents + attended), encoder(tokens), atol=1e-4)


def test_a_latent_that_asks_for_a_place_looks_there() -> None:
    """Queries made of one video token's keys: attention lands on that token of the grid."""
    model = build_model(tiny(iterations=1))
    cross_attend = model.encoder.cross_attends[0]
    inputs = clips(model.config)
    array = torch.cat([group.array() for group in model.tokens(inputs)], dim=1)
    keys = cross_attend.key(cross_attend.input_norm(array))
    place = model.config.inputs.audio.tokens + (1 * 2 + 0) * 2 + 1  # time 1, row 0, column 1
    with torch.no_grad():
        cross_attend.query.weight.zero_()
        cross_attend.query.bias.copy_(100 * keys[0, place])
    map_ = model.attention_maps(inputs)[0]["video"][0, 0]
    assert map_.argmax().item() == (1 * 2 + 0) * 2 + 1
    assert map_[1, 0, 1] > 0.99


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"inputs__audio": None},
        {"inputs__video": None},
        {"inputs__audio__kind": "raw", "unroll_time": True, "inputs__audio__unrolled": True},
    ],
)
def test_drawing_writes_one_picture_per_cross_attend(tmp_path, changes) -> None:
    model = stir(build_model(tiny(**changes)))
    paths = draw_attention(model, clips(model.config), tmp_path / "maps", clip=1, latents=[0, 6])
    assert [path.name for path in paths] == ["cross_attend_1.png", "cross_attend_2.png"]
    assert all(path.read_bytes().startswith(PNG) and path.stat().st_size > 5_000 for path in paths)


def test_a_checkpoints_attention_is_drawn_over_any_clip(synthetic_source, tmp_path) -> None:
    config = with_changes(load(BASE), {"model.latents": 4, "train.steps": 1, "train.batch_size": 2, "eval.clips": 1})
    *_, progress = train(config, data=synthetic_source)
    progress.state.save(tmp_path / "checkpoint")
    clip = f"{synthetic_source.url}/clips/eval000000.mp4"
    command = [sys.executable, "-m", "perceiver.attention_maps", str(tmp_path / "checkpoint")]
    drawn = subprocess.run([*command, clip, str(tmp_path / "maps")], capture_output=True, text=True, check=True)
    paths = [Path(line) for line in drawn.stdout.splitlines()]
    assert [path.name for path in paths] == ["cross_attend_1.png", "cross_attend_2.png"]
    assert all(path.read_bytes().startswith(PNG) for path in paths)
    wrong = subprocess.run([*command, "nowhere.mp4", str(tmp_path / "maps")], capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stderr == "ClipError: nowhere.mp4 is not there\n"


def test_a_file_without_sound_is_told_as_such(tmp_path) -> None:
    TrainState.start(load(BASE), torch.device("cpu")).save(tmp_path / "checkpoint")
    with av.open(str(tmp_path / "silent.mp4"), "w") as silent:
        video = silent.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width = video.height = 32
        for _ in range(40):
            silent.mux(video.encode(av.VideoFrame(32, 32, "yuv420p")))
        silent.mux(video.encode(None))
    with pytest.raises(DataError, match=r"silent\.mp4 has no sound there, which this model needs$"):
        draw_clip(tmp_path / "checkpoint", str(tmp_path / "silent.mp4"), tmp_path / "maps")
