"""Time of the metrics on one 640x480 triple; of the nine beside the plain implementation in tests/metrics/.

    python benchmarks/metrics.py [--repeats 5] [--threads N] [--size 640 480]

Prints one row per metric, then the nine together and all together: milliseconds (minimum over the repeats, each side
alone) and processor time of all threads. For the nine also the plain one (numpy, scipy and scikit-image), its ratio,
which can be compared between machines and versions, and the relative difference.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from smfnet.core.devices import keep_memory
from smfnet.metrics import paper as M
from smfnet.scoring.score import ALL_METRICS, score

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests/metrics'))
import metrics_oracle as oracle


def images(w, h, seed=0):
    "Two smooth scenes with edges and grain, and their average with a little noise: uint8 (fused, ir, vi)."
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w] / 100
    ir = 60 + 150 * np.exp(-((x - 3) ** 2 + (y - 2) ** 2)) + 20 * (x + y > 5)
    vi = 120 + 60 * np.sin(3 * x + np.sin(2 * y)) + 30 * (np.floor(4 * x) % 2)
    ir, vi = ir + rng.normal(0, 4, (h, w)), vi + rng.normal(0, 4, (h, w))
    return [np.clip(o, 0, 255).astype(np.uint8) for o in ((ir + vi) / 2 + rng.normal(0, 2, (h, w)), ir, vi)]


def fastest(f, repeats):
    "Smallest wall time of `repeats` calls in ms, and the smallest CPU time (all threads)."
    wall, cpu = [], []
    for _ in range(repeats):
        a, b = time.perf_counter(), time.process_time()
        f()
        wall.append(time.perf_counter() - a), cpu.append(time.process_time() - b)
    return 1e3 * min(wall), 1e3 * min(cpu)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--repeats', type=int, default=5, help='calls per side; the fastest counts (default 5)')
    p.add_argument('--threads', type=int, help="torch threads (default: torch's own)")
    p.add_argument('--size', type=int, nargs=2, default=(640, 480), metavar=('W', 'H'),
                   help='at least 41 41 (default 640 480)')
    a = p.parse_args()
    if a.repeats < 1: p.error('--repeats must be 1 or more')
    if a.threads: torch.set_num_threads(a.threads)
    keep_memory()
    x = images(*a.size)
    grey = [oracle.grey(o) for o in x]
    M.score(*x)
    print(f'{a.size[0]}x{a.size[1]}, torch {torch.__version__}, {torch.get_num_threads()} threads, '
          f'fastest of {a.repeats}; plain: numpy/scipy/scikit-image\n')
    print(f"{'':13}{'smfnet ms':>10}{'cpu ms':>9}{'plain ms':>10}{'plain cpu':>10}{'ratio':>7}{'difference':>12}")
    for name in (*M.METRICS, 'the nine'):
        if name == 'the nine':
            ours, plain = (lambda: M.score(*x)), (lambda: oracle.score(*grey))
            g, w = ours(), plain()
            gap = max(abs(g[k] / w[k] - 1) for k in M.METRICS)
        else:
            few = 1 if name in ('EN', 'SD', 'SF', 'AG') else 3
            ours, plain = (lambda: getattr(M, name)(*x[:few])), (lambda: getattr(oracle, name)(*grey[:few]))
            gap = abs(ours() / plain() - 1)
        (t, tc), (o, oc) = fastest(ours, a.repeats), fastest(plain, a.repeats)
        print(f'{name:13}{t:10.1f}{tc:9.1f}{o:10.1f}{oc:10.1f}{o / t:7.1f}{gap:12.0e}', flush=True)
    more = {k: (lambda m=m: m(*x)) for k, m in ALL_METRICS.items() if k not in M.METRICS}
    for name, f in {**more, f'all {len(ALL_METRICS)}': lambda: score(*x, metrics='all')}.items():
        t, tc = fastest(f, a.repeats)
        print(f'{name:13}{t:10.1f}{tc:9.1f}', flush=True)


if __name__ == '__main__': main()
