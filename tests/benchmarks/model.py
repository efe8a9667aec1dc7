"""Our Perceiver beside the public ones: time, memory and FLOPs of a training step, at equal work, from one run.

    python tests/benchmarks/model.py                                   # this machine's CPU or GPU, float32, batch 1
    python tests/benchmarks/model.py --precision bfloat16 --compile --batch 1 16 64 --kernels       # on a GPU

Needs torch, torchaudio, pydantic and PyYAML, and this checkout on the PYTHONPATH; the peers take part where they are
installed. All contenders stand behind the same input tokens (so that the modality embeddings learn in each of them) and
before the same mean and linear layer; a step is forward and backward. Steps are interleaved, so that a machine's bad
minute hits every contender. Columns:

    ms           median over the steps
    speed        ms of `ours` over this row's ms: 0.5 is half as fast as ours
    activations  MiB at the peak of a step, less parameters and gradients
    GFLOP        of the matrix products that the step makes, two a multiply-add (softmax and norms are not counted)
    of peak      GFLOP / ms as a share of what this machine reaches in one large matrix product of the same precision
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from model_contenders import CONTENDERS
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from perceiver.config import RunConfig, with_changes


@dataclass
class Contender:
    """A model and what was measured of it."""

    name: str
    model: nn.Module
    step: Callable[[], None]
    flops: int
    activations: int
    seconds: tuple[float, ...] = ()
    kernels: tuple[str, ...] = ()


def main() -> None:
    """Measure as the command line says, print tables, and write the numbers where it asks for them."""
    options = _options()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    torch._dynamo.config.recompile_limit = 1_000  # every contender and batch size has its own graph
    device, config = torch.device(options.device), with_changes(RunConfig(), dict(options.set))
    model, machine = config.model, _machine(device)
    print(f"{machine}, torch {torch.__version__}, {options.precision}, {'compiled' if options.compile else 'eager'}")
    print(f"inputs {model.input_tokens:,} x {model.input_channels}, latents {model.latents} x {model.latent_channels}, "
          f"{model.iterations} iterations of {model.layers_per_block} layers")  # fmt: skip
    rows = []
    for batch in options.batch:
        contenders, peak = measure(config, batch, device, options)
        rows += [_row(contender, batch, peak) for contender in contenders]
        _show([row for row in rows if row["batch"] == batch], batch, peak)
    if options.json:
        settings = {"machine": machine, "torch": torch.__version__, "precision": options.precision}
        Path(options.json).write_text(json.dumps(settings | {"compiled": options.compile, "rows": rows}, indent=1))


def measure(
    config: RunConfig, batch: int, device: torch.device, options: argparse.Namespace
) -> tuple[list[Contender], float]:
    """All contenders at one batch size, and the machine's FLOP/s; those not installed or too large are left out."""
    inputs = _inputs(config, batch, device)
    contenders = [c for name in options.models if (c := _contender(name, config, inputs, device, options))]
    peak = 0.0
    for _ in range(options.repeats):
        peak = max(peak, matmul_peak(device, options.dtype, options.clock))
        for contender in contenders:
            contender.seconds += (_seconds(contender.step, device, options.steps, options.clock),)
    if options.kernels:
        for contender in contenders:
            contender.kernels = tuple(_kernels(contender.step, device))
    return contenders, peak


def _contender(
    name: str, config: RunConfig, inputs: dict[str, Tensor], device: torch.device, options: argparse.Namespace
) -> Contender | None:
    torch.manual_seed(0)
    clips = next(iter(inputs.values())).shape[0]
    try:
        with device:
            model = CONTENDERS[name](config)
        flops = clips * _flops(model, {name: values[:1] for name, values in inputs.items()})
        run = torch.compile(model, dynamic=False) if options.compile else model

        def forward_and_backward() -> None:
            with torch.autocast(device.type, options.dtype, enabled=options.dtype != torch.float32):
                output = run(inputs)
            output.float().square().mean().backward()

        def step() -> None:
            model.zero_grad(set_to_none=True)  # as a trainer does
            forward_and_backward()

        step()  # compiles, and makes gradients, which the memory of another pass then leaves out
        return Contender(name, model, step, flops, _peak_memory(forward_and_backward, device))
    except ImportError as error:
        print(f"left out: {name} ({error})")
    except torch.OutOfMemoryError:
        print(f"left out: {name} (batch {clips} does not fit)")
    return None


