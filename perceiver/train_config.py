"""The parts of a RunConfig beside its model: what a trial learns from, how it learns, how it is measured.

Everything here is also in `perceiver.config`, which is where the rest of the project takes it from.
"""

from typing import Annotated, Literal

from pydantic import Field

from perceiver.model_config import SPEED_ONLY, Count, Rate, Section

Steps = Annotated[int, Field(ge=1, le=1_000_000_000)]


class DataConfig(Section):
    """Which clips a trial learns from."""

    set: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "audioset"
    """Name of the data set; the site says where it lies."""
    sampler: Literal["uniform", "balanced", "weighted"] = "uniform"
    """uniform: every clip once an epoch (the paper). balanced: classes in turn (PANNs). weighted: rare classes' clips
    more often, drawn with replacement (AST)."""
    max_bad_fraction: Rate = 0.02
    """Share of clips that may be unreadable before the trial fails with their list."""
    shuffle_labels: bool = False
    """Deal the training clips' labels out at random: the control that tells learning from chance."""


class TrainConfig(Section):
    """How the model learns. The paper gives 100 epochs and sigmoid cross-entropy, but no optimizer, rate or batch."""

    epochs: Annotated[float, Field(gt=0, le=1_000_000)] = 100.0
    """Passes over the training clips; `steps` overrides it."""
    steps: Steps | None = None
    """Optimizer steps, instead of epochs."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 512
    """Clips of one optimizer step over all workers. Not in the paper."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of initial weights, sampling, crops and dropout."""
    optimizer: Literal["lamb", "adamw"] = "lamb"
    """Not given for AudioSet; LAMB on ImageNet."""
    lr: Annotated[float, Field(gt=0)] = 0.004
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled; never on biases and norms."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Steps of linear warm-up, at most all of them. Perceiver IO found none best with LAMB."""
    schedule: Literal["constant", "cosine", "constant_cosine", "step"] = "step"
    """step: x0.1 at 70, 85 and 95 % (paper, 4.1). constant_cosine: flat for half, then cosine to 0 (Perceiver IO)."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 10.0
    """Largest global norm of the gradient; null for none."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an average of the weights that is evaluated in their place; null for none."""
    video_dropout: Rate = 0.3
    """Chance that a training clip's video is zeroed, in models with both modalities."""
    audio_dropout: Rate = 0.0
    """Chance that a training clip's audio is zeroed, in models with both modalities (never both)."""
    dropout_of: Literal["values", "tokens"] = "values"
    """What dropout zeroes: the pixels or samples only, or positions and embedding too. Not in the paper."""
    spec_augment: bool = True
    """Mask two stripes of time and two of frequency in training spectrograms (mel only)."""
    augment: bool = True
    """Colour, Inception crop and flip of training video; off: centre crop."""
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Alpha of mixup's Beta(alpha, alpha); 0 for none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast, weights stay in float32."""
    micro_batch: Annotated[Count | None, Field(json_schema_extra=SPEED_ONLY)] = None
    """Clips per forward pass on one worker; gradients are accumulated to the global batch. Null: all at once."""
    compile: Annotated[bool, Field(json_schema_extra=SPEED_ONLY)] = False
    """torch.compile the model."""
    activation_checkpointing: Annotated[bool, Field(json_schema_extra=SPEED_ONLY)] = False
    """Compute activations again in the backward pass instead of keeping them."""


class EvalConfig(Section):
    """How a trial is measured."""

    clips: Annotated[int, Field(ge=1, le=256)] = 16
    """Overlapping clips that cover each evaluation file; their scores are averaged."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over the clips. Not in the paper."""
    times: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Evaluations of a trial, evenly spaced, the last at its end."""
    batch_size: Annotated[Count, Field(json_schema_extra=SPEED_ONLY)] = 16
    """Clips per forward pass."""
