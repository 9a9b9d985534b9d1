"Studies named as text: data sets, methods, and what is missing."
import math
from pathlib import Path
import pytest
import torch
from smfnet.data.images import write_image
from smfnet.data.scenes.render import scene_pairs
from smfnet.metrics.paper import METRICS
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.scoring.baselines import average
from smfnet.scoring.sets import (
    evaluate_sets,
    means_by_set,
    method_files,
    named_methods,
    named_sets,
    network_method,
    results_folder,
    set_name,
    slug,
)

def test_names_hide_the_machine():
    assert slug('TNO/test') == 'TNO-test' and (set_name('TNO/test'), set_name('/data/mine')) == ('TNO/test', 'mine')
    assert (results_folder('x'), results_folder().name) == (Path('x'), 'results')

def test_data_sets_by_name(folders, monkeypatch, tmp_path):
    monkeypatch.delenv('SMFNET_DATA', raising=False)
    assert {k: len(v) for k,v in named_sets(scenes=1).items()} == {'scenes':1} # no data at hand
    assert [len(named_sets(str(folders_with(folders, tmp_path)), limit=n)['mine']) for n in (0,1,2,9)] == [4,1,2,4]
    with pytest.raises(ValueError, match='named twice'): named_sets('scenes+scenes', scenes=1)
    with pytest.raises(ValueError, match='limit'): named_sets('scenes', limit=-1)

def folders_with(folders, tmp_path):
    d = tmp_path/'mine'
    d.mkdir(exist_ok=True)
    for k in ('ir','vi'):
        if not (d/k).exists(): (d/k).symlink_to(folders/k)
    return d

def test_methods_by_name(folders):
    assert named_methods('average', f"mine={folders/'avg'}") == {'average':average, 'mine':folders/'avg'}
    assert named_methods(None, f"mine={folders/'avg'}") == {'mine':folders/'avg'}
    with pytest.raises(ValueError, match="'CDDFuse' is unknown; there are average"): named_methods('CDDFuse')
    with pytest.raises(ValueError, match="two methods are called 'average'"):
        named_methods('average', f"average={folders / 'avg'}")
    for nothing in (None, ''):
        with pytest.raises(ValueError, match='no method'): named_methods(nothing)

def test_a_network_is_a_method(pairs):
    torch.manual_seed(0)
    net = SMFNet(MODEL_PRESETS['smoke']).eval()
    got = network_method(net)(pairs[0].ir, pairs[0].vi)
    with torch.no_grad():
        torch.testing.assert_close(got, net(pairs[0].ir[None], pairs[0].vi[None])[0], atol=1e-6, rtol=0)

def test_where_a_folder_keeps_a_data_set(tmp_path, pairs):
    for where in ('f', 'g/TNO', 'h/TNO-test'): write_image(tmp_path/where/f'{pairs[0].name}.png', pairs[0].ir)
    for f in 'fgh': assert list(method_files(pairs, tmp_path/f, 'TNO/test')) == [pairs[0].name]
    assert (
        method_files(pairs, tmp_path / 'g', 'MSRS/test') is None
        and method_files(pairs, tmp_path / 'nowhere', 'TNO/test') is None
    )

@pytest.fixture
def study(tmp_path, pairs):
    for p in pairs[:2]: write_image(tmp_path/'saved'/'one'/f'{p.name}.png', average(p.ir, p.vi))
    return {'one':pairs[:2], 'two':scene_pairs(1, seed=50, size=(64,80))}, tmp_path/'saved'

def test_a_study_has_a_row_for_every_image(study):
    sets,saved = study
    said = []
    rows = evaluate_sets(sets, {'average':average, 'saved':saved}, log=said.append)
    assert list(rows[0]) == ['dataset','method','protocol','name',*METRICS]
    assert [(r['dataset'], r['method']) for r in rows] == [('one', 'average')] * 2 + [('one', 'saved')] * 2 + [
        ('two', 'average')
    ]
    assert said == ['saved has no image of two and is left out there']
    a,b = means_by_set(rows)['one']
    assert (a['method'], b['method'], b['images'], b['protocol']) == ('average','saved',2,'none')
    for k in METRICS: assert math.isclose(a[k], b[k], rel_tol=1e-5)

def test_a_method_without_any_image_is_an_error_that_names_it(study, tmp_path):
    sets,saved = study
    write_image(tmp_path/'empty'/'stranger.png', torch.rand(1,64,80))
    with pytest.raises(ValueError, match=f"no fused image of one, two for lost .{tmp_path / 'empty'}.;"):
        evaluate_sets(sets, {'saved': saved, 'lost': tmp_path / 'empty'})

def test_a_study_in_the_other_protocol(study):
    rows = {
        m: evaluate_sets({'one': study[0]['one']}, {'average': average}, minmax=m, metrics='SD,sky')
        for m in (False, True)
    }
    assert (
        rows[True][0]['protocol'] == 'minmax'
        and rows[True][0]['SD'] > rows[False][0]['SD']
        and 'EN' not in rows[True][0]
    )

def test_pairs_that_a_method_lacks_are_left_out_of_all_and_named(study, tmp_path):
    sets,saved = study
    a,b = sets['one']
    for p in sets['two']: write_image(tmp_path/'few'/'two'/f'{p.name}.png', p.ir)
    write_image(tmp_path/'few'/'one'/f'{b.name}.png', b.ir)
    said = []
    rows = evaluate_sets({'one':[a,b]}, {'average':average, 'saved':saved, 'few':tmp_path/'few'}, metrics='EN', log=said.append)
    assert [(r['method'], r['name']) for r in rows] == [(m, b.name) for m in ('average','saved','few')]
    assert said == [f'one: 1 of 2 pairs lack a fused image and are left out: {a.name}']
    write_image(tmp_path/'other'/'one'/f'{a.name}.png', a.ir)
    with pytest.raises(ValueError, match='no pair of one has a fused image of every method'):
        evaluate_sets({'one':[a,b]}, {'few':tmp_path/'few', 'other':tmp_path/'other'}, metrics='EN')
