"""What the network of the authors' release costs beside the paper's: operations, time and memory of fusing one pair, each in a process of its own.

    python benchmarks/release.py                             640×480, as `fuse` runs it on a CPU: tile by tile
    python benchmarks/release.py --size 320x240 --threads 1 --clock cpu

With --clock cpu seconds are of processor time, which other programs on the machine disturb least; with one thread they are comparable to wall time on an idle machine.
Random weights: neither time nor memory depends on them.
"""
import argparse, json, resource, subprocess, sys, time
import torch
from torch.utils.flop_counter import FlopCounterMode
from smfnet.core.devices import set_seed
from smfnet.fusing.api import fuse_batch
from smfnet.network.fast import faster
from smfnet.network.model import SMFNet
from smfnet.network.release import ReleaseNet

NETWORKS = dict(paper=SMFNet, release=ReleaseNet)
CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)

def operations(net, h, w):
    "GFLOP of one pair, two for a multiply-add, counted without computing."
    x = torch.empty(1,1,h,w, device='meta')
    with FlopCounterMode(display=False) as count, torch.no_grad(): net.to('meta')(x, x)
    return count.get_total_flops()/1e9

def rss(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**10

def measure(name, h, w, repeats, clock, memory):
    "One network in this process: s, and MB above what the process had with the network loaded."
    set_seed(0)
    net = faster(NETWORKS[name]().eval())
    pair = torch.rand(2,1,1,h,w)
    before, seconds = rss(), []
    for _ in range(repeats):
        start = CLOCKS[clock]()
        fuse_batch(*pair, net, max_memory=memory)
        seconds.append(CLOCKS[clock]()-start)
    return dict(seconds=min(seconds), mb=rss()-before)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--size', default='640x480'); p.add_argument('--repeats', type=int, default=1)
    p.add_argument('--threads', type=int, default=torch.get_num_threads()); p.add_argument('--clock', choices=CLOCKS, default='wall')
    p.add_argument('--max-memory', default='4G'); p.add_argument('--only', choices=NETWORKS, help=argparse.SUPPRESS)
    a = p.parse_args()
    w,h = map(int, a.size.split('x'))
    torch.set_num_threads(a.threads)
    if a.only:
        print(json.dumps(measure(a.only, h, w, a.repeats, a.clock, a.max_memory)))
        sys.exit()
    got = {}
    for name,net in NETWORKS.items():
        r = subprocess.run([sys.executable, __file__, *sys.argv[1:], '--only', name], stdout=subprocess.PIPE, text=True, check=True)
        got[name] = json.loads(r.stdout) | dict(gflop=operations(net(), h, w), numbers=sum(o.numel() for o in net().parameters()))
    print(f'{w}×{h}, {a.threads} thread(s), {a.clock} clock, the best of {a.repeats}, torch {torch.__version__}\n')
    print('| network | numbers | GFLOP | s | MB |\n|---|--:|--:|--:|--:|')
    for name,o in got.items(): print(f"| {name} | {o['numbers']:,} | {o['gflop']:.0f} | {o['seconds']:.1f} | {o['mb']:.0f} |")
    ratio = lambda k: f"{got['release'][k]/got['paper'][k]:.1f}"
    print(f"| release / paper | {ratio('numbers')} | {ratio('gflop')} | {ratio('seconds')} | {ratio('mb')} |")
