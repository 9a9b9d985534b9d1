"What crosses the training notebook: kill and resume, papermill runs, parameters that are wrong."
import json, os, random, signal, subprocess, sys, time
from pathlib import Path
import pytest
from smfnet.model import MODEL_PRESETS, SMFNet, load_checkpoint, save_checkpoint, weights_hash
from smfnet.training import *

root = Path(__file__).resolve().parent.parent
env = {**os.environ, 'OMP_NUM_THREADS': '1', 'SMFNET_DATA': ''}

def start(folder, steps=24):
    "A small run in a process of its own, with a state after every step."
    code = (f"from smfnet.training import make_trainer\n"
            f"make_trainer(1, preset='smoke', model='smoke', out={str(folder)!r}, device='cpu', steps={steps}, save_minutes=1e-9).run(progress=False)")
    return subprocess.Popen([sys.executable, '-c', code], env=env, cwd=root, stderr=subprocess.PIPE, text=True)

def outcome(folder): return weights_hash(load_checkpoint(folder/'stage1.safetensors').state_dict()), [r['total'] for r in read_log(folder)]

@pytest.mark.slow
def test_killed_and_resumed_run_equals_an_uninterrupted_one(tmp_path):
    p = start(tmp_path/'whole'); _,err = p.communicate(timeout=300); assert p.returncode == 0, err
    rng, kills = random.Random(0), 0
    for _ in range(3):
        p = start(tmp_path/'cut')
        log = tmp_path/'cut/log.jsonl'
        seen = len(read_log(tmp_path/'cut')) if log.exists() else 0
        while p.poll() is None and not (log.exists() and log.read_text().count('\n') > seen): time.sleep(.01)
        time.sleep(rng.uniform(0, .5))
        if p.poll() is None: p.kill(); kills += 1
        p.wait()
    assert kills, 'the run was over before it could be killed'
    p = start(tmp_path/'cut'); _,err = p.communicate(timeout=300); assert p.returncode == 0, err
    assert outcome(tmp_path/'cut') == outcome(tmp_path/'whole')
    assert not [f for f in (tmp_path/'cut').iterdir() if f.name.startswith('.') and f.suffix == '.jsonl']

def test_sigterm_saves_and_stops(tmp_path):
    p = start(tmp_path/'a', steps=10**6)
    while not (tmp_path/'a/log.jsonl').exists() or not (tmp_path/'a/log.jsonl').read_text(): time.sleep(.05)
    p.send_signal(signal.SIGTERM); _,err = p.communicate(timeout=60)
    assert p.returncode == 0, err
    assert (tmp_path/'a/state.safetensors').is_file() and not (tmp_path/'a/stage1.safetensors').exists()

def test_same_seed_same_weights_other_seed_other_weights(tmp_path):
    def go(name, seed):
        t = make_trainer(1, preset='smoke', model='smoke', out=tmp_path/name, device='cpu', steps=3, seed=seed)
        return weights_hash(load_checkpoint(t.run(progress=False)).state_dict())
    assert go('a', 0) == go('b', 0) != go('c', 1)

def test_stage_two_leaves_nothing_untrained(tmp_path):
    make_trainer(1, preset='smoke', model='smoke', out=tmp_path/'1', device='cpu', steps=1).run(progress=False)
    before = load_checkpoint(tmp_path/'1/stage1.safetensors').state_dict()
    t = make_trainer(2, preset='smoke', model='smoke', out=tmp_path/'2', start=str(tmp_path/'1'), device='cpu', steps=2)
    after = load_checkpoint(t.run(progress=False)).state_dict()
    assert [k for k in before if before[k].equal(after[k])] == []

@pytest.mark.parametrize('params, message', [
    (dict(stage=3), 'stage must be 1 or 2'), (dict(patch=4000), 'too large|does not fit|larger'), (dict(batch=10**4), 'larger than the data'),
    (dict(preset='quick'), 'preset must be one of'), (dict(losses=dict(alpha1=-1.)), 'alpha1 must be 0 or larger'), (dict(data='nowhere'), 'is unknown'),
    (dict(device='toaster'), 'toaster'), (dict(stage=2, start='missing.safetensors'), 'does not exist')])
def test_bad_parameters_stop_before_any_work(tmp_path, params, message):
    with pytest.raises((ValueError, OSError), match=message):
        make_trainer(**(dict(stage=1, preset='smoke', model='smoke', out=tmp_path/'x', device='cpu', scenes=1) | params))
    assert not (tmp_path/'x/log.jsonl').exists()

def test_command_line_says_what_is_wrong_in_one_line(capsys):
    with pytest.raises(SystemExit, match='smfnet_train: preset must be one of'): main(['--preset', 'quick'])

def papermill(out, *params):
    return subprocess.run([Path(sys.executable).parent/'papermill', '--log-level', 'ERROR', '--no-progress-bar', root/'nbs/train.ipynb', out, *params],
                          cwd=Path(out).parent, env=env, capture_output=True, text=True)

@pytest.mark.slow
def test_typo_in_a_parameter_is_an_error(tmp_path):
    r = papermill(tmp_path/'t.ipynb', '-p', 'epoch', '3')
    assert r.returncode == 1 and 'epoch' in r.stderr and 'epochs' in r.stderr and not (tmp_path/'runs').exists()

@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set: no real pairs to train on')
def test_training_on_real_pairs(tmp_path):
    env['SMFNET_DATA'] = os.environ['SMFNET_DATA']
    r = papermill(tmp_path/'t.ipynb', '-p', 'preset', 'smoke', '-p', 'data', 'RoadScene/train', '-p', 'stride', '400', '-p', 'model', 'smoke', '-p', 'steps', '30', '-p', 'lr', '2e-3', '-p', 'out', 'real')
    assert r.returncode == 0, r.stderr[-2000:]
    report = json.loads((tmp_path/'real/train.json').read_text())
    assert report['loss_last'] < report['loss_first'] and 'RoadScene/train: 145 pairs' in report['data']
