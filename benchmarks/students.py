"""How small may the student be? Several sizes trained alike, scored on training pairs that none of them saw.

    SMFNET_DATA=folder/of/data OMP_NUM_THREADS=1 python benchmarks/students.py --work runs/students --csv results/students.csv

RoadScene/train and MSRS/train without a tenth that is held out by name, 3000 updates of two crops of 96×96 px, Muon, the losses that `fast` was trained with; every
second crop is also drawn towards what `ivf` makes of it. The scores are means over the middle 256×256 px of the pairs held out, no test pair is looked at. Crops and the
answers of `ivf` are kept in --work (0.3 GB, some minutes once). Half an hour of one core; the weights are not kept.
"""
import argparse, time
from pathlib import Path
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from smfnet.core.devices import set_seed
from smfnet.core.files import atomic_path
from smfnet.data.archive import load_patches, pack_patches
from smfnet.data.datasets import find_pairs, split_validation
from smfnet.fusing.api import fuse_batch
from smfnet.losses.ours import EdgeLoss, structure_loss
from smfnet.metrics.paper import score
from smfnet.metrics.picture import intensity_distance
from smfnet.network.student import StudentConfig, StudentNet
from smfnet.network.weights import load_model, weights_hash
from smfnet.scoring.score import write_rows
from smfnet.training.optim import Muon, update_ema

SIZES = {f'{d} wide, {b} blocks': StudentConfig(d, b) for d,b in ((48,4), (32,4), (16,3), (8,2), (1,2), (72,4))}
METRICS = ('EN','SD','MI','VIF','Qabf','SSIM')
SETS = {'RoadScene': 64, 'MSRS': 144} # step between crops of 160 px

def prepare(work):
    "Crops of both sets, crops with the answers of ivf, and the middle of the pairs held out; made once."
    crops, held = [], []
    for name,stride in SETS.items():
        pairs = find_pairs(f'{name}/train')
        pairs,out = split_validation(pairs, .1)
        file = work/f'{name}-160.npy'
        if not file.exists(): pack_patches(pairs, file, 160, stride, 0.)
        crops.append(load_patches(file).data)
        for p in out:
            q = p.read()
            y,x = ((n-256)//2 if n > 256 else 0 for n in q.size)
            held.append(tuple(o[None, :, y:y+256, x:x+256] for o in (q.ir, q.vi)))
    file = work/'teacher.npz'
    if not file.exists():
        ivf, rng, x, t = load_model('ivf', 'cpu'), np.random.default_rng(5), [], []
        for data in crops:
            for i in rng.permutation(len(data))[:30]:
                a = np.ascontiguousarray(data[i][:, 16:144, 16:144])
                x.append(a)
                t.append(np.rint(255*fuse_batch(*(torch.from_numpy(o).float().div(255)[None,None] for o in a), ivf)[0,0].numpy()).astype(np.uint8))
        with atomic_path(file) as tmp, open(tmp, 'wb') as f: np.savez(f, x=np.stack(x), t=np.stack(t))
    taught = np.load(file)
    return np.concatenate(crops), taught['x'], taught['t'], held

def batch(rng, crops, x, t, side=96):
    "A crop of its own and one that ivf has answered, turned and mirrored at random: (2 3 side side)."
    out = []
    for k in range(2):
        i = int(rng.integers(len(x if k else crops)))
        a = np.concatenate([x[i], t[i][None]]) if k else np.concatenate([crops[i], crops[i][:1]])
        r,c = rng.integers(0, a.shape[-1]-side+1, 2)
        a = np.rot90(a[:, r:r+side, c:c+side], int(rng.integers(4)), (1,2))
        out.append(a[..., ::-1] if rng.integers(2) else a)
    return torch.from_numpy(np.ascontiguousarray(np.stack(out))).float().div_(255)

def train(cfg, data, steps, lr=2e-3):
    "A student after `steps` updates: the moving average of its weights."
    set_seed(0)
    net = StudentNet(cfg).to(memory_format=torch.channels_last)
    opt, edges = Muon(net.parameters(), lr, betas=(.9,.99)), EdgeLoss('signed', 1)
    mean = {k: v.clone() for k,v in net.state_dict().items()}
    for k in range(steps):
        x = batch(np.random.default_rng([1,k]), *data)
        ir,vi = x[:,:1], x[:,1:2]
        f = net(ir, vi)
        loss = (f-torch.maximum(ir,vi)).abs().mean() + 1.2*edges(f, ir, vi) + .25*structure_loss(f, ir, vi) + (f-x[:,2:])[1:].abs().mean()
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.)
        rate = lr*min(1, (k+1)/20)*(.02+.49*(1+np.cos(np.pi*k/steps)))
        for g in opt.param_groups: g['lr'] = float(rate)
        opt.step()
        update_ema(mean, net, .98, k)
        if k % 50 == 49: print(f'  {k+1} updates, loss {loss.item():.4f}', flush=True)
    net.load_state_dict(mean)
    return net.eval()

def judge(f, held):
    "Means of the metrics over the pairs held out, for a function of a pair."
    rows = []
    for ir,vi in held:
        x = f(ir, vi)[0,0].numpy()
        rows.append(score(x, ir[0,0].numpy(), vi[0,0].numpy(), METRICS) | dict(Eq29=intensity_distance(x, ir[0,0].numpy(), vi[0,0].numpy())))
    return {k: float(np.mean([r[k] for r in rows])) for k in rows[0]}

def cost(net):
    "Parameters, multiplications a pixel, and ms of processor time for a pair of 640×480 px on this thread."
    ir,vi = torch.rand(2,1,1,480,640)
    t = []
    for _ in range(4):
        start = time.process_time(); fuse_batch(ir, vi, net); t.append(time.process_time()-start)
    x = torch.empty(1,1,96,96, device='meta')
    with FlopCounterMode(display=False) as count, torch.no_grad(): StudentNet(net.cfg).to('meta')(x, x)
    return dict(parameters=sum(p.numel() for p in net.parameters()), multiplications=count.get_total_flops()//2//x.numel(), ms=1e3*min(t))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--work', type=Path, required=True, help='folder for crops and the answers of ivf')
    p.add_argument('--csv', help='write the table there')
    p.add_argument('--steps', type=int, default=3000)
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    *data,held = prepare(a.work)
    none = dict(parameters=0, multiplications=0, ms=0., train_s=0.)
    fast = load_model('fast', 'cpu') # as shipped; it trained much longer
    rows = [dict(network='maximum', updates=0) | none | judge(torch.maximum, held),
            dict(network=f"fast {weights_hash(fast.state_dict())[:12]}", updates=-1) | none | cost(fast) | judge(lambda x,y: fuse_batch(x, y, fast), held)]
    for name,cfg in SIZES.items():
        print(name, flush=True)
        start = time.process_time()
        net = train(cfg, data, a.steps)
        spent = time.process_time()-start
        rows.append(dict(network=name, updates=a.steps) | cost(net) | dict(train_s=spent) | judge(lambda x,y: fuse_batch(x, y, net), held))
        print(rows[-1], flush=True)
        if a.csv: write_rows(a.csv, rows, 4) # after each, so that a run that is stopped leaves its lines

if __name__ == '__main__': main()
