"""Cross-attention that never makes keys or values of the input's size: exact algebra, half of the FLOPs.

With one head, keys and values are linear in the input array, so everything between the tokens and the softmax folds
into the queries, and everything behind it into the attended tokens. For a token t with LayerNorm x = (t - m) * r, scale
g and bias b, and projections W_k, W_v:

    scores   q (W_k (g x + b) + c_k)  =  (g * W_k^T q) x + ...     the rest is the same for all tokens: softmax drops it
    values   sum_i a_i (W_v (g x_i + b) + c_v)  =  W_v (g * sum_i a_i x_i + b) + c_v

The norm's own m and r fold too. A token is [f, e]: features f, and the modality embedding e that all of a modality's
tokens share. With F = r * [f, 1, m] (made once for all iterations) and q' = g * W_k^T q, both are products with F:

    q' x           =  [q'_f, q'_e e, -sum(q')] F
    sum_i a_i x_i  =  [u_f - u_m, e u_1 - u_m]      with u = [u_f, u_1, u_m] = sum_i a_i F_i

This matters for the gradient: where f holds nothing learned (pixels, mel values, Fourier features), the embedding
needs only the gradients of m and r, two numbers a token, and two of the backward pass's five large products fall away.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from perceiver.model.precision import as_given, for_products
from perceiver.model.tokens import Tokens, stretch_of

_ALIGNMENT = 8
"""Channels of F are filled up to a multiple of this: 16 bytes in bfloat16, what fast matrix kernels ask for."""

_Pairs = tuple[tuple[Tensor, Tensor, Tensor], ...]
"""Two matrices (B, N, M) and (B, N, f + 2), and the second's product with F, (B, N, M)."""


@dataclass(frozen=True)
class FoldedTokens:
    """One modality's tokens, normalised, as absorbed attention reads them."""

    features: Tensor
    """F of the module's docstring, (B, M, f + 2 and filling)."""
    mean: Tensor
    """m, (B, M)."""
    scale: Tensor
    """r, (B, M)."""
    embedding: Tensor | None
    """e, (C - f,)."""
    width: int
    """f."""
    unrolled: bool

    def stretch(self, part: int, parts: int) -> "FoldedTokens":
        """The tokens that cross-attend number `part` of `parts` sees."""
        if not self.unrolled:
            return self
        seen = stretch_of(self.mean.shape[1], part, parts)
        features, mean, scale = self.features[:, seen], self.mean[:, seen], self.scale[:, seen]
        return FoldedTokens(features, mean, scale, self.embedding, self.width, True)


def fold(tokens: Tokens) -> FoldedTokens:
    """Tokens as absorbed attention reads them."""
    mean, scale = tokens.statistics()
    if tokens.features.requires_grad:
        features = _features(tokens.features, mean, scale)
    else:
        features = _features(tokens.features, mean.detach(), scale.detach())
    return FoldedTokens(
        for_products(features), mean, scale, tokens.embedding, tokens.features.shape[-1], tokens.unrolled
    )


