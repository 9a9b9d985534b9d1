"The downstream studies from outside: run notebooks through papermill, results that agree with themselves, real labels and boxes where they are at hand."
import json, math, os, subprocess, sys
from pathlib import Path
import numpy as np
import pytest
from smfnet import detection
from smfnet.data.datasets import find_pairs
from smfnet.studies.boxes import BOX_SETS, box_folders, find_boxed
from smfnet.studies.report import by_seed
from smfnet.studies.task import read_study, recorded
from smfnet.data.scenes.scene import MFNET_CLASSES

root = Path(__file__).resolve().parent.parent
data = os.environ.get('SMFNET_DATA')
TASKS = {'segmentation':('IoU', len(MFNET_CLASSES)), 'detection':('AP50', 6)}

def papermill(name, tmp_path, *parameters, **env):
    out = tmp_path/'executed.ipynb'
    args = [sys.executable, '-m', 'papermill', '--log-level', 'ERROR', root/'nbs'/f'{name}.ipynb', out, '-k', 'python3', '-p', 'out', tmp_path/'study', *parameters]
    r = subprocess.run([str(a) for a in args], cwd=root, capture_output=True, text=True, env={**{k: v for k,v in os.environ.items() if k != 'MPLBACKEND'}, 'OMP_NUM_THREADS':'1', **env}) # agg would draw nothing into the notebook
    return r, out

@pytest.mark.parametrize('name', TASKS)
def test_study_runs_on_embedded_scenes_and_goes_on_where_it_stopped(name, tmp_path):
    for o in ('transformers', 'faster_coco_eval'): pytest.importorskip(o, reason="the extra 'downstream' is not installed")
    few = ('-p', 'scenes', '8', '-p', 'steps', '2', '-p', 'inputs', 'vi,maximum', '-p', 'shown', '1')
    r, out = papermill(name, tmp_path, *few, '-p', 'seeds', '1')
    assert r.returncode == 0, r.stderr[-3000:]
    metric, classes = TASKS[name]
    rows = read_study(tmp_path/'study'/'rows.csv')
    assert len(rows) == 2*(classes+1) and {r['input'] for r in rows} == {'vi','maximum'} and {r['seed'] for r in rows} == {'0'}
    result = json.loads((tmp_path/'study'/f'{name}.json').read_text())
    assert result['parameters']['steps'] == 2 and 'Void' in result['verdict']
    outputs = [o for c in json.loads(out.read_text())['cells'] for o in c.get('outputs', [])]
    assert sum('image/png' in o.get('data', {}) for o in outputs) >= 2 + (name == 'segmentation')
    text = ' '.join(''.join(v) for o in outputs for k,v in o.get('data', {}).items() if k.startswith('text/'))
    assert 'SwinFusion' in text and 'trained on 8 images, tested on 2, 1 seed.' in text
    states = {p: p.stat().st_mtime_ns for p in (tmp_path/'study').rglob('state.safetensors')}
    assert len(states) == 2
    if name == 'segmentation': # once is enough: the loop is the same
        r, _ = papermill(name, tmp_path, *few, '-p', 'seeds', '2')
        assert r.returncode == 0 and len(read_study(tmp_path/'study'/'rows.csv')) == 4*(classes+1)
        assert all(p.stat().st_mtime_ns == t for p,t in states.items()), 'a finished run was trained again'

def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(detection, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'smfnet\[downstream\]'): detection.make_detector(('person',))

@pytest.mark.parametrize('name', TASKS)
def test_run_notebook_without_the_extra_stops_with_one_sentence(name, tmp_path):
    (tmp_path/'hide').mkdir()
    (tmp_path/'hide'/'sitecustomize.py').write_text("import sys; sys.modules['transformers'] = None")
    r, out = papermill(name, tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path/'hide'), str(root)]))
    assert r.returncode != 0 and 'smfnet[downstream]' in r.stderr.strip().splitlines()[-1]
    assert not (tmp_path/'study').exists()

@pytest.mark.parametrize('name', ['M3FD', 'LLVIP/train', 'LLVIP/test'])
def test_a_missing_data_set_names_its_page_and_layout(name, tmp_path):
    o = BOX_SETS[name]
    with pytest.raises(FileNotFoundError) as e: box_folders(name, tmp_path)
    assert all(w in str(e.value) for w in (o.source, o.ir+'/', o.vi+'/', o.boxes+'/'))

def test_llvip_is_read_as_it_unpacks(tmp_path):
    from smfnet.data.images import write_image
    for o in ('infrared','visible'): write_image(tmp_path/'LLVIP'/o/'test'/'190001.jpg', np.full((16,20), .5, np.float32))
    (tmp_path/'LLVIP'/'Annotations').mkdir()
    (tmp_path/'LLVIP'/'Annotations'/'190001.xml').write_text('<annotation><size><width>20</width><height>16</height></size><object><name>person</name>'
        '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>8</ymax></bndbox></object></annotation>')
    pairs, boxes, classes = find_boxed('LLVIP/test', tmp_path)
    assert classes == ('person',) and pairs[0].name == '190001'
    np.testing.assert_allclose(boxes[0], [[0, .25, .25, .5, .5]])

@pytest.mark.skipif(not data, reason='SMFNET_DATA is not set')
def test_msrs_boxes_and_labels_are_read_and_do_not_leak():
    train, test = find_boxed('MSRS/train'), find_boxed('MSRS/detection_test')
    assert len(test[0]) == 23 and sum(map(len, test[1])) == 51 and train[2] == ('person','car')
    assert not {p.name for p in train[0]} & {p.name for p in (*test[0], *find_pairs('MSRS/test'))}

@pytest.mark.parametrize('name', TASKS)
def test_recorded_results_agree_with_themselves(name):
    file = root/'results'/f'{name}.csv'
    if not file.exists(): pytest.skip(f'no {file.name} is recorded')
    metric, _ = TASKS[name]
    rows = read_study(file)
    for r in rows:
        assert r['task'] == name and r['network'] and r['budget'] and r['images'] > 0 and (bool(r['weights']) == (r['input'] == 'SMFNet'))
        assert math.isnan(r[metric]) or 0 <= r[metric] <= 1
    for key in {(r['data'], r['budget'], r['input'], r['seed']) for r in rows}:
        mine = [r for r in rows if (r['data'], r['budget'], r['input'], r['seed']) == key]
        mean = [r[metric] for r in mine if r['class'] == 'mean']
        assert len(mean) == 1 and abs(np.nanmean([r[metric] for r in mine if r['class'] != 'mean']) - mean[0]) < 1e-5
    for mine in recorded(name).values():
        seeds = {k: set(v) for k,v in by_seed(mine, metric).items()}
        assert set(seeds) == {'ir','vi','average','maximum','SMFNet'} and all(v == set(range(len(v))) for v in seeds.values())
        assert len({r['weights'] for r in mine if r['input'] == 'SMFNet'}) == 1, 'rows of two kinds of weights in one table'
