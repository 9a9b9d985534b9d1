"""How fast fusing is here: time, operations, share of the convolution peak, memory. Prints a table and the machine it was measured on.

    python benchmarks/fusing.py                      128², 640×480, 1024×768
    python benchmarks/fusing.py --sizes 320x240 --threads 1
    python benchmarks/fusing.py --compare --write results/fast_speed.csv
        ivf, fast, a stand-in for CDDFuse, guided filter, maximum at 640×480 and 1280×1024; on a GPU (or with --all) also half precision and batches
    python benchmarks/fusing.py --scaling 0.1 1 8 33 --network smoke --max-memory 1G --threads 1 --clock cpu --write results/fusing.csv
"""
import argparse, platform, resource, subprocess, sys, tempfile, time
from pathlib import Path
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from smfnet.core.files import atomic_path
from smfnet.core.devices import get_device, set_seed
from smfnet.fusing.api import fuse_batch, has_bf16
from smfnet.fusing.folders import fuse_folder
from smfnet.network.weights import load_model
from smfnet.fusing.memory import parse_memory
from smfnet.data.images import write_image
from smfnet.network.blocks import TransformerBlock, pointwise
from smfnet.network.detail import FuseDetail
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.student import StudentNet
from smfnet.scoring.baselines import guided_filter, maximum
from smfnet.scoring.score import write_rows

CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)
clock = CLOCKS['wall']

def best(f, n):
    "Shortest of n times in s."
    out = []
    for _ in range(n):
        start = clock()
        f()
        if torch.cuda.is_available(): torch.cuda.synchronize()
        out.append(clock()-start)
    return min(out)

def peak(device, dtype=torch.float32):
    "GFLOP/s of a 64-channel 3×3 convolution of a map that fits the cache, in the faster of both memory layouts."
    side = 96 if device.type == 'cpu' else 1024
    x, w = torch.randn(1,64,side,side, device=device, dtype=dtype), torch.randn(64,64,3,3, device=device, dtype=dtype)
    t = []
    for layout in (torch.contiguous_format, torch.channels_last):
        a,b = x.contiguous(memory_format=layout), w.contiguous(memory_format=layout)
        with torch.inference_mode(): t.append(best(lambda: F.conv2d(a, b, padding=1), 30))
    return 2*9*64*64*side*side/min(t)/1e9

def operations(h, w, net=None):
    "GFLOP of one pair, two for a multiply-add, counted on the meta device."
    x = torch.empty(1,1,h,w, device='meta')
    with FlopCounterMode(display=False) as count, torch.no_grad(): (net or SMFNet()).to('meta')(x, x)
    return count.get_total_flops()/1e9

