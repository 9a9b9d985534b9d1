"The notebook train, run by papermill."
import json, os, subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).resolve().parents[2]
env = {k: v for k,v in os.environ.items() if k != 'MPLBACKEND'} | {'OMP_NUM_THREADS': '1', 'SMFNET_DATA': ''}

def papermill(notebook, **params):
    args = [a for k,v in params.items() for a in ('-p', k, str(v))]
    command = [Path(sys.executable).parent/'papermill', '--log-level', 'ERROR', '--no-progress-bar']
    return subprocess.run([*command, root/'nbs/train.ipynb', notebook, *args], cwd=notebook.parent, env=env,
                          capture_output=True, text=True)

@pytest.mark.slow
def test_typo_in_a_parameter_is_an_error(tmp_path):
    r = papermill(tmp_path/'t.ipynb', epoch=3)
    assert r.returncode == 1 and 'epoch' in r.stderr and 'epochs' in r.stderr and not (tmp_path/'runs').exists()

@pytest.mark.slow
def test_the_notebook_reports_a_run_in_two_processes(tmp_path):
    r = papermill(
        tmp_path / 't.ipynb',
        preset='smoke',
        model='smoke',
        scenes=1,
        num_processes=2,
        stage=2,
        joint=True,
        device='cpu',
        out='run',
        loss_weights='swapped',
        alpha4=3.0,
    )
    assert r.returncode == 0, r.stderr[-2000:]
    report = json.loads((tmp_path/'run/train.json').read_text())
    assert (report['steps'], report['processes'], report['start']) == (6, 2, 'random weights, seed 0') and {
        'EN',
        'edges',
    } <= set(report['validation'])
    assert (report['loss_weights']['alpha4'], report['loss_weights']['alpha5']) == (3., 10.)
    cells = json.loads((tmp_path/'t.ipynb').read_text())['cells']
    said = ''.join(''.join(o.get('text', '')) for o in cells[-1]['outputs'])
    assert 'held-out pairs: run/validation/' in said and 'fuse.ipynb' in said.split('next: ')[1] and 'weights run/stage2.safetensors' in said
    assert sum('image/png' in o.get('data', {}) for c in cells for o in c.get('outputs', [])) >= 3 # patches, log, held-out pairs; a curve of them needs two looks

@pytest.mark.slow
def test_what_comes_next_says_every_parameter_again(tmp_path):
    r = papermill(tmp_path/'t.ipynb', preset='smoke', model='smoke', scenes=1, seed=4, steps=2, alpha1=3.0, device='cpu', out='my run')
    assert r.returncode == 0, r.stderr[-2000:]
    said = ''.join(''.join(o.get('text', '')) for o in json.loads((tmp_path/'t.ipynb').read_text())['cells'][-1]['outputs'])
    line = said.split('next: ')[1]
    for part in ("-p stage 2 -p start 'my run/stage1.safetensors'", '-p preset smoke', '-p steps 2', '-p scenes 1', '-p seed 4', '-p model smoke', '-p alpha1 3.0', "-p out 'my run-stage2'"): assert part in line, part
    assert not (tmp_path/'runs').exists()

@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set: no real pairs to train on')
def test_training_on_real_pairs(tmp_path, monkeypatch):
    monkeypatch.setitem(env, 'SMFNET_DATA', os.environ['SMFNET_DATA'])
    r = papermill(
        tmp_path / 't.ipynb',
        preset='smoke',
        data='RoadScene/train',
        stride=400,
        model='smoke',
        steps=30,
        lr=2e-3,
        out='real',
    )
    assert r.returncode == 0, r.stderr[-2000:]
    report = json.loads((tmp_path/'real/train.json').read_text())
    assert report['loss_last'] < report['loss_first'] and 'RoadScene/train: 145 pairs' in report['data']
