"""What the shipped weights make of two embedded scenes, pinned to 1e-4, so that no change of the forward pass stays unnoticed.
After new weights are shipped, write the numbers again with `python tests/network/test_golden.py` and look at the difference."""
import json
from pathlib import Path
import pytest
import torch
import torch.nn.functional as F
from smfnet.data.scenes.render import render_scene
from smfnet.network.weights import load_model

GOLDEN = Path(__file__).with_name('golden.json')
SCENES = dict(mixed=dict(seed=3, size=(72,96)), night=dict(seed=7, size=(72,96), time='night'))

def summary(x):
    "Mean, standard deviation and a coarse map of an image (1 1 h w)."
    r = lambda o: [round(v, 6) for v in o.flatten().tolist()]
    return dict(mean=r(x.mean())[0], std=r(x.std())[0], map=r(F.adaptive_avg_pool2d(x, (6,8))))

@torch.no_grad()
def seen(name, scene):
    "Summaries of everything that weights make of a scene."
    net, pair = load_model(name, 'cpu'), render_scene(**SCENES[scene]).pair()
    ir,vi = pair.ir[None], pair.vi[None]
    images = dict(fused=net(ir,vi)) if name == 'ivf' else dict(zip(('rec_ir','rec_vi'), net(ir,vi,stage=1)))
    return {k: summary(o) for k,o in (dict(ir=ir, vi=vi) | images).items()}

@pytest.mark.parametrize('scene', SCENES)
@pytest.mark.parametrize('name', ('ivf','stage1'))
def test_the_shipped_weights_make_what_they_made(name, scene):
    want = json.loads(GOLDEN.read_text())[name][scene]
    got = seen(name, scene)
    assert got.keys() == want.keys()
    for k in want:
        flat = lambda o: [o['mean'], o['std'], *o['map']]
        assert flat(got[k]) == pytest.approx(flat(want[k]), abs=1e-4), f'{name} makes another {k} of {scene}: see the docstring of this file'

if __name__ == '__main__':
    GOLDEN.write_text(json.dumps({n: {s: seen(n,s) for s in SCENES} for n in ('ivf','stage1')}, indent=None, separators=(',',':')).replace('},"', '},\n"') + '\n')
