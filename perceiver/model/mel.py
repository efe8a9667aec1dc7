"""The log-mel spectrogram that the model computes on its own device."""

import torch
import torchaudio
from torch import Tensor, nn

from perceiver.config import AudioInput
from perceiver.model.precision import as_given

LOG_OFFSET = 1e-6
"""Added before the logarithm, so that silence is finite."""


class LogMel(nn.Module):
    """Samples to a normalised log-mel spectrogram, in the manner of DeepMind's video reader (facts, 1.5).

    Magnitudes, not powers; a frame starts every hop and the last ones are padded with zeros at the right, so that
    61,440 samples at hop 1,024 give exactly 60 frames; HTK mel filters without area normalisation.
    """

    def __init__(self, config: AudioInput) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.mel_window), persistent=False)
        frequencies = config.mel_window // 2 + 1
        with torch.device("cpu"):  # torchaudio looks at the values, which a model on the meta device has not
            filters = torchaudio.functional.melscale_fbanks(
                frequencies, config.mel_low, config.mel_high, config.mel_bins, config.sample_rate, mel_scale="htk"
            )
        self.register_buffer("filters", filters.to(torch.get_default_device()), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """(B, S), nominally in [-1, 1] -> (B, frames, bins) normalised by the config's mean and std."""
        config = self.config
        frames = config.grid[0]
        padding = max(0, (frames - 1) * config.mel_hop + config.mel_window - config.samples)
        # In low precision quiet bins would drown in the rounding of loud ones, and there is no FFT for it.
        with as_given(audio):
            spectrum = torch.stft(
                nn.functional.pad(audio.to(self.window.dtype), (0, padding)),
                n_fft=config.mel_window,
                hop_length=config.mel_hop,
                window=self.window,
                center=False,
                return_complex=True,
            )  # (B, frequencies, frames); torchaudio's own wrapper around it would break the graph of torch.compile
            mel = spectrum[..., :frames].abs().mT @ self.filters
            return (torch.log(mel + LOG_OFFSET) - config.mel_mean) / config.mel_std
