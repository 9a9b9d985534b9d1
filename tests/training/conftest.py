"What the tests of training share: a tiny network, toy pairs, a run of them, and processes that are forked."
import multiprocessing
from types import SimpleNamespace
import pytest
import torch
from smfnet.data.archive import pack_patches
from smfnet.data.datasets import find_pairs
from smfnet.data.images import write_image
from smfnet.data.pairs import Pair
from smfnet.losses.stage_one import LossWeights
from smfnet.network.model import ModelConfig
from smfnet.network.weights import load_model, weights_hash
from smfnet.training.config import TrainConfig
from smfnet.training.launch import fresh_model
from smfnet.training.stages import SMFNetTrainer
from smfnet.training.state import read_log

TINY = ModelConfig(dim=4, heads=1, base_blocks=1, base_layers=1, graph_steps=1)

def pairs(n=8, side=16):
    g = torch.Generator().manual_seed(5)
    return [tuple(torch.rand(2, 1, side, side, generator=g)) for _ in range(n)]

def scenes(n=2, size=(48,56)): # as whole pairs, for what looks at held-out ones
    g = torch.Generator().manual_seed(6)
    return [Pair(*torch.rand(2, 1, *size, generator=g), f'{i}') for i in range(n)]

def trainer(folder, on_step=None, loss_weights=LossWeights(alpha4=2., alpha5=10.), held=(), **over):
    cfg = TrainConfig(**(dict(steps=4, batch=4, lr=1e-3, device='cpu') | over))
    return SMFNetTrainer(fresh_model(TINY), pairs(), folder, cfg, loss_weights=loss_weights, on_step=on_step, held=held)

def rows(folder): return [{k: v for k,v in r.items() if k != 'seconds'} for r in read_log(folder)]
def outcome(folder): return weights_hash(load_model(folder/'stage1.safetensors', 'cpu').state_dict()), rows(folder)

def fork(f, *args):
    "A process that need not import torch again."
    def child():
        torch.set_num_threads(1)
        f(*args)
    p = multiprocessing.get_context('fork').Process(target=child)
    p.start()
    return p

def finish(p, code=0):
    p.join(240)
    assert p.exitcode == code

@pytest.fixture
def toy():
    return SimpleNamespace(
        TINY=TINY, pairs=pairs, scenes=scenes, trainer=trainer, rows=rows, outcome=outcome, fork=fork, finish=finish
    )


@pytest.fixture(scope='session')
def archive(tmp_path_factory):
    "Four patches that lie packed on disk."
    d = tmp_path_factory.mktemp('data')
    for m in ('ir', 'vi'):
        write_image(d / f'{m}/0.png', torch.rand(48, 48, generator=torch.Generator().manual_seed(ord(m[0]))))
    return str(pack_patches(find_pairs(str(d)), d/'p.npy', 32, 16))
