"Medical pairs: black stays black, training never sees a test slice, scores are found by what made them."
import dataclasses, os
from pathlib import Path
import numpy as np
import pytest
import torch
from smfnet.data.datasets import find_pairs
from smfnet.data.images import read_image, write_image
from smfnet.data.pairs import PairFiles
from smfnet.metrics.paper import METRICS, SSIM
from smfnet.network.model import ModelConfig
from smfnet.network.weights import load_model, read_checkpoint, weights_hash, weights_path
from smfnet.scoring.tables import published
from smfnet.studies.budgets import MEDICAL, digest
from smfnet.studies.medical import (
    BACKGROUNDS, KINDS, LEAKED, MEDICAL_COLUMNS, _ellipse, _hot, _thumbnails, black, black_share, fuse_medical, gather_medical, keep_black, medical_grid, medical_key,
    medical_means, medical_pairs, medical_settings, medical_sources, near_copies, patient, phantom, run_medical, ssim_on_black, table4, train_medical)

TINY = dataclasses.replace(MEDICAL['ci'], steps=(1,1), scenes=2)

def test_phantoms_are_reproducible_heads_on_black():
    p = phantom(1)
    assert [tuple(o.shape) for o in (p.ir, p.vi, p.chroma)] == [(1,128,128), (1,128,128), (2,128,128)] and phantom(1, 'MRI-CT').chroma is None
    assert torch.equal(phantom(1).vi, p.vi) and not torch.equal(phantom(2).vi, p.vi)
    assert 0 <= p.ir.min() and p.ir.max() <= 1 and (p.ir[:,:10] == 0).all() and (p.vi[:,:10] == 0).all()
    assert _ellipse((200,200), (.5,.5), (.25,.25)).sum() == pytest.approx(np.pi*50**2, abs=100)
    assert np.allclose(_hot(np.array([[0.,1/3,1.]]))[0], [[0,0,0],[1,0,0],[1,1,1]])

def test_only_what_is_black_in_both_sources_is_kept_black():
    a,b = torch.tensor([[0.,0.,1/255,.5]]), torch.tensor([[0.,.3,0.,0.]])
    assert black(a, b).tolist() == [[True,False,False,False]]
    assert torch.equal(keep_black(torch.full((1,4), .2), a, b), torch.tensor([[0.,.2,.2,.2]]))
    with pytest.raises(ValueError, match='differ in shape'): keep_black(torch.zeros(1,3), a, b)

def test_fused_heads_differ_from_the_network_in_the_background_alone(tmp_path):
    heads = [phantom(0, k, (64,64)) for k in KINDS]
    files = fuse_medical(heads, load_model('ivf', 'cpu'), tmp_path)
    for p in heads:
        raw,kept,colour = (read_image(files[k][p.name]) for k in ('network','black','colour'))
        b = black(p.ir, p.vi)[0].numpy()
        assert b.mean() > .4 and raw[b].max() > 0 and kept[b].max() == 0 and colour[b].max() == 0
        assert np.array_equal(raw[~b], kept[~b]) and colour.ndim == (2 if p.chroma is None else 3)
    fig = medical_grid(heads, {'ivf': files['colour']})
    assert len(fig.axes) == 9 and [a.get_title() for a in fig.axes[:3]] == ['MRI', 'CT, PET or SPECT', 'ivf']

def test_one_grey_level_moves_ssim_by_twice_the_black_share():
    dark = np.zeros((16,16), np.float32)
    for g in (0,1,2,10): assert float(SSIM(np.full_like(dark, g/255), dark, dark)) == pytest.approx(2*ssim_on_black(g), abs=1e-5)
    p = phantom(0)
    mean = keep_black((p.ir+p.vi)/2, p.ir, p.vi)
    low,high = (float(SSIM(o, p.ir, p.vi)) for o in (torch.where(black(p.ir, p.vi), 1/255, mean), mean))
    assert .75 < (high - low)/(2*black_share([p])) <= 1

def test_the_same_slice_is_recognised_in_another_file(tmp_path):
    def save(p, name, gain=1.): return PairFiles(name, *(write_image(tmp_path/f'{name}-{k}.png', gain*getattr(p,k)) for k in ('ir','vi')))
    a,b,c = save(phantom(1), 'a'), save(phantom(1), 'b', .9), save(phantom(2), 'c')
    assert [(x,y,k) for x,y,k,_ in near_copies([a], [b,c])] == [('a','b','ir'), ('a','b','vi')]
    assert (_thumbnails([a.ir])**2).sum() == pytest.approx(1)

