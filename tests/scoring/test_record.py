"What results/ holds, what README shows, and how both are written."
import math
import pytest
import torch
from smfnet.core.files import project_root
from smfnet.data.datasets import find_pairs
from smfnet.data.images import read_image, write_image
from smfnet.data.scenes.render import scene_pairs
from smfnet.metrics.paper import METRICS
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.weights import load_model, save_checkpoint, weights_hash
from smfnet.scoring import record as R
from smfnet.scoring.baselines import BASELINES, average, laplacian
from smfnet.scoring.record import END, START, readme_block, record_results, render_results, score_weights, short_results, update_readme
from smfnet.scoring.score import evaluate_pairs, metric_names, read_rows, summary
from smfnet.scoring.sets import slug
from smfnet.scoring.tables import published, wide

ROOT = project_root()

# what is recorded

def recorded():
    f = ROOT/'results'/'ivf.csv'
    return read_rows(f) if f.exists() else []

def test_recorded_means_are_those_of_the_recorded_images():
    if not recorded(): pytest.skip('no results are recorded')
    for r in recorded():
        rows = read_rows(ROOT/'results'/'images'/f"{slug(r['dataset'])}-{slug(r['method'])}-{r['protocol']}.csv")
        assert len(rows) == int(r['images']) == len({o['name'] for o in rows})
        mean = summary(rows)[0]
        for k in metric_names('picture'):
            if k in METRICS or not math.isnan(r.get(k, math.nan)):
                assert math.isclose(r[k], mean[k], abs_tol=2e-6), (r['method'], r['dataset'], k)

def test_recorded_calibration_is_the_published_row():
    rows = [r for r in recorded() if r['method'] == 'DIDFuse']
    if not rows: pytest.skip('no calibration row is recorded')
    paper = next(r for r in wide(published(1), 'TNO') if r['method'] == 'DIDFuse')
    for k in METRICS:
        if k in paper:
            assert abs(rows[0][k] / paper[k] - 1) < (3e-4 if k == 'VIF' else 1e-4), (
                k
            )  # VIF: 0.59296 measured, 0.5931 printed

def test_recorded_weights_are_the_shipped_ones():
    rows = [r for r in recorded() if r['weights_sha256']]
    if not rows: pytest.skip('no result of shipped weights is recorded')
    shipped = {m: weights_hash(load_model(w, 'cpu').state_dict())[:12] for m,w in (('SMFNet','ivf'), ('fast','fast'), ('paper','paper'))}
    assert {(r['method'], r['weights_sha256']) for r in rows} <= set(shipped.items())

def test_readme_shows_what_is_recorded():
    readme = ROOT/'README.md'
    if not readme.exists() or START not in readme.read_text(encoding='utf-8'):
        pytest.skip('README has no results block')
    text = readme.read_text(encoding='utf-8')
    if not recorded() and not text.split(START)[1].split(END)[0].strip(): return # nothing recorded, nothing shown
    assert text == readme_block(text, short_results()), 'stale: run smfnet_evaluate --readme'

def test_score_weights_end_to_end(tmp_path):
    "Random weights on a data root of two small pairs: recorded in both protocols, resumed without fusing."
    torch.manual_seed(0)
    model = SMFNet(MODEL_PRESETS['smoke'])
    save_checkpoint(model, tmp_path/'w.safetensors', seed=7)
    for p in scene_pairs(2, size=(64,80)):
        for k in ('ir','vi'): write_image(tmp_path/'data'/'TNO'/'test'/k/f'{p.name}.png', getattr(p, k))
        write_image(tmp_path/'data'/'fused'/'DIDFuse'/'TNO'/f'{p.name}.png', p.vi)
    args = dict(
        weights=str(tmp_path / 'w.safetensors'),
        datasets=('TNO/test',),
        results=tmp_path / 'r',
        out=tmp_path / 'o',
        data=tmp_path / 'data',
        workers=1,
        progress=False,
    )
    lines = score_weights(**args)
    assert [(r['method'], r['protocol']) for r in lines[:2]] == [('SMFNet','none'), ('SMFNet','minmax')]
    assert lines[0]['weights_sha256'] == weights_hash(model.state_dict())[:12] and lines[0]['seed'] == 7
    assert {r['method'] for r in lines} == {'SMFNet', 'DIDFuse', *BASELINES}
    files = {f: f.stat().st_mtime_ns for f in (tmp_path/'o').rglob('*.png')}
    assert len(files) == 2*2*(1 + len(BASELINES))
    again = score_weights(**args)
    assert [{k: v for k, v in r.items() if v == v} for r in again] == [
        {k: v for k, v in r.items() if v == v} for r in lines
    ] and {f: f.stat().st_mtime_ns for f in files} == files
    assert '**TNO/test** (2 pairs)' in render_results(tmp_path / 'r') and 'SMFNet | published' in render_results(
        tmp_path / 'r'
    )

# how it is recorded

@pytest.fixture(scope='module')
def rows():
    pairs = scene_pairs(2, size=(64,80))
    return {f.__name__: evaluate_pairs(pairs, f, metrics='picture') for f in (average, laplacian)}

