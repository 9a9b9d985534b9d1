"""How well registration undoes a known transform: pairs of TNO, RoadScene and MSRS are moved, then registered. Needs SMFNET_DATA.

    python benchmarks/registration.py --pairs 5 --write results/registration.csv

Each pair is cut to its inner 80 %, and its infrared, of half the resolution, is moved by a shift, a similarity or a homography drawn at random; `published` leaves it
where it is, and `stranger` takes the infrared of another scene, which must be refused. Errors are means over the picture in pixels of the visible image.
"""
import argparse, csv, math, time
from pathlib import Path
import numpy as np
import torch
from smfnet.core.files import data_root
from smfnet.data.colour import luma
from smfnet.data.images import read_image
from smfnet.data.register import register, warp

SETS = ('TNO', 'RoadScene', 'MSRS')
KINDS = ('published', 'shift', 'similarity', 'homography', 'stranger')
HEAD = 'dataset pair kind model before_px after_px agree blocks spread_px sure seconds'.split()

def resize_matrix(size, zoom):
    "Pixel of an image -> pixel of it, zoomed; the zoomed size."
    h,w = (round(n*zoom) for n in size)
    y,x = h/size[0], w/size[1]
    return np.array([[x,0,(x-1)/2], [0,y,(y-1)/2], [0,0,1.]]), (h,w)

def draw(kind, size, rng):
    "A random transform of a picture about its centre: shift up to 6 % of its longer side, zoom up to 20 %, turn up to 6°, corners pulled by perspective."
    (h,w), n = size, max(size)
    about = np.array([[1,0,(w-1)/2], [0,1,(h-1)/2], [0,0,1.]])
    shift, zoom, turn, tilt = rng.uniform(-.06, .06, 2)*n, math.exp(rng.uniform(-.18, .18)), math.radians(rng.uniform(-6, 6)), rng.uniform(-.1, .1, 2)/n
    m = np.eye(3)
    if kind in ('similarity','homography'):
        c,d = zoom*math.cos(turn), zoom*math.sin(turn)
        m = np.array([[c,-d,0], [d,c,0], [0,0,1]])
    if kind == 'homography': m = np.array([[1,0,0], [0,1,0], [*tilt,1]]) @ m
    if kind in ('shift','similarity','homography'): m = np.array([[1,0,shift[0]], [0,1,shift[1]], [0,0,1]]) @ m
    return about @ m @ np.linalg.inv(about)

def moved_pair(ir, vi, kind, rng):
    "The moved infrared, the visible window, and the matrix from one to the other."
    h,w = vi.shape[:2]
    y,x = h//10, w//10
    window, size = np.array([[1,0,x], [0,1,y], [0,0,1.]]), (h-2*y, w-2*x)
    half, small = resize_matrix(size, .5)
    g = draw(kind, (h,w), rng)
    seen,_ = warp(ir, g @ window @ np.linalg.inv(half), small)
    return seen, vi[y:y+size[0],x:x+size[1]], half @ np.linalg.inv(window) @ np.linalg.inv(g) @ window

def distance(matrix, truth, size, ir):
    "Mean distance in px of the visible image, over what the infrared covers."
    at = lambda m, p: (q := m @ p)[:2]/q[2]
    p = np.stack([*np.meshgrid(np.linspace(0, size[1]-1, 15), np.linspace(0, size[0]-1, 15)), np.ones((15,15))]).reshape(3,-1)
    there = at(truth, p)
    p = p[:,(there[0] >= 0) & (there[1] >= 0) & (there[0] <= ir[1]-1) & (there[1] <= ir[0]-1)]
    back = at(np.linalg.inv(truth), np.vstack([at(matrix, p), np.ones(p.shape[1])]))
    return float(np.hypot(*(back - p[:2])).mean())

def main():
    "Register and count."
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--pairs', type=int, default=5, help='of each data set, evenly spaced')
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--write', help='CSV file')
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    root, rng, rows = data_root(), np.random.default_rng(0), []
    if root is None: raise SystemExit('set SMFNET_DATA to the folder that holds TNO, RoadScene and MSRS')
    for name in SETS:
        files = sorted((root/name/'test/ir').iterdir())
        files = [files[i*len(files)//a.pairs] for i in range(a.pairs)]
        for k,f in enumerate(files):
            vi = luma(read_image(root/name/'test/vi'/f.name))
            for kind in KINDS:
                source = files[(k+1)%len(files)] if kind == 'stranger' else f
                ir = luma(read_image(source))
                if kind == 'stranger': ir = warp(ir, np.linalg.inv(resize_matrix(ir.shape, 1)[0]) @ np.diag([ir.shape[1]/vi.shape[1], ir.shape[0]/vi.shape[0], 1]), vi.shape)[0]
                seen, window, truth = moved_pair(ir, vi, kind, rng)
                model = kind if kind in ('shift','homography') else 'similarity'
                start = time.process_time()
                r = register(seen, window, model, believe=True)
                seconds = time.process_time() - start
                errors = ['', ''] if kind == 'stranger' else [f'{distance(m, truth, window.shape, seen.shape):.2f}' for m in (resize_matrix(window.shape, .5)[0], r.matrix)]
                rows.append([name, f.stem, kind, model, *errors, r.agree, r.blocks, f'{r.spread:.2f}', int(r.sure), f'{seconds:.1f}'])
                print(*rows[-1], flush=True)
            if a.write:
                with Path(a.write).open('w', newline='') as o: csv.writer(o).writerows([HEAD, *rows])

if __name__ == '__main__': main()
