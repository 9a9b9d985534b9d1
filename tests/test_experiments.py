"Each row of the ablation differs from the default in exactly what it declares; medical training never sees a test slice."
import csv, dataclasses, os, re, subprocess, sys
from pathlib import Path
import pytest
import torch
from smfnet.core.files import data_root, project_root
from smfnet.core.devices import set_seed
from smfnet.scoring.tables import published
from smfnet.scoring.score import read_rows
from smfnet.studies.budgets import ABLATION, PAPER_ROWS, ROWS, settings
from smfnet.studies.medical import KINDS, LEAKED, MEDICAL_COLUMNS, black, black_share, medical_pairs, near_copies, patient
from smfnet.studies.runs import PROVENANCE, Run, run_part
from smfnet.losses.stage_one import StageOneLoss
from smfnet.losses.stage_two import StageTwoLoss
from smfnet.network.model import ModelConfig, SMFNet
from smfnet.network.weights import read_checkpoint, weights_path

ROOT = project_root()
SMALL = dataclasses.replace(ABLATION['smoke'], model=dict(dim=16, heads=2))

# What each row of Table 5 may change, written down a second time: parameters that go, parameters that come (patterns), and fields of the losses and of the training.
DECLARED = {
    'default':               dict(),
    'both_cc_graph':         dict(losses={'graph_stage1'}),
    'one_stage':             dict(train={'joint', 'steps'}),
    'no_intensity_semantic': dict(losses={'intensity', 'semantic'}),
    'no_residual':           dict(gone=r'encoder\.base\.\d\.conv\.'),
    'plain_inn':             dict(gone=r'encoder\.detail\.cross\.'),
    'no_graph':              dict(gone=r'(encoder\.graph|fuse_graph)\.'),
    'swapped_fusion':        dict(gone=r'fuse_(base|detail)\.', came=r'fuse_(base|detail)\.'),
}

def built(row):
    "Settings and the shapes of all parameters."
    s = settings(row, SMALL)
    return s, {k: tuple(v.shape) for k,v in SMFNet(s.model).state_dict().items()}

def test_the_eight_rows_are_those_of_the_paper():
    assert set(DECLARED) == set(PAPER_ROWS)
    assert {ROWS[k].paper for k in PAPER_ROWS} == {r['method'] for r in published(5)}

@pytest.mark.parametrize('row', DECLARED)
def test_row_differs_in_exactly_what_is_declared(row):
    want, (s0,p0), (s,p) = DECLARED[row], built('default'), built(row)
    changed = {k for k in p0.keys() | p.keys() if p0.get(k) != p.get(k)}
    gone, came = want.get('gone'), want.get('came')
    for k in changed:
        assert (k in p0 and gone and re.match(gone, k)) or (k in p and came and re.match(came, k)), f'{row} changes {k}'
    assert bool(changed) == bool(gone or came)
    fields = lambda a,b: {f.name for f in dataclasses.fields(a) if getattr(a,f.name) != getattr(b,f.name)}
    assert fields(s0.losses, s.losses) == want.get('losses', set())
    assert fields(s0.train2, s.train2) == want.get('train', set())
    assert (s.train1 is None) == (row == 'one_stage') and (s.train1 is None or s.train1 == s0.train1)
    assert s.data == s0.data

