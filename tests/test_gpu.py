"What only a GPU can show: the same images as on a CPU, training at every precision, a step recorded as a CUDA graph. Skipped where there is none."
import pytest
import torch
from smfnet.core.devices import set_seed
from smfnet.fusing.api import fuse
from smfnet.fusing.folders import fuse_files
from smfnet.network.weights import load_model
from smfnet.data.images import read_image, write_image
from smfnet.losses.stage_one import LossWeights
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.weights import load_model
from smfnet.data.scenes.render import scene_pairs
from smfnet.fusing.tiles import stream
from smfnet.training.config import TrainConfig
from smfnet.training.state import read_log
from smfnet.training.trainer import Trainer

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

def toy(n=8, side=48):
    g = torch.Generator().manual_seed(5)
    smooth = torch.nn.AvgPool2d(5, 1, 2)
    return [tuple(smooth(torch.rand(2, 1, side, side, generator=g))) for _ in range(n)]

def losses(folder, device='cuda', stop=None, resume='auto', **over):
    set_seed(0)
    cfg = TrainConfig(**(dict(stage=2, steps=8, batch=4, lr=1e-3, optimizer='muon', device=device, ema=.9) | over))
    t = Trainer(toy(), folder, cfg, SMFNet(MODEL_PRESETS['smoke']), LossWeights(edges='signed'))
    t.on_step = lambda s,_: setattr(t, 'stop', s == stop)
    path = t.run(resume, progress=False)
    return torch.tensor([r['total'] for r in read_log(folder)]), path

def test_a_gpu_fuses_what_a_cpu_fuses(exact):
    ir,vi = pair()
    on_cpu, on_gpu = (fuse(ir, vi, model=load_model(device=d)) for d in ('cpu','cuda'))
    assert on_cpu.std() > .05 and (on_gpu.cpu() - on_cpu).abs().max() < 1e-4
    half = fuse(ir, vi, model=load_model(device='cuda'), precision='bf16').cpu()
    assert 0 < (half - on_cpu).abs().max() < .05
    tiled = stream(load_model(device='cuda'), ir, vi, side=64)
    assert (tiled - on_cpu).abs().max() < 1e-4

def test_files(tmp_path, exact):
    ir,vi = pair()
    for name,x in (('ir',ir), ('vi',vi)): write_image(tmp_path/name/'a.png', x[0,0].numpy())
    for d in ('cpu','cuda'): fuse_files(tmp_path/'ir', tmp_path/'vi', tmp_path/d, device=d)
    a,b = (read_image(tmp_path/d/'a.png') for d in ('cpu','cuda'))
    assert a.std() > .05 and abs(a-b).max() < 1.01/255

def test_first_steps_are_those_of_a_cpu(tmp_path, exact):
    cpu,_ = losses(tmp_path/'cpu', 'cpu')
    gpu,path = losses(tmp_path/'gpu')
    assert (gpu[:3] - cpu[:3]).abs().max() < 1e-2*cpu[0] and gpu[-1] < gpu[0]
    assert load_model(path, 'cpu').info['machine'].endswith('cuda')

@pytest.mark.parametrize('precision,optimizer', [('bf16','muon'), ('fp16','adam'), ('bf16','adam')])
def test_half_precision_trains(tmp_path, precision, optimizer):
    full,_ = losses(tmp_path/'full', optimizer=optimizer)
    half,_ = losses(tmp_path/'half', precision=precision, optimizer=optimizer)
    assert (half != full).any() and (half - full).abs().max() < .05*full[0] and half[-1] < half[0]

@pytest.mark.parametrize('over', [{}, dict(precision='bf16'), dict(optimizer='adam')])
def test_a_recorded_step_is_the_step(tmp_path, over):
    "Also the step size, which changes from step to step, and the batch reach it."
    over = over | dict(schedule='cosine', warmup=3, augment=True)
    plain,a = losses(tmp_path/'plain', **over)
    recorded,b = losses(tmp_path/'recorded', record=True, **over)
    assert (recorded - plain).abs().max() < 1e-2*plain[0] and len(set(recorded.tolist())) == 8
    set_seed(0)
    a,b,start = *(load_model(o, 'cpu').state_dict() for o in (a,b)), SMFNet(MODEL_PRESETS['smoke']).state_dict()
    distance = lambda x,y: sum((x[k]-y[k]).square().sum() for k in x)**.5
    assert distance(a, b) < .2*distance(a, start)

def test_a_recorded_run_stops_and_goes_on(tmp_path):
    whole,_ = losses(tmp_path/'whole', record=True)
    cut,path = losses(tmp_path/'cut', record=True, stop=5)
    assert len(cut) == 5 and path.name == 'state.safetensors'
    again,path = losses(tmp_path/'cut', record=True, resume='must')
    assert len(again) == 8 and (again - whole).abs().max() < 1e-2*whole[0] and path.name == 'stage2.safetensors'