def machine(device=torch.device('cpu')):
    "Processor, threads in use, versions; or the GPU."
    if device.type == 'cuda': return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    cpu = next((l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name')), platform.processor())
    return f"{cpu}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, bf16 units: {has_bf16(torch.device('cpu'))}"

def row(model, h, w, precision, repeats):
    "One line of the table; the peak is measured just before and just after, and the larger one counts."
    x,y = torch.rand(2,1,1,h,w)
    device = next(model.parameters()).device
    top = peak(device)
    fuse_batch(x[...,:32,:32], y[...,:32,:32], model, precision=precision)
    s = best(lambda: fuse_batch(x, y, model, precision=precision), repeats)
    top = max(top, peak(device))
    ops = operations(h, w)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**10
    print(f"| {w}×{h} | {precision} | {1e3*s:.0f} | {ops:.0f} | {top:.0f} | {100*ops/s/top:.0f} % | {s*top:.0f} | {rss:.0f} |", flush=True)
    return s

def folders(model, h, w, n):
    "Pairs per second from files to files, one and two workers; and of a batch."
    with tempfile.TemporaryDirectory() as tmp:
        for m in ('ir','vi'):
            for k in range(n): write_image(f'{tmp}/{m}/{k}.png', torch.rand(1,h,w))
        for workers in (1,2):
            s = clock()
            jobs = fuse_folder(f'{tmp}/ir', f'{tmp}/vi', f'{tmp}/out{workers}', weights=model, progress=False, workers=workers)
            assert all(j.status == 'fused' for j in jobs), jobs
            print(f"folder of {n} pairs {w}×{h}, {workers} worker(s): {n/(clock()-s):.2f} pairs/s", flush=True)
    x,y = torch.rand(2,n,1,h,w)
    print(f"batch of {n} pairs {w}×{h}: {n/best(lambda: fuse_batch(x, y, model), 1):.2f} pairs/s", flush=True)

class StandIn(nn.Module):
    "A network of CDDFuse's published sizes (1.19 M parameters; doi:10.1109/CVPR52729.2023.00572) made of this package's blocks, with random weights."
    def __init__(self, c=64, heads=8):
        super().__init__()
        block = lambda: TransformerBlock(c, heads, 3.)
        def base(): # its queries, keys and values come from a full 3×3 convolution
            b = block()
            b.attn.qkv[1] = nn.Conv2d(3*c, 3*c, 3, padding=1, bias=False)
            return b
        self.shallow = nn.Sequential(nn.Conv2d(1, c, 3, padding=1), *(block() for _ in range(4)))
        self.base, self.fuse_base = base(), base()
        self.detail, self.fuse_detail = FuseDetail(c, 3), FuseDetail(c, 1)
        self.decoder = nn.Sequential(pointwise(2*c, c), *(block() for _ in range(4)), nn.Conv2d(c, c//2, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(c//2, 1, 3, padding=1))
    def forward(self, ir, vi):
        s = self.shallow(torch.cat([ir,vi]))
        base, detail = (sum(f(s).chunk(2)) for f in (self.base, self.detail))
        return torch.sigmoid(self.decoder(torch.cat([self.fuse_base(base), self.fuse_detail(detail)], 1)) + vi)

def compare(sizes, device, repeats, everything=False, file=None):
    "Time of one pair by several methods, the network's parameters and operations; on a GPU, or with `everything`, also batches and half precision."
    device = get_device(device)
    everything = everything or device.type == 'cuda'
    nets = {name: load_model(name, device) for name in ('ivf','fast')}
    stand_in = StandIn().eval().to(device, memory_format=torch.channels_last)
    call = lambda net, **k: lambda x,y: fuse_batch(x, y, net, **k)
    def whole(x, y):
        with torch.inference_mode(): return stand_in(x.to(device), y.to(device)).to(x.device)
    methods = {'ivf': call(nets['ivf']), 'CDDFuse-sized': whole, 'fast': call(nets['fast']),
               'guided filter': lambda x,y: guided_filter(x[0].to(device), y[0].to(device)), 'maximum': lambda x,y: maximum(x[0].to(device), y[0].to(device))}
    if everything: methods |= {f'{k}, half': call(n, precision='bf16') for k,n in nets.items()}
    count = {k: sum(p.numel() for p in n.parameters()) for k,n in (nets | {'CDDFuse-sized': stand_in}).items()}
    gflop, rows = {'ivf': SMFNet(), 'fast': StudentNet(), 'CDDFuse-sized': StandIn()}, []
    print('| method | size | ms per pair | pairs/s | × ivf | parameters | GFLOP |\n|---|---|--:|--:|--:|--:|--:|', flush=True)
    def tell(name, size, s, slow, key=''):
        ops = operations(*map(int, size.split('x')[::-1]), gflop[key]) if key else 0.
        print(f"| {name} | {size.replace('x','×')} | {1e3*s:.1f} | {1/s:.1f} | {slow/s:.0f} | {count.get(key, '')} | {f'{ops:.0f}' if key else ''} |", flush=True)
        rows.append(dict(method=name, size=size, ms=1e3*s, times_ivf=slow/s, parameters=count.get(key, 0), gflop=ops, machine=machine(device)))
        if file: write_rows(file, rows, 3)
    for size in sizes:
        w,h = map(int, size.split('x'))
        x,y = torch.rand(2,1,1,h,w)
        for name,f in methods.items():
            f(x[...,:64,:64], y[...,:64,:64])
            s = best(lambda: f(x, y), repeats if name in ('ivf','CDDFuse-sized') else max(5, repeats))
            if name == 'ivf': slow = s
            tell(name, size, s, slow, name if name in gflop else '')
        if not everything: continue
        for n in (4,16):
            x,y = torch.rand(2,n,1,h,w, device=device)
            for half in ('fp32','bf16'):
                fuse_batch(x, y, nets['fast'], precision=half)
                tell(f'fast, batch of {n}, {half}', size, best(lambda: fuse_batch(x, y, nets['fast'], precision=half), max(5, repeats))/n, slow)

def one_size(model, h, w, limit):
    "One row of the scaling table: CSV."
    x,y = torch.rand(2,1,1,h,w)
    fuse_batch(x[...,:32,:32], y[...,:32,:32], model)
    s = clock()
    out = fuse_batch(x, y, model, max_memory=limit)
    s = clock()-s
    assert out.shape == x.shape and out.isfinite().all()
    print(f"{w},{h},{w*h/1e6:.3f},{s:.2f},{1e6*s/w/h:.2f},{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**10:.0f}", flush=True)

def scaling(a, common):
    "Time per pixel from small to large images, 4:3; one process for each."
    head = 'width,height,megapixels,seconds,us_per_pixel,peak_mb'
    print(f"\nnetwork {a.network}, max_memory {a.max_memory}, {machine()}, {a.clock} time\n{head}", flush=True)
    rows = []
    for m in a.scaling:
        size = f'{round((4/3*m*1e6)**.5)}x{round((.75*m*1e6)**.5)}'
        rows.append(alone('--one', size, '--network', a.network, '--max-memory', a.max_memory, *common))
        print(rows[-1], flush=True)
    if a.write:
        with atomic_path(a.write) as tmp: tmp.write_text('\n'.join([head, *rows])+'\n')

def alone(*args):
    "The same script in a process of its own, so that its peak memory is that of one size; what it prints."
    return subprocess.run([sys.executable, __file__, *map(str, args)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--sizes', nargs='*', help='WIDTHxHEIGHT ... (default: 128x128 640x480 1024x768)')
    p.add_argument('--compare', action='store_true', help='several methods in one run; nothing else is then')
    p.add_argument('--all', action='store_true', help='for --compare: half precision and batches also without a GPU')
    p.add_argument('--scaling', nargs='*', type=float, default=[], help='megapixels at which the time per pixel is measured, 4:3; nothing else is then')
    p.add_argument('--network', default='ivf', choices=('ivf','smoke'), help='for --scaling: the shipped one, or the small one with random weights')
    p.add_argument('--max-memory', default='1G', help='for --scaling')
    p.add_argument('--write', help='for --scaling and --compare: a CSV file')
    p.add_argument('--one', help=argparse.SUPPRESS)
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    p.add_argument('--repeats', type=int, default=2)
    p.add_argument('--device', default='auto')
    p.add_argument('--precision', default='fp32', choices=('fp32', 'bf16'))
    p.add_argument('--pairs', type=int, default=4, help='of the folder; 0 leaves it out')
    p.add_argument('--clock', default='wall', choices=CLOCKS, help='cpu: processor time, for one thread on a machine that others use too')
    p.add_argument('--bare', action='store_true', help='rows only')
    a = p.parse_args()
    globals()['clock'] = CLOCKS[a.clock]
    torch.set_num_threads(a.threads)
    common = ['--threads', a.threads, '--repeats', a.repeats, '--device', a.device, '--precision', a.precision, '--clock', a.clock]
    if a.scaling: return scaling(a, common)
    set_seed(0)
    if a.compare:
        print(f'{machine()}, {a.clock} time', *([torch.cuda.get_device_name()] if torch.cuda.is_available() else []))
        return compare(a.sizes or ['640x480','1280x1024'], a.device, a.repeats, a.all, a.write)
    model = SMFNet(MODEL_PRESETS['smoke']).eval() if a.network == 'smoke' else load_model('ivf', a.device)
    if a.one:
        w,h = map(int, a.one.split('x'))
        return one_size(model, h, w, parse_memory(a.max_memory))
    if a.bare:
        for o in a.sizes:
            w,h = map(int, o.split('x'))
            row(model, h, w, a.precision, a.repeats)
        return
    print(f'{machine()}, {a.clock} time')
    if torch.cuda.is_available(): print(torch.cuda.get_device_name())
    print("| size | precision | ms per pair | GFLOP | peak GFLOP/s | share of peak | time × peak, GFLOP | peak memory, MB |\n|---|---|--:|--:|--:|--:|--:|--:|", flush=True)
    for o in a.sizes or ['128x128', '640x480', '1024x768']: print(alone('--sizes', o, '--bare', *common), flush=True)
    if a.pairs: folders(model, 240, 320, a.pairs)

if __name__ == '__main__': main()