def _features(features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    filling = -(features.shape[-1] + 2) % _ALIGNMENT
    ones, zeros = torch.ones_like(mean)[..., None], mean.new_zeros(*mean.shape, filling)
    return torch.cat([features, ones, mean[..., None], zeros], dim=-1).mul_(scale[..., None])


def absorbed_attention(
    queries: Tensor,
    inputs: list[FoldedTokens],
    norm: nn.LayerNorm,
    key: nn.Linear,
    value: nn.Linear,
    at_a_time: int | None = None,
) -> Tensor:
    """One-headed attention of queries (B, N, C) to the input array through its norm and projections -> (B, N, C).

    Latents don't meet in here: working on `at_a_time` of them bounds the memory for their N x M scores.
    """
    # The key's bias can't matter, but it stays part of the graph: its gradient is zero, not missing.
    folded = (queries @ key.weight + 0.0 * key.bias) * norm.weight * queries.shape[-1] ** -0.5
    rows = at_a_time or _latents_at_a_time(folded, sum(tokens.mean.shape[1] for tokens in inputs))
    seen = _attend(folded, inputs, rows)
    return value(seen * norm.weight + norm.bias)


def _attend(folded: Tensor, inputs: list[FoldedTokens], rows: int) -> Tensor:
    """sum_i a_i x_i over all modalities, (B, N, C); the large products are made in the type of F."""
    queries = [_to_features(folded, tokens).to(tokens.features.dtype) for tokens in inputs]
    widths = tuple(tokens.width for tokens in inputs)
    shared = *(t.features for t in inputs), *(t.mean for t in inputs), *(t.scale for t in inputs)
    chunks = zip(*(query.split(rows, dim=1) for query in queries), strict=True)
    attended = zip(*(_Attend.apply(widths, *chunk, *shared) for chunk in chunks), strict=True)
    return sum(_from_features(torch.cat(part, dim=1), tokens) for part, tokens in zip(attended, inputs, strict=True))


def _latents_at_a_time(latents: Tensor, tokens: int) -> int:
    """On a CPU as many as keep the scores near its caches, on a GPU as many as a reasonable memory holds."""
    scores = 5 * 2**20 if latents.device.type == "cpu" else 2**30
    return max(64, scores // (latents.shape[0] * tokens) // 64 * 64)


def _to_features(folded: Tensor, tokens: FoldedTokens) -> Tensor:
    """[q'_f, q'_e e, -sum(q')], filled up to the width of F."""
    own, shared, total = folded[..., : tokens.width], folded[..., tokens.width :], folded.sum(-1, keepdim=True)
    if tokens.embedding is not None:
        shared = shared * tokens.embedding
    columns = torch.cat([own, shared.sum(-1, keepdim=True), -total], dim=-1)
    return pad(columns, (0, tokens.features.shape[-1] - columns.shape[-1]))


def _from_features(attended: Tensor, tokens: FoldedTokens) -> Tensor:
    """[u_f - u_m, e u_1 - u_m], in float32 or better from here on."""
    own, shared, mean = attended[..., : tokens.width + 2].to(tokens.mean.dtype).split([tokens.width, 1, 1], dim=-1)
    return (own if tokens.embedding is None else torch.cat([own, shared * tokens.embedding], dim=-1)) - mean


class _Attend(torch.autograd.Function):
    """softmax(Q F^T) F over the tokens of all modalities together.

    On a CPU, where a product costs more than the memory of its result, Q F^T is kept for the backward pass; on a GPU,
    where memory bounds the batch, no matrix of N x M is.

    Tensors, each once per modality: Q (B, N, f + 2), F (B, M, f + 2), m (B, M), r (B, M). Where F holds nothing learned
    and so needs no gradient, m and r receive those that reach them through F.
    """

    @staticmethod
    def forward(ctx: Any, widths: tuple[int, ...], *tensors: Tensor) -> tuple[Tensor, ...]:
        queries, features = tensors[: len(widths)], tensors[len(widths) : 2 * len(widths)]
        ctx.widths = widths
        with as_given(queries[0]):
            scores = _products(queries, features)
            kept = (scores,) if scores.device.type == "cpu" else ()
            ctx.save_for_backward(*tensors, *kept)
            weights = scores.softmax(-1)
            return tuple(part @ f for part, f in zip(_split(weights, features), features, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        count, saved = len(ctx.widths), ctx.saved_tensors  # read once: checkpointing computes them anew at every look
        queries, features, scales = saved[:count], saved[count : 2 * count], saved[3 * count : 4 * count]
        scores = saved[4 * count] if saved[4 * count :] else _products(queries, features)
        grad_weights = _products(grads, features)
        weights = scores.softmax(-1)
        grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
        whole = [_split(matrix, features) for matrix in (grad_scores, scores, weights, grad_weights)]
        results: list[list[Tensor | None]] = [[], [], [], []]
        for i, (grad_score, score, weight, grad_weight) in enumerate(zip(*whole, strict=True)):
            # F's gradient is the sum of left^T right over these two, of which right F^T is there already.
            pairs = (grad_score, queries[i], score), (weight, grads[i], grad_weight)
            query = grad_score @ features[i]
            full = mean = scale = None
            if ctx.needs_input_grad[1 + count + i]:
                full = sum(left.mT @ right for left, right, _ in pairs)
            elif ctx.needs_input_grad[1 + 3 * count + i]:
                mean, scale = _reduced(pairs, ctx.widths[i] + 1, scales[i])
            for result, grad in zip(results, (query, full, mean, scale), strict=True):
                result.append(grad)
        return None, *(grad for result in results for grad in result)


def _reduced(pairs: _Pairs, column: int, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of m and r (B, M) without F's: of F = r [f, 1, m] its column m, and sum(F' F) / r with F' its gradient.

    Dropped tokens have r = 0, and nothing reaches them. The left matrices are used up: no third one is needed.
    """
    of_column = sum((left.mT @ right[..., column, None])[..., 0] for left, right, _ in pairs)
    of_scale = sum(left.mul_(product).sum(1, dtype=scale.dtype) for left, _, product in pairs)
    return of_column.to(scale.dtype) * scale, torch.where(scale > 0, of_scale / scale, 0.0)


def _products(rows: tuple[Tensor, ...], features: tuple[Tensor, ...]) -> Tensor:
    """Every row with every token, (B, N, M) over all modalities."""
    return torch.cat([row @ f.mT for row, f in zip(rows, features, strict=True)], dim=-1)


def _split(matrix: Tensor, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return matrix.split([f.shape[1] for f in features], dim=-1)
