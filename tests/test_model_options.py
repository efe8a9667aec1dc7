"""What each option of the encoder does, and that options for speed change no result."""

import copy
import warnings

import pytest
import torch
from model_maker import clips, distance, float64, gradients, greatest_distance, stir, tiny

from perceiver.model.encoder import Encoder
from perceiver.model.initial import linear, truncated_normal_
from perceiver.model.perceiver import build_model
from perceiver.model.tokens import Tokens


def test_the_seed_alone_decides_the_initial_weights() -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build_model(tiny()).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.latents"], other["encoder.latents"])


def test_initial_values_follow_haiku() -> None:
    torch.manual_seed(0)
    latents = truncated_normal_(torch.empty(500, 500), scale=0.02)
    assert latents.abs().max() <= 0.04
    assert latents.std().item() == pytest.approx(0.0176, rel=0.01)
    layer = linear(400, 600)
    assert layer.weight.std().item() == pytest.approx(1 / 20, rel=0.01)
    assert not layer.bias.any()


def test_what_is_learned_starts_at_the_scale_that_the_config_or_the_paper_gives() -> None:
    """0.02 for modality embeddings and the read-out's query, 1 for learned positions (DeepMind's code, paper 4.1)."""
    torch.manual_seed(0)
    learned = {"inputs__video__positions": "learned", "inputs__video__position_channels": 100}
    model = build_model(tiny(latents=50, latent_channels=256, latent_init_std=0.5, readout="query", **learned))
    starts = [
        (model.encoder.latents, 0.5),
        (model.tokens.embeddings["audio"], 0.02),
        (model.readout.query, 0.02),
        (model.tokens.positions["video"].table, 1.0),
    ]
    for param, scale in starts:
        assert param.numel() >= 256 and param.abs().max() <= 2 * scale
        assert param.std().item() == pytest.approx(0.88 * scale, rel=0.12)


def test_a_new_model_gives_every_class_probability_one_half() -> None:
    model = build_model(tiny())
    assert not model(clips(model.config)).any()


def test_shared_weights_follow_the_papers_rule() -> None:
    """The first cross-attend is its own, the others are one module, and all blocks are one, the first included."""
    config = tiny(iterations=4, share_weights=True)
    encoder = Encoder(config, 9)
    assert (len(encoder.cross_attends), len(encoder.blocks)) == (2, 1)
    unshared = Encoder(config.model_copy(update={"share_weights": False}), 9)
    shared, state = encoder.state_dict(), {}
    for name in unshared.state_dict():
        number = name.split(".")[1] if "." in name else ""
        first = {"cross_attends": str(min(int(number or 0), 1)), "blocks": "0"}.get(name.split(".")[0], number)
        state[name] = shared[name.replace(f".{number}.", f".{first}.", 1)]
    unshared.load_state_dict(state)
    tokens = [Tokens(torch.randn(2, 11, 9))]
    assert torch.equal(encoder(tokens), unshared(tokens))


def test_at_start_runs_all_cross_attends_before_all_blocks() -> None:
    encoder = stir(Encoder(tiny(iterations=2, placement="at_start", absorbed_attention=False), 9))
    array = torch.randn(2, 11, 9)
    latents = encoder.latents.expand(2, -1, -1)
    for module in encoder.cross_attends:
        latents = module(latents, array)
    for module in (layer for block in encoder.blocks for layer in block):
        latents = module(latents)
    assert torch.equal(encoder([Tokens(array)]), latents)


@pytest.mark.parametrize("absorbed", [True, False])
def test_unrolled_time_shows_each_cross_attend_its_own_frames(absorbed) -> None:
    model = stir(build_model(tiny(unroll_time=True, iterations=2, absorbed_attention=absorbed)))
    seen: list[torch.Tensor] = []
    for cross_attend in model.encoder.cross_attends:
        cross_attend.register_forward_hook(lambda module, arguments, output: seen.append(output))
    inputs = clips(model.config)
    model(inputs)
    later = inputs["video"].clone()
    later[:, 2:] = 255 - later[:, 2:]
    model({**inputs, "video": later})
    first, second, first_again, second_again = seen
    assert torch.equal(first, first_again)
    assert not torch.equal(second, second_again)


