"""The Perceiver as a torch module: `from perceiver.model.perceiver import build_model`."""
