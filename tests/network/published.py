"A stand-in for the file that the authors published: the same keys and shapes, filled by a rule that needs no file."
import csv, os, zlib
from pathlib import Path
import numpy as np
import torch
from smfnet.network.release import ReleaseConfig, ReleaseNet
from smfnet.network.release_file import PARTS, release_key

def release_folder():
    "Where keys.csv, parity.npz and perhaps model_VIF.pth lie: `SMFNET_RELEASE`, else the folder `release` beside `SMFNET_DATA`; or None."
    data = os.environ.get('SMFNET_DATA')
    place = os.environ.get('SMFNET_RELEASE') or (Path(data).resolve().parent/'release' if data else None)
    return Path(place) if place and Path(place).is_dir() else None

def missing(*names):
    "Why a test that needs these files is skipped; '' if they are all there."
    folder = release_folder()
    if folder is None: return 'neither SMFNET_RELEASE nor a folder release beside SMFNET_DATA is there'
    return ', '.join(f'{folder/n} is not there' for n in names if not (folder/n).exists())

def fill(part, key, shape):
    "Random numbers that depend on the name alone, of about the size that trained weights have."
    z = np.random.RandomState(zlib.crc32(f'{part}.{key}'.encode())).standard_normal(shape).astype(np.float32)
    if key.endswith('num_batches_tracked'): return torch.zeros(shape, dtype=torch.int64)
    for end,f in (('running_var', lambda z: .5 + np.abs(z)), ('running_mean', lambda z: .1*z), ('gamma', lambda z: .5 + .1*z),
                  ('temperature', lambda z: 1 + .1*z), ('scale', lambda z: 1 + .1*z), ('bias', lambda z: .05*z)):
        if key.endswith(end): return torch.as_tensor(f(z), dtype=torch.float32)
    return torch.as_tensor(1 + .1*z if len(shape) == 1 else z/np.sqrt(np.prod(shape[1:])), dtype=torch.float32)

def listed(folder):
    "The whole file, from the list of its tensors."
    out = {}
    with open(folder/'keys.csv', newline='') as f:
        for r in csv.DictReader(f):
            shape = () if r['shape'] == 'scalar' else tuple(map(int, r['shape'].split('x')))
            out.setdefault(r['part'], {})[r['key']] = fill(r['part'], r['key'].removeprefix('module.'), shape)
    return out

def made(cfg=ReleaseConfig()):
    "The tensors of the file that the network uses, from the network's own shapes, and one that it does not use."
    out = {p: {} for p in PARTS}
    with torch.device('meta'): state = ReleaseNet(cfg).state_dict()
    for name,v in state.items():
        part,key = release_key(name)
        out[part][f'module.{key}'] = fill(part, key, (len(v),1,1) if name.endswith('log_T') else tuple(v.shape))
    out['BaseFuseLayer']['module.reduce_channel.weight'] = torch.ones(64,128,1,1)
    return out
