"Train, fuse, score: each part leaves its file, goes on after a stop, and refuses what was made with another configuration."
import dataclasses, re
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from smfnet.data.images import read_image, to_bytes
from smfnet.data.patches import pair_patches
from smfnet.data.scenes.render import scene_pairs
from smfnet.metrics.paper import METRICS
from smfnet.network.model import SMFNet
from smfnet.network.weights import read_checkpoint
from smfnet.scoring.score import PROTOCOLS, evaluate_pairs, read_rows
from smfnet.studies.budgets import ABLATION, ROWS, digest, settings
from smfnet.studies.runs import PARTS, PROVENANCE, Run, cost, fuse_images, git_commit, pairs_hash, run_part, score_images, scored_pairs, stage_two_model, train_stage

QUICK = dataclasses.replace(ABLATION['ci'], steps=(1,1), limit=1, scenes=1, shrink=4)
SMOKE = ABLATION['smoke']

@pytest.fixture(scope='module')
def first(tmp_path_factory):
    "A stage I checkpoint after one update."
    s = settings('default', QUICK)
    return train_stage(pair_patches(scene_pairs(2, 0, (64,96)), 32, 16), tmp_path_factory.mktemp('one'), s.train1, SMFNet(s.model), s.loss_weights, 'a')

def test_a_finished_stage_is_taken_and_another_configuration_refused(first):
    s = settings('default', QUICK)
    again = lambda key: train_stage(None, first.parent, s.train1, None, s.loss_weights, key) # the data is not even looked at
    assert again('a') == first and read_checkpoint(first)[2]['configuration'] == 'a'
    with pytest.raises(ValueError, match='another configuration'): again('b')

def test_stage_two_takes_all_but_the_fusion_layers(first):
    for row in ('default','swapped_fusion'):
        net = stage_two_model(settings(row, QUICK).model, first)
        for n,v in read_checkpoint(first)[0].items():
            if not n.startswith('fuse_'): assert torch.equal(net.state_dict()[n], v)
    with pytest.raises(ValueError, match='stage I of another network'): stage_two_model(settings('no_graph', QUICK).model, first)

def test_random_start_depends_on_the_seed():
    w = [stage_two_model(settings('default', QUICK).model, None, s).state_dict()['decoder.conv3.weight'] for s in (1,1,2)]
    assert torch.equal(w[0], w[1]) and not torch.equal(w[0], w[2])

def test_scored_pairs_are_reduced_and_hashed():
    two = scored_pairs(SMOKE)
    assert [p.size for p in two] == [(120,160)]*2
    assert two[0].ir.mean().item() == pytest.approx(scene_pairs(1)[0].ir.mean().item(), abs=2e-3)
    assert pairs_hash(two) == pairs_hash(scored_pairs(SMOKE)) != pairs_hash(two[::-1])

def test_fusing_passes_over_what_is_there(tmp_path):
    two, calls = scored_pairs(SMOKE), []
    def mean(p): calls.append(p.name); return (p.ir + p.vi)/2
    files = fuse_images(mean, two, tmp_path)
    files[two[0].name].unlink()
    assert fuse_images(mean, two, tmp_path) == files and calls == [p.name for p in two] + [two[0].name]
    assert np.array_equal(read_image(files[two[1].name]), to_bytes(mean(two[1])).astype(np.float32)/255)
    rows = score_images(two, files, row='mean', seed=0)
    assert [(r['protocol'], r['name']) for r in rows] == [(k, p.name) for k in PROTOCOLS for p in two]
    assert {(r['n'], r['test_data'], r['row']) for r in rows} == {(2, pairs_hash(two), 'mean')}
    assert [r['SSIM'] for r in rows[:2]] == [r['SSIM'] for r in evaluate_pairs(two, files)]

def test_cost_counts_what_can_be_counted_by_hand():
    net = SMFNet(settings('default', QUICK).model)
    with FlopCounterMode(display=False) as f: net.decoder.conv3(torch.zeros(1,4,32,32))
    assert f.get_total_flops() == 2*36*1024
    c1,c2 = (cost(net, (32,w), 1) for w in (32,64))
    assert c2['gflops']/c1['gflops'] == pytest.approx(2, rel=.02) and c1['parameters_M'] == sum(o.numel() for o in net.parameters())/1e6
    assert cost(SMFNet(settings('no_graph', QUICK).model), (32,32), 1)['gflops'] < c1['gflops']

def test_commit_of_a_clone_and_of_no_clone(tmp_path):
    assert git_commit(tmp_path) == ''
    assert re.fullmatch(r'([0-9a-f]{7}\+?)?', git_commit())

def test_where_files_lie(tmp_path):
    files = {k: Run(k, QUICK, 0, tmp_path).files() for k in ROWS}
    assert files['default']['stage1'] == files['swapped_fusion']['stage1'] != files['no_graph']['stage1']
    assert 'stage1' not in files['one_stage'] and Run('default', QUICK, 1, tmp_path).files()['stage1'] != files['default']['stage1']

@pytest.mark.slow
def test_a_row_from_its_first_update_to_its_scores(tmp_path):
    run = Run('swapped_fusion', QUICK, 0, tmp_path)
    done = [run_part(run, 'stage1')]
    with pytest.raises(FileNotFoundError): run_part(run, 'score')
    done += [run_part(run, part) for part in PARTS[1:]]
    times = [f.stat().st_mtime_ns for f in done]
    assert [run_part(run, part) for part in PARTS] == done and [f.stat().st_mtime_ns for f in done] == times
    rows = read_rows(run.files()['score'])
    assert list(rows[0]) == [*PROVENANCE, 'name', *METRICS] and {r['config'] for r in rows} == {digest(*run.settings)}
    other = Run('swapped_fusion', dataclasses.replace(QUICK, steps=(1,2)), 0, tmp_path)
    with pytest.raises(ValueError, match='another configuration'): run_part(other, 'stage2')
    assert run_part(Run('one_stage', QUICK, 0, tmp_path), 'stage1') is None
    with pytest.raises(ValueError, match='part must be one of stage1'): run_part(run, 'tables')