def test_audio_stays_whole_unless_it_is_unrolled_too() -> None:
    for unrolled, tokens in ((False, 128 + 4), (True, 64 + 4)):
        model = build_model(tiny(unroll_time=True, inputs__audio__unrolled=unrolled))
        maps = model.encoder.attention(model.tokens(clips(model.config)))
        assert [weights.shape[-1] for weights in maps] == [tokens, tokens]


def test_the_order_of_tokens_does_not_matter() -> None:
    encoder = stir(Encoder(tiny(), 9))
    array = torch.randn(2, 11, 9)
    assert torch.allclose(encoder([Tokens(array)]), encoder([Tokens(array[:, torch.randperm(11)])]), atol=1e-4)


def test_gelu_variants_differ_by_little() -> None:
    tanh = stir(build_model(tiny(gelu="tanh")))
    erf = build_model(tiny(gelu="erf"))
    erf.load_state_dict(tanh.state_dict())
    inputs = clips(tanh.config)
    assert 0 < distance(tanh(inputs), erf(inputs)) < 0.05


@pytest.mark.parametrize("changes", [{}, {"cross_heads": 2, "inputs__video__embedding": 3}, {"readout": "query"}])
def test_activation_checkpointing_changes_no_result(changes) -> None:
    with float64():
        model = stir(build_model(tiny(**changes)))
        inputs = clips(model.config)
        output = model(inputs)
        kept = gradients(model, output)
        model.checkpoint_activations(True)
        computed_again = model(inputs)
        assert torch.equal(output, computed_again)
        assert greatest_distance(gradients(model, computed_again), kept) < 1e-12


def test_a_copy_keeps_checkpointing_and_results() -> None:
    model = stir(build_model(tiny()))
    model.checkpoint_activations(True)
    inputs = clips(model.config)
    assert torch.equal(copy.deepcopy(model)(inputs), model(inputs))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # of dynamo's, about its own doing
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_whole_model_compiles_to_one_graph_with_the_same_results(checkpointing) -> None:
    model = stir(build_model(tiny()))
    model.checkpoint_activations(checkpointing)
    inputs = clips(model.config)
    present, mask = {"video": torch.tensor([True, False, True])}, torch.rand(3, 8, 16) < 0.2
    eager = model(inputs, present=present, mel_mask=mask)
    grads = gradients(model, eager)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    output = compiled(inputs, present=present, mel_mask=mask)
    assert distance(output, eager) < 1e-5
    assert greatest_distance(gradients(model, output), grads) < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_inductors_code_gives_the_same_results() -> None:
    model = stir(build_model(tiny(iterations=1, layers_per_block=1)))
    inputs = clips(model.config)
    eager = model(inputs)
    grads = gradients(model, eager)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own about complex numbers: the spectrum
        output = torch.compile(model)(inputs)
        assert distance(output, eager) < 1e-5
        assert greatest_distance(gradients(model, output), grads) < 1e-4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_in_bfloat16_stays_near_the_cpu_in_float32(compiled) -> None:
    model = stir(build_model(tiny()))
    inputs = clips(model.config)
    expected = model(inputs)
    model.cuda()
    run = torch.compile(model) if compiled else model
    with warnings.catch_warnings(), torch.autocast("cuda", torch.bfloat16):
        warnings.simplefilter("ignore")
        output = run({name: values.cuda() for name, values in inputs.items()})
        output.float().sum().backward()
    assert distance(output.float().cpu(), expected) < 0.05


@pytest.mark.parametrize("readout", ["mean", "query"])
def test_every_class_starts_at_the_prior(readout: str) -> None:
    model = build_model(tiny(readout=readout, prior=0.01))
    torch.testing.assert_close(model(clips(model.config)).sigmoid().unique(), torch.tensor([0.01]))
