"""The Perceiver's encoder: iterations of one cross-attend and a block of self-attends over a learned latent array."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from perceiver.config import ModelConfig
from perceiver.model.absorbed import FoldedTokens, fold
from perceiver.model.attention import CrossAttend, SelfAttend
from perceiver.model.initial import truncated_normal_
from perceiver.model.tokens import Tokens, join


class Encoder(nn.Module):
    """Latents (N, D) that look at tokens of any origin, C channels wide; knows neither video nor audio.

    With `share_weights`, as the paper's parameter counts demand: cross-attends 2..R are one module, all blocks are one
    module, and the first cross-attend is its own.
    """

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        latents = torch.empty(config.latents, config.latent_channels)
        self.latents = nn.Parameter(truncated_normal_(latents, scale=config.latent_init_std))
        distinct = config.iterations
        self.cross_attends = nn.ModuleList(
            CrossAttend(config.latent_channels, channels, config.cross_heads, config.widening, config.gelu)
            for _ in range(min(distinct, 2) if config.share_weights else distinct)
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                SelfAttend(config.latent_channels, config.self_heads, config.widening, config.gelu)
                for _ in range(config.layers_per_block)
            )
            for _ in range(1 if config.share_weights else distinct)
        )

    @property
    def absorbed(self) -> bool:
        """Whether cross-attends run in the absorbed form, which one head alone allows."""
        return self.config.absorbed_attention and self.config.cross_heads == 1

    def forward(self, tokens: list[Tokens]) -> Tensor:
        """Latents (B, N, D) after all iterations over the tokens of one or two modalities."""
        latents = self.latents.expand(tokens[0].features.shape[0], -1, -1)
        seen = self._seen(tokens)
        for kind, iteration in self._steps():
            if kind == "cross_attend":
                cross_attend = self.cross_attends[min(iteration, len(self.cross_attends) - 1)]
                latents = self._run(cross_attend, latents, seen[iteration])
            else:
                for self_attend in self.blocks[min(iteration, len(self.blocks) - 1)]:
                    latents = self._run(self_attend, latents)
        return latents

    def attention(self, tokens: list[Tokens]) -> list[Tensor]:
        """What every cross-attend looks at, in the order of iterations: (B, heads, N, M of its tokens) each."""
        maps: list[Tensor] = []

        def observe(cross_attend: CrossAttend, arguments: tuple[Tensor, object]) -> None:
            part, parts = len(maps), self.config.iterations
            maps.append(cross_attend.weights(arguments[0], [group.stretch(part, parts) for group in tokens]))

        hooks = [cross_attend.register_forward_pre_hook(observe) for cross_attend in self.cross_attends]
        try:
            self(tokens)
        finally:
            for hook in hooks:
                hook.remove()
        return maps

    def _steps(self) -> list[tuple[str, int]]:
        """Cross-attends and blocks in the order in which they run."""
        iterations = range(self.config.iterations)
        if self.config.placement == "interleaved":
            return [(kind, i) for i in iterations for kind in ("cross_attend", "block")]
        return [("cross_attend", i) for i in iterations] + [("block", i) for i in iterations]

    def _seen(self, tokens: list[Tokens]) -> list[Tensor] | list[list[FoldedTokens]]:
        """What the cross-attend of each iteration sees; normalised, or joined to an array, once for all of them."""
        parts = self.config.iterations
        if self.absorbed:
            folded = [fold(group) for group in tokens]
            return [[group.stretch(part, parts) for group in folded] for part in range(parts)]
        if not any(group.unrolled for group in tokens):
            return [join(tokens)] * parts
        return [join([group.stretch(part, parts) for group in tokens]) for part in range(parts)]

    def _run(self, module: nn.Module, *arguments: object) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(module, *arguments, use_reentrant=False, preserve_rng_state=False)  # nothing draws
        return module(*arguments)