def losses_of(row):
    "Both stages' totals and terms of the row's losses on one fixed network and batch."
    s = settings(row, SMALL)
    set_seed(0); net = SMFNet(settings('default', SMALL).model)
    ir,vi = torch.rand(2, 2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return {k: {'total': t.item(), **{n: v.item() for n,v in d.items()}} for k,L in ((1,StageOneLoss), (2,StageTwoLoss))
                for t,d in [L(s.losses)(*net(ir, vi, stage=k, features=True)[:1], ir, vi, net.encode(ir, vi))]}

def test_losses_differ_only_where_declared():
    base = losses_of('default')
    for row in set(DECLARED) - {'default','both_cc_graph','no_intensity_semantic'}: assert losses_of(row) == base, row
    both, without = losses_of('both_cc_graph'), losses_of('no_intensity_semantic')
    assert both[2] == base[2] and {k for k in base[1] if both[1][k] != base[1][k]} == {'total','decomp'}
    more = base[1]['cc_graph']**2/(base[1]['cc_base'] + 1.01)
    assert both[1]['decomp'] - base[1]['decomp'] == pytest.approx(more, rel=1e-3)
    assert without[2] == base[2] and base[1].keys() - without[1].keys() == {'intensity','semantic'}
    assert base[1]['total'] - without[1]['total'] == pytest.approx(base[1]['intensity'] + base[1]['semantic'], rel=1e-4)

def test_rows_beyond_the_paper():
    s = {k: settings(k, SMALL) for k in ROWS}
    assert (s['alphas_as_printed'].losses.alpha4, s['alphas_as_printed'].losses.alpha5) == (10., 2.)
    assert s['dilated_nodes'].model.graph_nodes == 'dilated' and s['gram_patches'].losses.gram == 'patches' and not s['lovasz_released'].losses.semantic
    assert s['signed_edges'].losses.edges == 'signed' and s['default'].losses.edges == 'magnitude'
    two = SMFNet(s['two_branch'].model)
    assert two.encoder.graph is None and two.fuse_graph is None and all(b.conv is None for b in two.encoder.base)

def test_a_killed_run_goes_on_and_a_changed_one_is_refused(tmp_path):
    b = dataclasses.replace(ABLATION['ci'], steps=(1,1))
    run = Run('default', b, 0, tmp_path)
    done = run_part(run, 'stage1')
    with pytest.raises(FileNotFoundError): run_part(run, 'score')
    run_part(run, 'stage2')
    before = done.stat().st_mtime_ns
    other = Run('default', dataclasses.replace(b, steps=(1,2)), 0, tmp_path)
    with pytest.raises(ValueError, match='another configuration'): run_part(other, 'stage2')
    assert run_part(run, 'stage1') == done and done.stat().st_mtime_ns == before

needs_data = pytest.mark.skipif(not (os.environ.get('SMFNET_DATA') and (Path(os.environ['SMFNET_DATA'])/'Harvard').is_dir()), reason='SMFNET_DATA holds no Harvard pairs')

@needs_data
def test_no_test_slice_is_trained_on():
    "Names give the patient of training slices only, so pixels are compared: across all kinds, both modalities."
    train = [p for k in KINDS for p in medical_pairs(k, 'train')]
    test = [p for k in KINDS for p in medical_pairs(k, 'test')]
    assert all(patient(p.name) for p in train) and len(test) == 21 + 42 + 73
    assert near_copies(train, test) == []

@needs_data
def test_the_patient_that_is_left_out_is_in_the_test_set():
    from smfnet.data.datasets import find_pairs
    left = [p for k,who in LEAKED.items() for p in find_pairs(f'{KINDS[k]}/train') if patient(p.name) in who]
    found = near_copies(left, medical_pairs('MRI-CT', 'test'))
    assert len({b for _,b,k,_ in found if k == 'ir'}) == 11 and not [k for *_,k,_ in found if k == 'vi']

@needs_data
def test_background_of_real_pairs_is_black_and_explains_table_4():
    pairs = [p.read() for p in medical_pairs('MRI-PET', 'test')]
    gap = {r['method']: r['value'] for r in published(4) if r['column'] == 'SSIM'}
    assert abs(gap['SMFNet (trained on MIF)'] - gap['SMFNet (trained on IVF)'] - 2*black_share(pairs)) < .1
    for p in pairs: assert p.chroma[:, black(p.ir, p.vi)[0]].abs().max() < .01 # of a (0, 0, 4), whose luma rounds to 0

RESULTS = [(ROOT/'results'/f, c) for f,c in (('ablation.csv', PROVENANCE), ('mif.csv', MEDICAL_COLUMNS))]

@pytest.mark.parametrize('path, columns', RESULTS, ids=lambda o: getattr(o, 'stem', ''))
def test_committed_results_say_where_they_come_from(path, columns):
    if not path.exists(): pytest.skip(f'{path.name} is not recorded yet')
    rows = read_rows(path)
    assert all(r[c] != '' for r in rows for c in columns)
    assert len({r['test_data'] for r in rows}) == (1 if 'row' in columns else len({r['kind'] for r in rows}))
    for r in rows: assert re.fullmatch('[0-9a-f]{12}', r['weights' if 'row' in columns else 'sha256']) and int(r['n']) > 0

def test_shipped_mif_weights():
    path = ROOT/'smfnet/weights/mif.safetensors'
    if not path.exists(): pytest.skip('mif is not shipped')
    _,cfg,info = read_checkpoint(weights_path('mif'))
    assert cfg == ModelConfig() and info['stage'] == 2 and 'Harvard' in info['data'] and info['start'].startswith('ivf')