def test_recording_twice_replaces_the_line_and_keeps_the_others(tmp_path, rows):
    record_results(rows['average'], 'average', 'scenes', results=tmp_path, date='2026-01-01')
    record_results(rows['laplacian'], 'laplacian', 'scenes', sha256='0123456789abcdef', seed=3, results=tmp_path)
    record_results(rows['average'], 'average', 'scenes', results=tmp_path)
    kept = read_rows(tmp_path/'ivf.csv', 'picture')
    assert [(r['method'], r['weights_sha256'], r['images'], r['seed']) for r in kept] == [
        ('average', '', '2', ''),
        ('laplacian', '0123456789ab', '2', '3'),
    ]
    assert kept[0]['date'] != '2026-01-01'
    assert kept[0]['Eq29'] == pytest.approx(summary(rows['average'])[0]['Eq29'], abs=1e-6)
    assert sorted(p.name for p in (tmp_path / 'images').iterdir()) == [
        'scenes-average-none.csv',
        'scenes-laplacian-none.csv',
    ]
    with pytest.raises(ValueError, match='protocol'):
        record_results(rows['average'], 'average', 'scenes', protocol='stretched', results=tmp_path)

def test_lines_of_before_the_picture_measures_are_read_and_kept(tmp_path, rows):
    (tmp_path / 'ivf.csv').write_text(
        ','.join(('method', 'weights_sha256', 'protocol', 'dataset', 'images', 'seed', 'date', *METRICS))
        + '\nold,,none,scenes,2,,2026-01-01'
        + ',1.5' * 9
        + '\n'
    )
    assert '| old |' in render_results(tmp_path) and 'Eq29 |' not in render_results(tmp_path)
    record_results(rows['average'], 'average', 'scenes', results=tmp_path)
    new,old = read_rows(tmp_path/'ivf.csv', 'picture')
    assert old['method'] == 'old' and old['VIF'] == 1.5 and math.isnan(old['Eq30']) and new['Eq30'] > 0
    assert 'Eq29 | Eq30' in render_results(tmp_path)

def test_readme_is_rendered_between_its_markers(tmp_path, rows):
    assert 'No results are recorded' in render_results(tmp_path)
    assert readme_block(f'a\n{START}\nold\n{END}\nb', 'new') == f'a\n{START}\nnew\n{END}\nb'
    with pytest.raises(ValueError, match='needs the line'): readme_block('no markers', 'new')
    record_results(rows['average'], 'average', 'scenes', results=tmp_path)
    (tmp_path/'R.md').write_text(f'# T\n{START}\n{END}\n')
    assert 'was updated' in update_readme(tmp_path / 'R.md', tmp_path) and 'up to date' in update_readme(
        tmp_path / 'R.md', tmp_path
    )
    assert short_results(tmp_path) in (tmp_path/'R.md').read_text()
    with pytest.raises(FileNotFoundError, match='does not exist'): update_readme(tmp_path/'no.md', tmp_path)

def test_an_image_is_fused_once_and_an_interrupted_run_goes_on(tmp_path):
    calls = []
    def counted(ir, vi): calls.append(1); return average(ir, vi)
    for p in scene_pairs(2, size=(64,80)):
        for k in ('ir','vi'): write_image(tmp_path/'set'/k/f'{p.name}.png', getattr(p, k))
    run = lambda: R._score_method(
        'average', counted, tmp_path / 'set', tmp_path / 'run', results=tmp_path / 'r', progress=False
    )
    first, again = run(), run()
    assert (
        len(calls) == 2
        and [r['protocol'] for r in first] == ['none', 'minmax']
        and [r['EN'] for r in first] == [r['EN'] for r in again]
    )
    assert first[1]['SD'] > first[0]['SD']
    for f in (tmp_path/'run'/'set'/'minmax').iterdir(): x = read_image(f); assert (x.min(), x.max()) == (0, 1)
    next((tmp_path/'run'/'set'/'none').iterdir()).unlink()
    R._fuse_to(find_pairs(tmp_path/'set'), counted, tmp_path/'run'/'set', progress=False)
    assert len(calls) == 3

def test_short_results_show_the_paper_beside_ours(tmp_path):
    pairs = scene_pairs(2, size=(64,80))
    for method,f in (('SMFNet', average), ('maximum', laplacian)):
        rows = evaluate_pairs(pairs, f, metrics='picture', progress=False)
        for p in ('none', 'minmax'): record_results(rows, method, 'TNO/test', protocol=p, results=tmp_path)
    lines = short_results(tmp_path).splitlines()
    paper = next(r for r in wide(published(1), 'TNO') if r['method'] == 'SMFNet')
    assert [l.split(' | ')[1] for l in lines[2:]] == ['the paper', '`ivf`', 'maximum of both']
    assert f"{paper['VIF']:.3f}" in lines[2] and f"{summary(rows)[0]['VIF']:.3f}" in lines[4]
    assert 'No results are recorded' in short_results(tmp_path/'none')
