"What only a GPU can show of training: precisions, recorded steps. Skipped where there is none."

import pytest
import torch
from smfnet.losses.ours import OurLossWeights
from smfnet.network.model import MODEL_PRESETS
from smfnet.network.weights import load_model
from smfnet.training.config import TrainConfig
from smfnet.training.launch import fresh_model
from smfnet.training.stages import SMFNetTrainer
from smfnet.training.state import read_log

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs an NVIDIA GPU')

@pytest.fixture
def exact():
    "Products in full float32: TF32 keeps ten bits."
    old = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = old

def smooth_pairs(n=8, side=48):
    g = torch.Generator().manual_seed(5)
    smooth = torch.nn.AvgPool2d(5, 1, 2)
    return [tuple(smooth(torch.rand(2, 1, side, side, generator=g))) for _ in range(n)]

def losses(folder, device='cuda', stop=None, resume='auto', **over):
    cfg = TrainConfig(**(dict(stage=2, steps=8, batch=4, lr=1e-3, optimizer='muon', device=device, ema=.9) | over))
    t = SMFNetTrainer(
        fresh_model(MODEL_PRESETS['smoke']),
        smooth_pairs(),
        folder,
        cfg,
        loss_weights=OurLossWeights(alpha4=2.0, alpha5=10.0, edges='signed'),
    )
    t.on_step = lambda s,_: setattr(t, 'stop', s == stop)
    path = t.run(resume, progress=False)
    return torch.tensor([r['total'] for r in read_log(folder)]), path

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
    a,b,start = *(load_model(o, 'cpu').state_dict() for o in (a,b)), fresh_model(MODEL_PRESETS['smoke']).state_dict()
    distance = lambda x,y: sum((x[k]-y[k]).square().sum() for k in x)**.5
    assert distance(a, b) < .2*distance(a, start)

def test_a_recorded_run_stops_and_goes_on(tmp_path):
    whole,_ = losses(tmp_path/'whole', record=True)
    cut,path = losses(tmp_path/'cut', record=True, stop=5)
    assert len(cut) == 5 and path.name == 'state.safetensors'
    again,path = losses(tmp_path/'cut', record=True, resume='must')
    assert len(again) == 8 and (again - whole).abs().max() < 1e-2*whole[0] and path.name == 'stage2.safetensors'

def test_switches_of_the_gpu_are_put_back(tmp_path):
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark, torch.cuda.get_rng_state()
    losses(tmp_path, steps=2)
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == before[:2] and torch.cuda.get_rng_state().equal(
        before[2]
    )


def test_compiled_steps_are_the_steps(tmp_path):
    plain,_ = losses(tmp_path/'plain')
    compiled,_ = losses(tmp_path/'compiled', compile=True)
    assert (compiled - plain).abs().max() < 1e-2*plain[0]
