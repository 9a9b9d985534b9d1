"From a few words to a run: start weights, parameters that are wrong, how long it takes."
import os, random
import pytest
import torch
from smfnet.data.images import write_image
from smfnet.data.scenes.render import scene_pairs
from smfnet.losses.stage_one import LossWeights
from smfnet.network.model import MODEL_PRESETS, ModelConfig
from smfnet.network.weights import load_model, save_checkpoint, weights_hash, weights_path
from smfnet.training.config import TrainConfig
from smfnet.training.launch import (
    duration,
    fresh_model,
    launch,
    make_trainer,
    seconds_per_step,
    stage_one_weights,
    start_model,
)


def test_fresh_weights_are_the_seeds_alone():
    before = torch.get_rng_state(), random.getstate()
    a,b,c = (weights_hash(fresh_model(MODEL_PRESETS['smoke'], s).state_dict()) for s in (0,0,1))
    assert a == b != c and before[0].equal(torch.get_rng_state()) and before[1] == random.getstate()

def test_stage_two_starts_from_the_newest_stage_one(tmp_path, toy):
    for name,steps in (('old',3), ('new',4)):
        save_checkpoint(fresh_model(toy.TINY), tmp_path/name/'stage1.safetensors', stage=1, steps=steps)
        os.utime(tmp_path/name/'stage1.safetensors', (0, steps))
    m,source = start_model(TrainConfig(stage=2), toy.TINY, runs=tmp_path)
    assert source == 'stage1.safetensors of new (4 steps)' and m.training
    assert start_model(TrainConfig(stage=2), toy.TINY, start=tmp_path/'old', runs=tmp_path)[0].info['steps'] == 3
    assert stage_one_weights(runs=tmp_path/'none') == weights_path('stage1') == stage_one_weights('stage1')
    with pytest.raises(ValueError, match='train stage 1 again'):
        start_model(TrainConfig(stage=2), ModelConfig(), runs=tmp_path)


@pytest.fixture
def make(archive):
    "`make_trainer` for the smallest of runs, on packed patches."
    return lambda folder, **over: make_trainer(
        **(
            dict(stage=1, data=archive, preset='smoke', model='smoke', out=folder, device='cpu', steps=2, scenes=1)
            | over
        )
    )


def test_same_seed_same_weights_other_seed_other_weights(tmp_path, make):
    a, b, c = (
        weights_hash(load_model(make(tmp_path / n, seed=s).run(progress=False), 'cpu').state_dict())
        for n, s in (('a', 0), ('b', 0), ('c', 1))
    )
    assert a == b != c

def test_stage_two_takes_up_stage_one(tmp_path, make):
    one = load_model(make(tmp_path/'1').run(progress=False), 'cpu')
    t = make(tmp_path/'2', stage=2, start=tmp_path/'1')
    assert weights_hash(t.net.state_dict()) == weights_hash(one.state_dict()) and t.info['start'].startswith(
        'stage1.safetensors of 1'
    )


@pytest.mark.parametrize(
    'given, alpha4', [('printed', 10.0), ('swapped', 2.0), (dict(alpha4=3.0), 3.0), (LossWeights(alpha4=4.0), 4.0)]
)
def test_loss_weights_by_name_field_or_value(tmp_path, make, given, alpha4):
    assert make(tmp_path, loss_weights=given).loss_weights.alpha4 == alpha4

@pytest.mark.parametrize(
    'params, message',
    [
        (dict(stage=3), 'stage must be 1 or 2'),
        (dict(data=None, patch=4000), 'does not fit into the embedded scenes'),
        (dict(data=None, patch=8), 'at least 16 px'),
        (dict(batch=10**4), 'larger than the data'),
        (dict(preset='quick'), 'preset must be one of'),
        (dict(model='huge'), 'model must be one of'),
        (dict(loss_weights='none'), 'loss_weights must be one of'),
        (dict(loss_weights=dict(alpha1=-1.0)), 'alpha1 must be 0 or larger'),
        (dict(loss_weights=dict(alpha9=1.0)), 'unknown loss weight alpha9'),
        (dict(data='nowhere'), 'is unknown'),
        (dict(device='toaster'), 'toaster'),
        (dict(stage=2, start='missing.safetensors'), 'does not exist'),
        (dict(stage=2, start='ivf'), 'train stage 1 again'),
        (dict(precision='fp16'), "'fp16' needs a GPU"),
        (dict(precision='fp8'), 'precision must be'),
        (dict(accumulate=3), 'accumulate=3 must divide batch=2'),
        (dict(lr=0), 'lr must lie'),
        (dict(epochs=0), 'epochs must be a whole number'),
        (dict(joint=True), 'belongs to stage 2'),
        (dict(seed=-1), 'seed must be a whole number'),
        (dict(data=None, stride=0), 'stride must be at least 1'),
        (dict(data=None, scenes=0), 'at least one scene'),
    ],
)
def test_bad_parameters_stop_before_any_work(tmp_path, make, params, message):
    with pytest.raises((ValueError, OSError), match=message): make(tmp_path/'x', **params)
    assert not (tmp_path/'x').exists()

def test_patches_larger_than_the_images_are_named(tmp_path):
    for i, p in enumerate(scene_pairs(2, size=(64, 80))):
        write_image(tmp_path / f'ir/{i}.png', p.ir[0])
        write_image(tmp_path / f'vi/{i}.png', p.vi[0])
    with pytest.raises(ValueError, match='gives a 128x128 patch: 1 are smaller'):
        make_trainer(1, data=str(tmp_path), out=tmp_path / 'x', device='cpu')
    (tmp_path/'vi/1.png').unlink()
    with pytest.raises(ValueError, match='without a partner: infrared 1.png'):
        make_trainer(1, data=str(tmp_path), patch=32, out=tmp_path / 'x', device='cpu')


def test_shares_are_checked_before_anything_starts(tmp_path, make):
    t = make(tmp_path/'x')
    with pytest.raises(ValueError, match='batch=2 cannot be shared out evenly over 3 processes'): launch(t, 3)
    assert not (tmp_path/'x').exists()

def test_timing_changes_no_weight(tmp_path, toy):
    t = toy.trainer(tmp_path)
    h = weights_hash(t.net.state_dict())
    assert (
        seconds_per_step(t, 1) > 0
        and weights_hash(t.net.state_dict()) == h
        and all(p.grad is None for p in t.net.parameters())
    )
    t.run(progress=False); toy.trainer(tmp_path/'b').run(progress=False)
    assert toy.outcome(tmp_path) == toy.outcome(tmp_path/'b')

def test_times_are_read_at_a_glance():
    assert [duration(s) for s in (5, 119, 150, 7200, 86400*3)] == ['5 s','119 s','2.5 min','2.0 h','3.0 days']
