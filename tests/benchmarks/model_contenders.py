"""What `model.py` measures: our model, the public Perceivers behind our input tokens, and our latent blocks alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from perceiver.config import RunConfig, with_changes
from perceiver.model.attention import SelfAttend
from perceiver.model.inputs import InputTokens
from perceiver.model.perceiver import Perceiver, build_model
from perceiver.model.readout import MeanReadout
from perceiver.model.tokens import join


class Peer(nn.Module):
    """A public encoder between our tokens and our read-out."""

    def __init__(self, config: RunConfig, encoder: nn.Module) -> None:
        super().__init__()
        self.tokens = InputTokens(config.model)
        self.encoder = encoder
        self.readout = MeanReadout(config.model.latent_channels, config.model.classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.readout(self.encoder(join(self.tokens(inputs))))


class TransformersEncoders(nn.Module):
    """transformers has one cross-attend a model: iterations are a chain of its encoders."""

    def __init__(self, config: RunConfig) -> None:
        from transformers import PerceiverConfig
        from transformers.models.perceiver.modeling_perceiver import PerceiverEncoder

        super().__init__()
        model = config.model
        settings = PerceiverConfig(
            num_latents=model.latents,
            d_latents=model.latent_channels,
            d_model=model.input_channels,
            num_blocks=1,
            num_self_attends_per_block=model.layers_per_block,
            num_self_attention_heads=model.self_heads,
            num_cross_attention_heads=1,
            attention_probs_dropout_prob=0.0,
            hidden_act="gelu_new" if model.gelu == "tanh" else "gelu",
        )
        self.latents = nn.Parameter(torch.randn(model.latents, model.latent_channels) * model.latent_init_std)
        chain = (PerceiverEncoder(settings, kv_dim=model.input_channels) for _ in range(model.iterations))
        self.chain = nn.ModuleList(chain)

    def forward(self, array: Tensor) -> Tensor:
        latents = self.latents.expand(array.shape[0], -1, -1)
        for encoder in self.chain:
            latents = encoder(latents, inputs=array).last_hidden_state
        return latents


class PerceiverPytorch(nn.Module):
    """lucidrains' model with its own gated, four times wider dense layers; head widths like ours, or its own (64)."""

    def __init__(self, config: RunConfig, own_heads: bool) -> None:
        from perceiver_pytorch import Perceiver as Theirs

        super().__init__()
        model = config.model
        heads = {"cross_dim_head": model.input_channels, "latent_dim_head": model.latent_channels // model.self_heads}
        self.theirs = Theirs(
            num_freq_bands=1,
            max_freq=1.0,
            depth=model.iterations,
            input_channels=model.input_channels,
            input_axis=1,
            num_latents=model.latents,
            latent_dim=model.latent_channels,
            latent_heads=model.self_heads,
            self_per_cross_attn=model.layers_per_block,
            fourier_encode_data=False,
            final_classifier_head=False,
            **({} if own_heads else heads),
        )

    def forward(self, array: Tensor) -> Tensor:
        return self.theirs(array, return_embeddings=True)


class LatentBlocks(nn.Module):
    """The self-attends alone, without the cross-attends."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        model = config.model
        sizes = model.latent_channels, model.self_heads, model.widening, model.gelu
        self.layers = nn.Sequential(*(SelfAttend(*sizes) for _ in range(model.iterations * model.layers_per_block)))
        self.latents = nn.Parameter(torch.randn(model.latents, model.latent_channels))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.layers(self.latents.expand(next(iter(inputs.values())).shape[0], -1, -1))


def _plain(config: RunConfig) -> Perceiver:
    return build_model(with_changes(config, {"model.absorbed_attention": False}).model)


CONTENDERS: dict[str, Callable[[RunConfig], nn.Module]] = {
    "ours": lambda config: build_model(config.model),
    "ours, plain attention": _plain,
    "transformers": lambda config: Peer(config, TransformersEncoders(config)),
    "perceiver-pytorch": lambda config: Peer(config, PerceiverPytorch(config, own_heads=False)),
    "perceiver-pytorch, own heads": lambda config: Peer(config, PerceiverPytorch(config, own_heads=True)),
    "latent blocks of ours": LatentBlocks,
}