def test_patients_are_read_from_names_that_tell():
    assert [patient(n) for n in ('21009','2004','MRI-SPECT-21009','15','MRI-CT-31')] == ['21','2','21',None,None]
    with pytest.raises(ValueError, match='kind must be one of MRI-CT'): medical_pairs('CT', 'test')

def test_training_drawn_heads_are_not_test_heads():
    assert [p.name for p in medical_sources(TINY, 'MRI-PET')] == ['MRI-PET-phantom1000']
    assert not {p.name for p in medical_sources(TINY, 'MRI-PET', 'train')} & {p.name for p in medical_sources(TINY, 'MRI-PET')}

def test_keys_hold_what_decides_a_training_and_a_score():
    small = MEDICAL['small']
    assert medical_settings(small).train1 is None and medical_settings(TINY).train1 is not None
    base = digest(*medical_settings(small), 'w')
    assert base != digest(*medical_settings(small), 'other weights')
    for over in (dict(items=('MRI-CT',)), dict(patch=96), dict(steps=(None,61)), dict(losses=dict(alpha4=10., alpha5=2.))):
        assert digest(*medical_settings(dataclasses.replace(small, **over)), 'w') != base, over
    keys = {medical_key(b, k, w) for b in (small, dataclasses.replace(small, limit=11), TINY) for k in KINDS for w in ('a','b')}
    assert len(keys) == 3*3*2

def test_trained_fused_scored_and_refused(tmp_path):
    paths = [train_medical(TINY, tmp_path, k) for k in (1,2)]
    net = load_model(paths[1], 'cpu')
    assert (net.cfg, net.info['stage'], net.info['start']) == (ModelConfig(**TINY.model), 2, 'stage I of this run') and 'MRI-PET: 2 drawn heads' in net.info['data']
    assert train_medical(MEDICAL['small'], tmp_path/'other', 1) is None
    with pytest.raises(ValueError, match='another configuration'): train_medical(dataclasses.replace(TINY, steps=(1,2)), tmp_path, 2)
    for part in ('fuse','score'): target = run_medical(TINY, tmp_path, 'mif', 'MRI-PET', part)
    rows, sha, when = gather_medical(tmp_path), weights_hash(net.state_dict())[:12], target.stat().st_mtime_ns
    assert list(rows[0]) == [*MEDICAL_COLUMNS, 'name', *METRICS] and len(rows) == 1*2*2 # images, backgrounds, protocols
    assert {(r['sha256'], r['config']) for r in rows} == {(sha, medical_key(TINY, 'MRI-PET', sha))}
    assert run_medical(TINY, tmp_path, 'mif', 'MRI-PET') == target and target.stat().st_mtime_ns == when
    with pytest.raises(ValueError, match='other weights or pairs'): run_medical(dataclasses.replace(TINY, scenes=3), tmp_path, 'mif', 'MRI-PET')
    with pytest.raises(ValueError, match="part must be 'fuse'"): run_medical(TINY, tmp_path, 'mif', 'MRI-PET', 'train')
    with pytest.raises(ValueError, match='no medical run'): gather_medical(tmp_path/'none')
    text = table4(rows)
    assert len(text.splitlines()) == 2 + 14 + 4 and '| SMFNet (trained on MIF) | published | not said | not said | **1.8031** |' in text
    m = medical_means(rows, 'MRI-PET')
    assert m[0]['SSIM'] == pytest.approx(rows[0]['SSIM']) and {r['background'] for r in m} == set(BACKGROUNDS.values())
    assert len(table4(rows, 'MRI-CT').splitlines()) == 2

def test_shipped_mif_says_how_it_was_made():
    _,cfg,info = read_checkpoint(weights_path('mif'))
    assert cfg == read_checkpoint(weights_path('ivf'))[1] and info['stage'] == 2 and 'Harvard' in info['data'] and info['start'].startswith('ivf')

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
    left = [p for k,who in LEAKED.items() for p in find_pairs(f'{KINDS[k]}/train') if patient(p.name) in who]
    found = near_copies(left, medical_pairs('MRI-CT', 'test'))
    assert len({b for _,b,k,_ in found if k == 'ir'}) == 11 and not [k for *_,k,_ in found if k == 'vi']

@needs_data
def test_background_of_real_pairs_is_black_and_explains_table_4():
    pairs = [p.read() for p in medical_pairs('MRI-PET', 'test')]
    gap = {r['method']: r['value'] for r in published(4) if r['column'] == 'SSIM'}
    assert abs(gap['SMFNet (trained on MIF)'] - gap['SMFNet (trained on IVF)'] - 2*black_share(pairs)) < .1
    for p in pairs: assert p.chroma[:, black(p.ir, p.vi)[0]].abs().max() < .01 # of a (0, 0, 4), whose luma rounds to 0
