"State on disk and logs: whole, found again, and taken up by their own run alone."
import dataclasses, json, signal
from pathlib import Path
import numpy as np
import pytest
import torch
from torch import nn
from smfnet.data.patches import Patches
from smfnet.network.weights import weights_hash
from smfnet.training.config import TrainConfig
from smfnet.training.optim import OPTIMIZERS
from smfnet.training.state import (
    Diverged,
    RunLog,
    check_finite,
    check_same_run,
    data_key,
    load_state,
    read_log,
    run_key,
    save_state,
    signals_to,
    state_note,
    summary_writer,
    writing,
)


def test_a_write_that_fails_is_one_sentence():
    with pytest.raises(OSError, match="cannot be written to 'runs/x': No space left on device. Make room"):
        with writing('runs/x'): raise OSError(28, 'No space left on device')
    with pytest.raises(KeyError):
        with writing('runs/x'): raise KeyError('something else')

def net(): return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 1)).to(memory_format=torch.channels_last)

@pytest.mark.parametrize('name', OPTIMIZERS)
def test_weights_and_moments_come_back_to_the_bit(tmp_path, name):
    a, x = net(), torch.randn(2, 3, 8, 8)
    opt = OPTIMIZERS[name](a.parameters(), 1e-2)
    def step(n, o): n(x).square().mean().backward(); o.step(); o.zero_grad()
    assert (state_note(tmp_path), load_state(tmp_path, a, opt)) == (None, 0)
    step(a, opt); save_state(tmp_path, a, opt, None, 7, key=dict(lr=1.))
    assert state_note(tmp_path) == dict(step=7, key=dict(lr=1.))
    b = net(); again = OPTIMIZERS[name](b.parameters(), 1e-2)
    assert load_state(tmp_path, b, again) == 7 and weights_hash(a.state_dict()) == weights_hash(b.state_dict())
    step(a, opt); step(b, again)
    assert weights_hash(a.state_dict()) == weights_hash(b.state_dict())

def test_the_average_comes_back(tmp_path):
    a = net(); ema = {k: torch.randn_like(v) for k,v in a.state_dict().items()}
    save_state(tmp_path, a, torch.optim.Adam(a.parameters()), ema, 1)
    back = {k: torch.zeros_like(v) for k,v in ema.items()}
    load_state(tmp_path, net(), None, back)
    assert weights_hash(back) == weights_hash(ema)

def test_a_damaged_state_is_named(tmp_path):
    (tmp_path/'state.safetensors').write_bytes(b'half')
    with pytest.raises(ValueError, match='is damaged'): state_note(tmp_path)

def test_a_state_is_taken_up_by_its_own_run_alone():
    c, a = TrainConfig(), net()
    key = lambda cfg=c, n=a, **k: run_key(cfg, n, 600, **dict(data='ab', alpha1=2.) | k)
    check_same_run(json.loads(json.dumps(key())), key(), 'runs/x')
    check_same_run(
        key(), key(dataclasses.replace(c, steps=9, device='cuda', workers=4)), 'runs/x'
    )  # does not decide the weights
    for other in (key(dataclasses.replace(c, lr=1e-3)), key(n=net()), key(alpha1=3.), key(data='cd')):
        with pytest.raises(ValueError, match=' there, '): check_same_run(key(), other, 'runs/x')
    c = dataclasses.replace(c, schedule='cosine')
    with pytest.raises(ValueError, match='total steps'):
        check_same_run(key(c), key(dataclasses.replace(c, steps=9)), 'runs/x')


def test_data_are_known_by_their_bytes(toy):
    listed, patches = toy.pairs(), Patches(np.arange(4*2*16*16, dtype=np.uint8).reshape(4,2,16,16))
    assert data_key(listed) == data_key(listed) and data_key(Patches(patches.data.copy())) == data_key(patches)
    assert data_key(listed[1:]) != data_key(listed) and data_key(Patches(patches.data[:3])) != data_key(patches)
    assert data_key(Patches(patches.data, info=dict(key='ab'*32))) == 'ab'*8

def test_a_log_is_cut_where_its_run_goes_on(tmp_path):
    log = RunLog(tmp_path)
    for s in (1,2,3): log.write(step=s, total=.5*s)
    log.file.write('{"step": 4, "tot'); log.close() # a kill in the middle of a line
    assert [r['total'] for r in read_log(tmp_path)] == [.5,1.,1.5]
    log = RunLog(tmp_path, 2); log.close()
    assert log.last == dict(step=2, total=1.) and [r['step'] for r in read_log(tmp_path)] == [1,2]
    assert read_log(tmp_path, 'validation.jsonl') == []

def test_what_is_not_finite_is_named():
    with pytest.raises(Diverged, match='step 3: grad is not finite'):
        check_finite(dict(total=1.0, grad=float('nan')), 3, Path('runs/x'))
    check_finite(dict(total=1.), 3, Path('runs/x'))

def test_signals_are_heard_inside_the_block_only():
    heard, before = [], signal.getsignal(signal.SIGTERM)
    with signals_to(lambda: heard.append('stop')): signal.raise_signal(signal.SIGTERM)
    assert heard == ['stop'] and signal.getsignal(signal.SIGTERM) == before

def test_a_missing_tensorboard_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'torch.utils.tensorboard', None)
    with pytest.raises(ValueError, match=r"smfnet\[train\]"): summary_writer()
