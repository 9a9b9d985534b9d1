"""What the objective has and the network lacks: the network's fused images beside pixels that were optimised for the same loss.

    export SMFNET_DATA=/data
    python benchmarks/headroom.py exchange                  both, and the network's images with the coarse or the fine part of the other's
    python benchmarks/headroom.py exchange --loss-weights signed  the same for another objective
    python benchmarks/headroom.py terms                     pixels alone: with more and more SSIM in the objective, with and without its luminance factor
    python benchmarks/headroom.py coarse                    the network's images with more contrast in one part of them, and pixels with Eq. 30 at more and more scales
    python benchmarks/headroom.py floor                     pixels alone, from the brighter source: with and without a floor under the edges, with more and more structure
    python benchmarks/headroom.py whole --pairs 16          the network's images alone, not cut
    python benchmarks/headroom.py extent                    what the network makes of the same pixels when it sees more around them
    python benchmarks/headroom.py terms --write results/training/terms.csv

The coarse part of an image is what a Gaussian of width sigma keeps, the fine part what it drops. Pairs are those that training holds out, cut to 256×192, for `coarse` and `whole` not; results are
stretched to the full range and scored with the eight metrics of the paper's tables. A minute for a row, on one core. Test pairs are not touched.
"""
import argparse, csv, dataclasses, sys
from pathlib import Path
import torch
from kornia.filters import gaussian_blur2d
from smfnet.core.files import atomic_path
from smfnet.data.datasets import find_pairs, split_validation
from smfnet.network.weights import load_model
from smfnet.losses.ours import LOSS_PRESETS, EdgeLoss, OurLossWeights
from smfnet.losses.stage_one import ssim
from smfnet.metrics.paper import full_range
from smfnet.scoring.score import score
from smfnet.studies.tradeoff import best_pixels
from smfnet.network.weights import weights_hash

METRICS = ('EN','SD','SF','MI','VIF','Qabf','AG','SSIM')
RELEASED = dict(alpha4=2., alpha5=10., edges='signed')
OBJECTIVES = {k: OurLossWeights(**dataclasses.asdict(w)) for k,w in LOSS_PRESETS.items()} | dict(
    signed=OurLossWeights(**RELEASED), scales=OurLossWeights(**RELEASED, edge_scales=3))

def held_out(data, n, h=192, w=256):
    "The first n pairs that training on `data` holds out, as (ir, vi), each 1 1 h w."
    pairs = split_validation(find_pairs(data), .1, 0)[1][:n]
    image = lambda x: torch.as_tensor(x).float().reshape(1, 1, *x.shape[-2:])[...,:h,:w] # None: whole
    return [(image(p.ir), image(p.vi)) for p in (o.read() for o in pairs)]

def optimum(fused, ir, vi, loss, steps, luminance=False):
    "Pixels that make small what Eq. 28 asks of the fused image, from the network's; steps are taken in a blurred picture, so that the coarse part moves as well."
    edges, brighter = EdgeLoss(loss.edges, loss.edge_scales, loss.edge_floor), torch.maximum(ir, vi)
    unlike = lambda x: 1 - (ssim(x, ir, luminance=luminance) + ssim(x, vi, luminance=luminance))/2
    d = torch.zeros_like(fused).requires_grad_()
    opt = torch.optim.Adam([d], lr=.03)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    moved = lambda: fused + gaussian_blur2d(d, (3,3), (.85,.85), 'replicate')
    for _ in range(steps):
        x = moved()
        total = (x-brighter).abs().mean() + loss.alpha5*edges(x, ir, vi)
        if loss.structure: total = total + loss.structure*unlike(x)
        opt.zero_grad(), total.backward(), opt.step(), plan.step()
    return moved().detach().clamp(0,1)

def coarse(x, sigma):
    "What a Gaussian of width sigma px keeps."
    k = 2*int(3*sigma) + 1
    return gaussian_blur2d(x, (k,k), (sigma,sigma), 'reflect')

def mean_scores(images, pairs, metrics=METRICS):
    "Mean of each metric, images stretched."
    rows = [score(full_range(x.clamp(0,1))[0,0].numpy(), ir[0,0].numpy(), vi[0,0].numpy(), metrics=metrics) for x,(ir,vi) in zip(images, pairs)]
    return {m: round(float(sum(r[m] for r in rows))/len(rows), 3) for m in metrics}

def fuse_all(net, pairs):
    "The network's images in [0, 1]."
    with torch.no_grad(): return [net(*o).clamp(0,1) for o in pairs]

def exchange(net, pairs, loss, steps, sigmas=(1.5,4,12)):
    "The network, the optimum, and the network with one part of the optimum's."
    ours = fuse_all(net, pairs)
    best = [optimum(x, *o, loss, steps) for x,o in zip(ours, pairs)]
    yield dict(image='network') | mean_scores(ours, pairs)
    yield dict(image='pixels') | mean_scores(best, pairs)
    for s in sigmas: yield dict(image=f'network, coarse part (sigma {s}) of the pixels') | mean_scores([a-coarse(a,s)+coarse(b,s) for a,b in zip(ours,best)], pairs)
    for s in sigmas: yield dict(image=f'network, fine part (sigma {s}) of the pixels') | mean_scores([coarse(a,s)+b-coarse(b,s) for a,b in zip(ours,best)], pairs)