def _flops(model: nn.Module, clip: dict[str, Tensor]) -> int:
    """FLOPs of a step on one clip; fused attention is counted by the matrix products that it stands for."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(clip).square().mean().backward()
    return counter.get_total_flops()


def _machine(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def _inputs(config: RunConfig, batch: int, device: torch.device) -> dict[str, Tensor]:
    torch.manual_seed(0)
    inputs = {}
    if (video := config.model.inputs.video) is not None:
        shape = (batch, video.frames, video.size, video.size, 3)
        inputs["video"] = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    if (audio := config.model.inputs.audio) is not None:
        inputs["audio"] = torch.rand(batch, audio.samples, device=device) * 2 - 1
    return inputs


def matmul_peak(device: torch.device, dtype: torch.dtype, clock: str) -> float:
    """FLOP/s of one large square matrix product, the best of several."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = min(_seconds(lambda: torch.mm(a, b), device, 4, clock) for _ in range(5))
    return 2 * size**3 / seconds


def _seconds(step: Callable[[], Any], device: torch.device, steps: int, clock: str) -> float:
    """Mean time of one step."""
    now = time.perf_counter if clock == "wall" else time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = now()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (now() - start) / steps


def _peak_memory(step: Callable[[], None], device: torch.device) -> int:
    """Bytes allocated at the worst moment of a step beyond those before it."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        step()
    now = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def _kernels(step: Callable[[], None], device: torch.device) -> Iterator[str]:
    """The kernels (operators, on a CPU) that take most of a step, with their share."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        step()
    spent = {
        event.key: event.self_device_time_total if cuda else event.self_cpu_time_total
        for event in profiler.key_averages()
    }
    total = sum(spent.values())
    for name, microseconds in sorted(spent.items(), key=lambda item: -item[1])[:12]:
        yield f"{microseconds / total:6.1%}  {microseconds / 1e3:9.2f} ms  {name[:110]}"


def _row(contender: Contender, batch: int, peak: float) -> dict[str, Any]:
    seconds = statistics.median(contender.seconds)
    return {
        "contender": contender.name,
        "batch": batch,
        "parameters": sum(param.numel() for param in contender.model.parameters()),
        "ms": seconds * 1e3,
        "ms_of_each_round": [second * 1e3 for second in contender.seconds],
        "activations_mib": contender.activations / 2**20,
        "gflop": contender.flops / 1e9,
        "share_of_peak": contender.flops / seconds / peak,
        "kernels": list(contender.kernels),
    }


def _show(rows: list[dict[str, Any]], batch: int, peak: float) -> None:
    print(f"\nbatch {batch}; one large matrix product reaches {peak / 1e12:.2f} TFLOP/s")
    print(f"{'':30}{'parameters':>12}{'ms':>11}{'speed':>8}{'activations':>15}{'GFLOP':>9}{'of peak':>9}")
    for row in rows:
        print(f"{row['contender']:30}{row['parameters']:>12,}{row['ms']:>11,.2f}{rows[0]['ms'] / row['ms']:>8.2f}"
              f"{row['activations_mib']:>11,.0f} MiB{row['gflop']:>9,.0f}{row['share_of_peak']:>9.0%}")  # fmt: skip
    for row in rows:
        if row["kernels"]:
            print(f"\n{row['contender']}: what a step spends its time on", *row["kernels"], sep="\n  ")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--compile", action="store_true", help="torch.compile every contender")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="clips of a step")
    parser.add_argument("--models", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved rounds; the median counts")
    parser.add_argument("--steps", type=int, default=None, help="steps of a round (10 on a GPU, 1 on a CPU)")
    clock_help = "cpu: this process's own time on the processor, for one thread on a machine that others use too"
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help=clock_help)
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument(
        "--set", nargs="*", default=[], type=_setting, metavar="KEY=VALUE", help="model.latents=256 ..."
    )
    parser.add_argument("--kernels", action="store_true", help="also the kernels that each step spends its time in")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there")
    options = parser.parse_args()
    options.dtype = getattr(torch, options.precision)
    options.steps = options.steps or (10 if options.device.startswith("cuda") else 1)
    return options


def _setting(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    return key, json.loads(value)


if __name__ == "__main__":
    main()
