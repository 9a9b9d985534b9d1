"""Two things that a person sees and the paper's metrics hardly count: grain in bright skies, and faint texture in warm places.

    export SMFNET_DATA=/data
    python benchmarks/eye.py                               the shipped weights `ivf` and `fast`
    python benchmarks/eye.py --weights ivf runs/x/stage2/stage2.safetensors --write results/training/eye.csv

`grain`: in a sky as the measure `sky` finds it (visible above 170, infrared below 90), how far a pixel of the fused image is from the mean of the nine around it, in grey levels. The visible image's own stands in the first
row; what is above that came from the infrared camera.
`texture`: where the visible image is dark (below 90), the infrared one at least 15 brighter, and the visible one the more detailed of both (standard deviations of 7×7 px, 6 or more), how much of the visible
detail the fused image has: the slope of its regression on the visible image within 7×7 px, 1 for all of it.

Places are 256×192 windows, one a pair, of pairs that training holds out: in each pair the one with most such pixels, and of those the best `--windows`. Test pairs are not touched. Five minutes for two weights, on one core.
"""
import argparse, csv, sys
from pathlib import Path
import torch
import torch.nn.functional as F
from kornia.filters import box_blur
from smfnet.core.files import atomic_path
from smfnet.data.datasets import find_pairs, split_validation
from smfnet.metrics.picture import SKY_IR, SKY_VI
from smfnet.network.weights import load_model, weights_hash

def mean(x, k):
    "Mean of k² pixels around each."
    return box_blur(x, (k,k))

def covariance(a, b, k=7):
    "Of the k² pixels around each."
    return mean(a*b, k) - mean(a, k)*mean(b, k)

def bright_sky(ir, vi): return (vi > SKY_VI/255) & (ir < SKY_IR/255)

def faint_texture(ir, vi):
    spread = [covariance(o, o).clamp(min=0).sqrt() for o in (ir,vi)]
    return (mean(vi,7) < 90/255) & (mean(ir,7) > mean(vi,7) + 15/255) & (spread[1] > 6/255) & (spread[1] > spread[0])

def grain(fused, ir, vi, where):
    "Grey levels from a pixel to the mean of the nine around it."
    return 255*(fused - mean(fused,3)).abs()[where].mean().item()

def texture(fused, ir, vi, where):
    "Share of the visible image's detail."
    return (covariance(fused, vi)/covariance(vi, vi).clamp(min=1e-6))[where].clamp(-1, 2).mean().item()

def windows(pairs, mask, n, h=192, w=256, step=16, least=300):
    "The n windows with most pixels of `mask`, at most one a pair: (ir, vi, mask), each 1 1 h w."
    found = []
    for p in pairs:
        q = p.read()
        ir, vi = (torch.as_tensor(o).float().reshape(1, 1, *o.shape[-2:]) for o in (q.ir, q.vi))
        m = mask(ir, vi)
        size = min(h, m.shape[-2]), min(w, m.shape[-1])
        share = F.avg_pool2d(m.float(), size, step)[0,0]
        y, x = divmod(int(share.argmax()), share.shape[1])
        place = (..., slice(y*step, y*step + size[0]), slice(x*step, x*step + size[1]))
        if m[place].sum() >= least: found.append((float(share.max()), tuple(o[place] for o in (ir,vi,m))))
    return [o for _,o in sorted(found, key=lambda o: -o[0])[:n]]

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--weights', nargs='+', default=['ivf','fast'], help='shipped names or checkpoints (default ivf fast)')
    p.add_argument('--data', nargs='+', default=['RoadScene/train','MSRS/train'], help='below SMFNET_DATA (default RoadScene/train MSRS/train)')
    p.add_argument('--windows', type=int, default=12, help='for each measure (default 12)')
    p.add_argument('--write', type=Path, help='also write the table as CSV')
    a = p.parse_args()
    if a.windows < 1: p.error('--windows must be 1 or more')
    try:
        nets = [load_model(w, 'cpu') for w in a.weights]
        held = [o for d in a.data for o in split_validation(find_pairs(d), .1, 0)[1]]
        places = {f: windows(held, mask, a.windows) for f,mask in ((grain,bright_sky), (texture,faint_texture))}
    except (OSError, ValueError) as e: sys.exit(f'{p.prog}: {e}')
    if empty := [f.__name__ for f,o in places.items() if not o]: sys.exit(f'{p.prog}: {", ".join(a.data)} holds out no pair with a place for {empty[0]}')
    rows = []
    def row(name, fuse):
        means = {f.__name__: round(sum(f(fuse(ir,vi), ir, vi, m) for ir,vi,m in o)/len(o), 3) for f,o in places.items()}
        rows.append(dict(image=name) | means)
        print('  '.join(f'{v}' if k == 'image' else f'{k} {v}' for k,v in rows[-1].items()), flush=True)
    row('visible', lambda ir,vi: vi)
    row('brighter source', torch.maximum)
    with torch.inference_mode():
        for net in nets: row(weights_hash(net.state_dict())[:12], lambda ir,vi: net(ir, vi).clamp(0,1))
    if a.write:
        with atomic_path(a.write) as tmp, open(tmp, 'w', newline='') as f:
            w = csv.DictWriter(f, rows[0], lineterminator='\n')
            w.writeheader(), w.writerows(rows)

if __name__ == '__main__': main()
