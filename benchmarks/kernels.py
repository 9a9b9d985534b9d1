"""What each fast form of network.fast is worth: the whole network with all of them, and with one taken out, in one run.

    OMP_NUM_THREADS=1 python benchmarks/kernels.py --csv results/kernels.csv

Ratios are times without the form over times with it; above 1 it pays. Interleaved repeats, the fastest counts. Processor time, so that other work on the machine matters little.
"""
import argparse, time
import torch
from smfnet.core.devices import keep_memory
from smfnet.losses.stage_two import StageTwoLoss
from smfnet.network import fast
from smfnet.network.model import SMFNet
from smfnet.scoring.score import write_rows

def without(net, name):
    "The fast network with one of its forms plain again."
    for m in net.modules():
        if type(m).__name__ == name: m.__class__ = type(m).__base__
    return net

def seconds(f):
    start = time.process_time(); f()
    return time.process_time() - start

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--side', type=int, default=128, help='px of the square images')
    p.add_argument('--repeats', type=int, default=5)
    p.add_argument('--csv', help='write the table there')
    a = p.parse_args()
    keep_memory(); torch.manual_seed(0)
    ir,vi = torch.rand(2,1,1,a.side,a.side)
    loss, names = StageTwoLoss(), [c.__name__ for c in fast._FAST.values()]
    nets = {'all fast': fast.faster(SMFNet())} | {n: without(fast.faster(SMFNet()), n) for n in names}
    nets['all plain'] = SMFNet()
    def step(net):
        out,f = net(ir, vi, features=True)
        loss(out, ir, vi, f)[0].backward()
        net.zero_grad(set_to_none=True)
    def look(net):
        with torch.inference_mode(): net(ir, vi)
    best = {(k,w): min(seconds(lambda: f(net)) for _ in range(1)) for k,net in nets.items() for w,f in (('step',step),('forward',look))}
    for _ in range(a.repeats):
        for k,net in nets.items():
            for w,f in (('step',step), ('forward',look)): best[k,w] = min(best[k,w], seconds(lambda: f(net)))
    ref = {w: best['all fast',w] for w in ('step','forward')}
    rows = [dict(without=k, side=a.side, threads=torch.get_num_threads(), step=best[k,'step']/ref['step'], forward=best[k,'forward']/ref['forward']) for k in nets]
    for r in rows: print(f"{r['without']:24} training step × {r['step']:.3f}   forward × {r['forward']:.3f}", flush=True)
    if a.csv: write_rows(a.csv, rows, 3)

if __name__ == '__main__': main()
