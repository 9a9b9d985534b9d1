"What only a GPU can show of fusing: the same images as on a CPU. Skipped where there is none."
import pytest
import torch
from smfnet.data.images import read_image, write_image
from smfnet.data.scenes.render import scene_pairs
from smfnet.fusing.api import fuse_batch
from smfnet.fusing.folders import fuse_folder
from smfnet.fusing.streams import stream
from smfnet.network.weights import load_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs an NVIDIA GPU')

@pytest.fixture
def exact():
    "Products in full float32: TF32 keeps ten bits."
    old = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = old

def pair():
    p = scene_pairs(1, seed=3, size=(120,160))[0]
    return p.ir[None], p.vi[None]

def test_a_gpu_fuses_what_a_cpu_fuses(exact):
    ir,vi = pair()
    on_cpu, on_gpu = (fuse_batch(ir, vi, load_model(device=d)) for d in ('cpu','cuda'))
    assert on_cpu.std() > .05 and (on_gpu.cpu() - on_cpu).abs().max() < 1e-4
    half = fuse_batch(ir, vi, load_model(device='cuda'), precision='bf16').cpu()
    assert 0 < (half - on_cpu).abs().max() < .05
    assert (stream(ir, vi, load_model(device='cuda'), side=64) - on_cpu).abs().max() < 1e-4

def test_files(tmp_path, exact):
    ir,vi = pair()
    for name,x in (('ir',ir), ('vi',vi)): write_image(tmp_path/name/'a.png', x[0,0].numpy())
    for d in ('cpu','cuda'): fuse_folder(tmp_path/'ir', tmp_path/'vi', tmp_path/d, device=d)
    a,b = (read_image(tmp_path/d/'a.png') for d in ('cpu','cuda'))
    assert a.std() > .05 and abs(a-b).max() < 1.01/255
