"""What one training step costs, and what each optimisation buys: patches/s, peak memory, fraction of this machine's own peak.

    python benchmarks/training.py [--stage 2] [--size 128] [--batch 6] [--steps 3] [--device auto] [--compile] [--only NAME ...]

Every variant runs in a process of its own, so that its peak memory is its own. The peaks are a matrix product and a 64-channel 3x3
convolution, measured in the same run, for fp32 and bf16. Times are those of the fastest step; on a CPU the process's CPU time
counts, divided by the threads, so that a busy machine does not blur the ratios. Prints a Markdown table.
"""
import argparse
import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

# name -> (what is switched on besides the line it builds on, fields of TrainConfig)
PLAIN, KEEP, FAST = {'memory': False, 'fast': False}, {'memory': True, 'fast': False}, {'memory': True, 'fast': True}
VARIANTS = {
    'plain, fp32': (PLAIN, {}),
    '+ memory kept': (KEEP, {}),
    '+ fast forms, fused Adam (default)': (FAST, {}),
    'default, bf16': (FAST, dict(precision='bf16')),
    'default, accumulate=batch': (FAST, dict(accumulate=0)),
    'default, checkpoint': (FAST, dict(checkpoint=True)),
    'default, compile': (FAST, dict(compile=True)),
}


def clock(device):
    "Seconds of computing: CPU time per thread, or wall time of a GPU that has caught up."
    if device.type == 'cuda':
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def fastest(f, n, device):
    "Seconds of the fastest of n calls, after one that warms up."
    took = []
    for _ in range(n + 1):
        s = clock(device)
        f()
        took.append(clock(device) - s)
    return min(took[1:])


def peaks(device, dtype, size=1024, n=5):
    "Peak of this machine in GFLOP/s: matrix product, and a 64-channel 3x3 convolution on 128x128."
    from smfnet.core.devices import keep_memory
    keep_memory()
    a = torch.randn(size, size, device=device, dtype=dtype)
    x = torch.randn(2, 64, 128, 128, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(64, 64, 3, padding=1, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        return dict(matmul=2e-9 * size**3 / fastest(lambda: a @ a, n, device), conv=2e-9 * 9 * 64 * 64 * x.numel() / 64 / fastest(lambda: conv(x), n, device))


def measure(a, how, over):
    "One variant in this process: seconds a step, peak memory, share of time spent in the kernel."
    from smfnet.core.devices import keep_memory
    from smfnet.data.patches import Patches
    from smfnet.network.fast import plainer
    from smfnet.network.model import SMFNet
    from smfnet.training.config import TrainConfig
    from smfnet.training.stages import SMFNetTrainer
    if how['memory']: keep_memory()
    over = {k: v or a.batch for k, v in over.items()}
    data = Patches(np.random.default_rng(0).integers(0, 256, (a.batch, 2, a.size, a.size), dtype=np.uint8))
    with tempfile.TemporaryDirectory() as d:
        t = SMFNetTrainer(SMFNet(), data, d, TrainConfig(stage=a.stage, batch=a.batch, steps=10**6, device=a.device, **over))
        with t.ready():
            if not how['fast']:
                plainer(t.net)
                t.opt = torch.optim.Adam(t.params, 1e-4)
            batch = t.batch(0)
            u0 = os.times()
            s = fastest(lambda: t.step(*batch).tolist(), a.steps, t.device)
            u1 = os.times()
        memory = torch.cuda.max_memory_allocated() / 2**30 if t.device.type == 'cuda' else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        system = (u1.system - u0.system) / max(1e-9, u1.system + u1.user - u0.system - u0.user)
    return dict(seconds=s, memory=memory, system=system)


def gflop(a):
    "Floating-point operations of a patch: those of the forward pass, counted by torch (products and convolutions), three times, as the backward pass takes twice as many."
    from torch.utils.flop_counter import FlopCounterMode
    from smfnet.network.model import SMFNet
    net, ir, vi = SMFNet(), *torch.rand(2, 1, 1, a.size, a.size)
    with FlopCounterMode(display=False) as count, torch.no_grad(): net(ir, vi, stage=a.stage)
    return 3 * count.get_total_flops() / 1e9


def child(*args):
    r = subprocess.run([sys.executable, __file__, *map(str, args)], capture_output=True, text=True)
    if r.returncode: sys.exit(r.stderr)
    return json.loads(r.stdout.splitlines()[-1])


def machine(device):
    name = torch.cuda.get_device_name() if device.type == 'cuda' else platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = open('/proc/cpuinfo').read().split('\n')
        if device.type == 'cpu': name = next(l.split(':')[1].strip() for l in lines if l.startswith('model name'))
    return f'{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}'


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--stage', type=int, default=2)
    p.add_argument('--size', type=int, default=128, help='side of a patch (default 128, as in the paper)')
    p.add_argument('--batch', type=int, default=6, help='pairs per step (default 6, as in the paper)')
    p.add_argument('--steps', type=int, default=3, help='steps to time, after one that warms up (default 3)')
    p.add_argument('--device', default='auto')
    p.add_argument('--compile', action='store_true', help='also torch.compile, which may take minutes before its first step')
    p.add_argument('--only', nargs='*', help='variants to run')
    p.add_argument('--variant', help=argparse.SUPPRESS)
    a = p.parse_args()
    from smfnet.core.devices import get_device
    device = get_device(a.device)
    if a.variant: return print(json.dumps(measure(a, *VARIANTS[a.variant])))
    top = {k: peaks(device, d) for k, d in (('fp32', torch.float32), ('bf16', torch.bfloat16))}
    work = gflop(a)
    print(f'{machine(device)}\n')
    for k, v in top.items(): print(f"peak {k}: matrix product {v['matmul']:.0f} GFLOP/s, 64-channel 3x3 convolution {v['conv']:.0f} GFLOP/s")
    print(f'\nstage {a.stage}, {a.batch} patches of {a.size}x{a.size} a step, {work:.1f} GFLOP a patch, forward and backward\n')
    print('| variant | patches/s | times | of peak (convolution) | peak memory, GiB | time in the kernel |\n|---|--:|--:|--:|--:|--:|', flush=True)
    base = None
    for name, (_, over) in VARIANTS.items():
        if (a.only and name not in a.only) or (name.endswith('compile') and not a.compile): continue
        r = child('--variant', name, '--stage', a.stage, '--size', a.size, '--batch', a.batch, '--steps', a.steps, '--device', a.device)
        rate = a.batch / r['seconds']
        base = base or rate
        part = rate * work / top[over.get('precision', 'fp32')]['conv']
        print(f"| {name} | {rate:.2f} | {rate/base:.2f} | {part:.0%} | {r['memory']:.2f} | {r['system']:.0%} |", flush=True)


if __name__ == '__main__': main()
