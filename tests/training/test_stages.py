"The paper's two stages: what is trained, what is weighed, what is watched."
from functools import partial
import numpy as np
import pytest
import torch
from smfnet.losses.ours import LOSS_PRESETS, make_loss
from smfnet.losses.stage_one import LossWeights, StageOneLoss
from smfnet.losses.stage_two import StageTwoLoss
from smfnet.metrics.paper import score
from smfnet.metrics.picture import picture_measures
from smfnet.network.weights import load_model
from smfnet.training.feeding import batch_indices
from smfnet.training.launch import fresh_model
from smfnet.training.stages import PairObjective, _strip, look_at_pairs
from smfnet.training.state import read_log

def test_two_terms_are_no_means_over_images(toy):
    net, (ir,vi) = fresh_model(toy.TINY), (torch.stack(o) for o in zip(*toy.pairs(4)))
    one = PairObjective(1, LossWeights())
    with torch.no_grad(): whole, halves = one(net, ir, vi)[1], [one(net, ir[i::2], vi[i::2])[1] for i in range(2)]
    gap = {k: abs((halves[0][k] + halves[1][k]).item()/2 - v.item()) for k,v in whole.items()}
    assert max(gap['ssim_ir'], gap['grad_ir'], gap['cc_base']) < 1e-6 < min(gap['decomp'], gap['semantic'])

def test_stage_one_leaves_the_fusion_layers_alone(tmp_path, toy):
    t = toy.trainer(tmp_path, steps=2)
    before = {k: v.clone() for k,v in t.net.state_dict().items()}
    after = load_model(t.run(progress=False), 'cpu').state_dict()
    assert {k for k in before if before[k].equal(after[k])} == {k for k in before if k.startswith('fuse_')}

@pytest.mark.parametrize('stage', [1, 2])
def test_a_run_is_the_bare_loop(tmp_path, toy, stage):
    "Draw, run, weigh, clip, step: written out by hand it gives the same losses and the same weights."
    path = toy.trainer(tmp_path, stage=stage, steps=3).run(progress=False)
    t = toy.trainer(tmp_path/'unused', stage=stage)
    net, data = t.net, [torch.stack(o) for o in zip(*toy.pairs())]
    params = [p for n,p in net.named_parameters() if stage == 2 or not n.startswith('fuse_')]
    opt, totals = torch.optim.Adam(params, 1e-3, fused=True), []
    for step in range(3):
        ir,vi = (x[batch_indices(step, 8, 4, 0)] for x in data)
        out,f = net(ir, vi, stage=stage, features=True)
        total,_ = make_loss(stage, t.loss_weights)(out, ir, vi, f)
        opt.zero_grad(); total.backward()
        torch.nn.utils.clip_grad_norm_(params, t.cfg.clip); opt.step()
        totals.append(total.item())
    assert [r['total'] for r in toy.rows(tmp_path)] == pytest.approx(totals, rel=1e-6)
    for k,v in load_model(path, 'cpu').state_dict().items(): assert torch.allclose(v, net.state_dict()[k], atol=1e-6), k

@pytest.mark.parametrize('joint', [False, True])
def test_stage_two_leaves_nothing_untrained(tmp_path, toy, joint):
    t = toy.trainer(tmp_path, steps=2, stage=2, joint=joint)
    before = {k: v.clone() for k,v in t.net.state_dict().items()}
    after = load_model(t.run(progress=False), 'cpu').state_dict()
    assert [k for k in before if before[k].equal(after[k])] == []

@pytest.mark.parametrize('name', LOSS_PRESETS)
def test_every_objective_is_trained_on_as_it_says(tmp_path, toy, name):
    w = LOSS_PRESETS[name]
    toy.trainer(tmp_path, loss_weights=w, stage=2, joint=True, steps=2).run(progress=False)
    structure = getattr(w, 'structure', 0.)
    for r in read_log(tmp_path):
        assert ('structure' in r) == (structure > 0)
        assert r['total'] == pytest.approx(
            r['intensity'] + w.alpha4 * r['decomp'] + w.alpha5 * r['grad'] + structure * r.get('structure', 0.0),
            rel=1e-5,
        )


def test_held_out_pairs_are_judged_by_metrics_and_picture(toy):
    net, pairs = fresh_model(toy.TINY).eval(), toy.scenes()
    row,pictures = look_at_pairs(partial(net, stage=2, features=True), pairs, StageTwoLoss())
    with torch.no_grad(): fused = [net(p.ir[None], p.vi[None])[0,0] for p in pairs]
    for k,f in (('EN', score), ('edges', picture_measures)):
        assert row[k] == pytest.approx(
            np.mean([float(f(o, p.ir[0], p.vi[0])[k]) for o, p in zip(fused, pairs)]), abs=1e-9
        )
    assert [p.shape for p in pictures] == [(48,168)]*2 and (pictures[0][:,56:112] == pairs[0].vi[0].numpy()).all()
    row,pictures = look_at_pairs(partial(net, stage=1, features=True), pairs, StageOneLoss())
    assert pictures[1].shape == (48,224) and {'total','ssim_ir','decomp'} <= set(row)

def test_a_measure_that_no_pair_has_is_left_out(toy, monkeypatch):
    import smfnet.training.stages as stages
    net, values = partial(fresh_model(toy.TINY), stage=2, features=True), iter([.5, float('nan'), float('nan')])
    monkeypatch.setattr(stages, 'picture_measures', lambda *_: dict(sky=next(values)))
    pairs = toy.scenes()
    assert look_at_pairs(net, pairs, StageTwoLoss())[0]['sky'] == .5
    assert 'sky' not in look_at_pairs(net, pairs[:1], StageTwoLoss())[0]

def test_pictures_of_several_sizes_make_one():
    assert _strip([np.zeros((2,3)), np.zeros((1,5))]).tolist() == [[0,0,0,1,1]]*2 + [[0]*5]

def test_the_averaged_weights_are_watched_and_saved(tmp_path, toy):
    held = toy.scenes(1, (32,40)) + toy.scenes(1) # the first is too small for VIF
    t = toy.trainer(tmp_path, stage=2, batch=2, ema=.9, validate_every=1, held=held)
    path = t.run(progress=False)
    assert [r['step'] for r in read_log(tmp_path, 'validation.jsonl')] == [4] and [
        p.name for p in (tmp_path / 'validation').iterdir()
    ] == ['0000004.png']
    row,_ = look_at_pairs(partial(load_model(path, 'cpu'), features=True), held[1:], StageTwoLoss(t.loss_weights))
    assert {k: v for k, v in read_log(tmp_path, 'validation.jsonl')[0].items() if k != 'step'} == pytest.approx(
        row, abs=1e-4
    )
    assert (
        t.net.state_dict()['decoder.conv1.weight']
        .ne(load_model(path, 'cpu').state_dict()['decoder.conv1.weight'])
        .any()
    )


def test_the_checkpoint_says_what_it_was_trained_on(tmp_path, toy):
    info = load_model(toy.trainer(tmp_path, steps=1).run(progress=False), 'cpu').info
    assert (info['stage'], info['steps'], info['patches'], info['loss_weights']['alpha4'], info['train']['lr']) == (
        1,
        1,
        8,
        2.0,
        1e-3,
    )
