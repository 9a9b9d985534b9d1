"The run notebooks from outside, through papermill: what they write and where, that they go on, and what they say when something is wrong."
import json, os, subprocess, sys
import pytest
from smfnet.core.files import project_root
from smfnet.data.scenes.scene import MFNET_CLASSES
from smfnet.scoring.score import read_rows
from smfnet.studies.task import read_study

ROOT = project_root()
TASKS = {'segmentation':('IoU', len(MFNET_CLASSES)), 'detection':('AP50', 6)}

def papermill(name, cwd, *parameters, **env):
    "Run a notebook from the folder `cwd`, as a user does; the executed copy is cwd/executed.ipynb."
    args = [sys.executable, '-m', 'papermill', '--log-level', 'ERROR', '--no-progress-bar', ROOT/f'nbs/{name}.ipynb', 'executed.ipynb', '-k', 'python3', *parameters]
    env = {**{k: v for k,v in os.environ.items() if k != 'MPLBACKEND'}, 'OMP_NUM_THREADS':'1', 'SMFNET_DATA':'', **env} # agg would draw nothing into the notebook
    return subprocess.run([str(a) for a in args], cwd=cwd, capture_output=True, text=True, env=env)

def printed(cwd):
    "What the executed notebook's last cell printed."
    cells = json.loads((cwd/'executed.ipynb').read_text())['cells']
    return ''.join(''.join(o.get('text', '')) for o in cells[-1]['outputs'])

def left(cwd):
    "Top folders of what a run left below `cwd`."
    return {p.relative_to(cwd).parts[0] for p in cwd.rglob('*') if p.is_file()}

@pytest.mark.slow
def test_ablation_of_one_row_and_its_table_lie_where_out_says(tmp_path):
    r = papermill('ablation', tmp_path, '-p', 'preset', 'ci', '-p', 'row', 'default', '-p', 'out', 'here')
    assert r.returncode == 0, r.stderr[-3000:]
    assert left(tmp_path) == {'here', 'executed.ipynb'} and 'next: the table: papermill' in printed(tmp_path)
    r = papermill('ablation', tmp_path, '-p', 'preset', 'ci', '-r', 'row', '', '-p', 'out', 'here')
    assert r.returncode == 0, r.stderr[-3000:]
    assert left(tmp_path) == {'here', 'executed.ipynb'} and {o['row'] for o in read_rows(tmp_path/'here/ablation.csv')} == {'default'}
    assert 'table: here/ablation.md' in printed(tmp_path) and 'next: a larger budget' in printed(tmp_path)

@pytest.mark.slow
def test_recorded_results_are_rendered_without_running_anything(tmp_path):
    for name,file in (('ablation','ablation.csv'), ('medical','mif.csv')):
        r = papermill(name, tmp_path, '-p', 'preset', 'small', '-p', 'results', str(ROOT/'results'/file), '-p', 'out', name)
        assert r.returncode == 0, r.stderr[-3000:]
        assert (tmp_path/name/f'{name}.md').stat().st_size > 1000 and not list((tmp_path/name).rglob('*.safetensors'))

@pytest.mark.slow
@pytest.mark.parametrize('name, params, message', [
    ('ablation', ('-p', 'row', 'no_such_row'), 'row must be one of default'), ('medical', ('-p', 'part', 'stage3'), "part must be 'all' or one of stage1")])
def test_notebooks_say_what_is_wrong(tmp_path, name, params, message):
    r = papermill(name, tmp_path, '-p', 'preset', 'ci', '-p', 'out', 'x', *params)
    assert r.returncode == 1 and message in r.stderr and not (tmp_path/'x').exists()

@pytest.mark.slow
@pytest.mark.parametrize('name', TASKS)
def test_study_runs_on_embedded_scenes_and_goes_on_where_it_stopped(name, tmp_path):
    for o in ('transformers', 'faster_coco_eval'): pytest.importorskip(o, reason="the extra 'downstream' is not installed")
    few = ('-p', 'out', 'study', '-p', 'scenes', '8', '-p', 'steps', '2', '-p', 'inputs', 'vi,maximum', '-p', 'shown', '1')
    r = papermill(name, tmp_path, *few, '-p', 'seeds', '1')
    assert r.returncode == 0, r.stderr[-3000:]
    metric, classes = TASKS[name]
    rows = read_study(tmp_path/'study'/'rows.csv')
    assert left(tmp_path) == {'study', 'executed.ipynb'} and 'table: study/rows.csv' in printed(tmp_path) and 'next: papermill' in printed(tmp_path)
    assert len(rows) == 2*(classes+1) and {r['input'] for r in rows} == {'vi','maximum'} and {r['seed'] for r in rows} == {'0'}
    result = json.loads((tmp_path/'study'/f'{name}.json').read_text())
    assert result['parameters']['steps'] == 2 and 'Void' in result['verdict'] and {r['config'] for r in rows} == {result['config']}
    outputs = [o for c in json.loads((tmp_path/'executed.ipynb').read_text())['cells'] for o in c.get('outputs', [])]
    assert sum('image/png' in o.get('data', {}) for o in outputs) >= 2 + (name == 'segmentation')
    text = ' '.join(''.join(v) for o in outputs for k,v in o.get('data', {}).items() if k.startswith('text/'))
    assert 'SwinFusion' in text and 'trained on 8 images, tested on 2, 1 seed.' in text
    states = {p: p.stat().st_mtime_ns for p in (tmp_path/'study').rglob('state.safetensors')}
    assert len(states) == 2
    if name == 'segmentation': # once is enough: the loop is the same
        r = papermill(name, tmp_path, *few, '-p', 'seeds', '2')
        assert r.returncode == 0 and len(read_study(tmp_path/'study'/'rows.csv')) == 4*(classes+1)
        assert all(p.stat().st_mtime_ns == t for p,t in states.items()), 'a finished run was trained again'

@pytest.mark.slow
@pytest.mark.parametrize('name', TASKS)
def test_study_without_the_extra_stops_with_one_sentence(name, tmp_path):
    (tmp_path/'hide').mkdir()
    (tmp_path/'hide'/'sitecustomize.py').write_text("import importlib.util as u; find = u.find_spec; u.find_spec = lambda n, *a: None if n == 'transformers' else find(n, *a)")
    r = papermill(name, tmp_path, '-p', 'out', 'study', PYTHONPATH=os.pathsep.join([str(tmp_path/'hide'), str(ROOT)]))
    assert r.returncode != 0 and 'smfnet[downstream]' in r.stderr.strip().splitlines()[-1] and not (tmp_path/'study').exists()