def terms(net, pairs, loss, steps, weights=((0,False),(2,True),(6,True),(12,True),(4,False),(8,False),(16,False))):
    "The network, and optima with weights of SSIM in the objective, whole or without luminance."
    ours = fuse_all(net, pairs)
    yield dict(image='network') | mean_scores(ours, pairs)
    for w,whole in weights:
        name = 'pixels' + (f', {w} × {"SSIM" if whole else "structure"}' if w else '')
        yield dict(image=name) | mean_scores([optimum(x, *o, dataclasses.replace(loss, structure=w), steps, whole) for x,o in zip(ours, pairs)], pairs)

def coarser(net, pairs, loss, steps, gain=1.1, scales=((3,8),(3,4),(4,4),(5,4),(6,4))):
    "The network, the network with `gain` in one part of its image, and optima with (scales, weight of structure)."
    ours = fuse_all(net, pairs)
    parts = {'coarse (beyond 12 px)': lambda x: coarse(x,12) - x.mean(), 'middle (3 to 12 px)': lambda x: coarse(x,3) - coarse(x,12), 'fine (below 3 px)': lambda x: x - coarse(x,3)}
    yield dict(image='network') | mean_scores(ours, pairs)
    for name,part in parts.items(): yield dict(image=f'network, {name} part × {gain}') | mean_scores([x + (gain-1)*part(x) for x in ours], pairs)
    for s,w in scales:
        o = dataclasses.replace(loss, edge_scales=s, structure=w)
        yield dict(image=f'pixels, edge_scales={s}, structure={w}') | mean_scores([optimum(x, *p, o, steps) for x,p in zip(ours, pairs)], pairs)

def floored(net, pairs, loss, steps, trials=((.8,.25,0.), (.8,.25,.3), (.8,.1,.3), (.8,.5,.3), (.8,1.,.3), (.8,.25,.2), (1.5,.25,.3))):
    "The network, the brighter source, and optima with (alpha5, structure, edge_floor); their distance from the brighter source before they are stretched, in grey levels (Eq. 29)."
    far = lambda images: dict(Eq29=round(sum(255*(x - torch.maximum(*o)).abs().mean().item() for x,o in zip(images, pairs))/len(pairs), 2))
    start = {'network': fuse_all(net, pairs), 'brighter source': [torch.maximum(*o) for o in pairs]}
    for name,images in start.items(): yield dict(image=name) | mean_scores(images, pairs) | far(images)
    for a,s,t in trials:
        best = [best_pixels(*o, OurLossWeights(alpha5=a, edges='signed', structure=s, edge_floor=t), steps=steps) for o in pairs]
        yield dict(image=f'pixels, α₅ = {a}, structure {s}, floor {t}') | mean_scores(best, pairs) | far(best)

def uncut(net, pairs, loss, steps):
    "The network, SCD as well, and its distance from the brighter source before it is stretched (Eq. 29)."
    ours = fuse_all(net, pairs)
    far = sum((x - torch.maximum(*o)).abs().mean().item() for x,o in zip(ours, pairs))/len(pairs)
    yield dict(image='network') | mean_scores(ours, pairs, (*METRICS,'SCD')) | dict(intensity=round(far, 3))

def extent(net, pairs, loss, steps, sides=(80,112,160,192), window=64):
    "How far the middle window² of a pair comes out from what the whole pair gives there, in grey levels, when the network sees side² of it: the window's mean, and the rest."
    middle = lambda x, n: x[..., (x.shape[-2]-n)//2:(x.shape[-2]+n)//2, (x.shape[-1]-n)//2:(x.shape[-1]+n)//2]
    whole = [middle(o, window) for o in fuse_all(net, pairs)]
    for side in sides:
        gap = torch.cat([middle(o, window) - w for o,w in zip(fuse_all(net, [[middle(x, side) for x in o] for o in pairs]), whole)])*255
        level = gap.mean((1,2,3), keepdim=True)
        yield dict(side=side, mean=round(float(level.abs().mean()),2), rest=round(float((gap-level).abs().mean()),2))

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('table', choices=('exchange','terms','coarse','floor','whole','extent'), help='see the head of this file')
    p.add_argument('--weights', nargs='+', default=['ivf'], help='shipped names or checkpoints (default ivf)')
    p.add_argument('--loss-weights', default='scales', choices=OBJECTIVES, help='whose edges, scales and weights count (default scales)')
    p.add_argument('--data', default='RoadScene/train', help='below SMFNET_DATA (default RoadScene/train)')
    p.add_argument('--pairs', type=int, default=5, help='held-out pairs (default 5)')
    p.add_argument('--steps', type=int, default=150, help='of the optimisation (default 150)')
    p.add_argument('--write', type=Path, help='also write the table as CSV')
    a = p.parse_args()
    if a.pairs < 1 or a.steps < 1: p.error('--pairs and --steps must be 1 or more')
    try: nets, pairs = [load_model(w, 'cpu') for w in a.weights], held_out(a.data, a.pairs, *(None,None)*(a.table in ('coarse','whole')))
    except (OSError, ValueError) as e: sys.exit(f'{p.prog}: {e}')
    rows = []
    for net in nets:
        for row in dict(exchange=exchange, terms=terms, coarse=coarser, floor=floored, whole=uncut, extent=extent)[a.table](net, pairs, OBJECTIVES[a.loss_weights], a.steps):
            rows.append(dict(weights=weights_hash(net.state_dict())[:12]) | row)
            print('  '.join(f'{v}' if k in ('weights','image') else f'{k} {v}' for k,v in rows[-1].items()), flush=True)
    if a.write:
        with atomic_path(a.write) as tmp, open(tmp, 'w', newline='') as f:
            w = csv.DictWriter(f, rows[0], lineterminator='\n')
            w.writeheader(), w.writerows(rows)

if __name__ == '__main__': main()
