"""Whether a split has what a model wants. A clip without sound is masked, a split without any is a mistake."""

from collections.abc import Mapping

from perceiver.config import RunConfig
from perceiver.data.dataset import DataSet
from perceiver.errors import DataError

ENOUGH = 1_000
"""Clips that tell for a split, if it has as many: hardly any real file lacks sound or picture."""


def refuse_absent(data: DataSet, clips: int, present: Mapping[str, int], config: RunConfig) -> None:
    """Looks at how many of the first `clips` that were read of a split had each modality (by its name).

    Raises:
        DataError: none had a modality that the model has, and `model.missing_modality` is "error".
    """
    absent = [name for name in config.model.inputs.modalities if not present.get(name)]
    if not absent or clips < min(len(data), ENOUGH) or config.model.missing_modality == "mask":
        return
    raise DataError(
        f"none of {clips} {data.split} clips of {data.source.url} has {' or '.join(absent)}, and "
        f"model.missing_modality is 'error'; 'mask' would let the model see zeros in its place, "
        f"{' and '.join(f'model.inputs.{name}: null' for name in absent)} would do without"
    )
