"What crosses the training notebook: kill and resume, several processes, full disks, papermill runs, parameters that are wrong."
import json, math, multiprocessing, os, random, resource, signal, socket, subprocess, sys, time
from pathlib import Path
import pytest
import torch
import smfnet.training as training
from smfnet.core.devices import set_seed
from smfnet.losses.ours import LOSS_PRESETS
from smfnet.losses.stage_one import LossWeights
from smfnet.network.model import ModelConfig, SMFNet
from smfnet.network.weights import load_model, save_checkpoint, weights_hash
from smfnet.training.cli import main
from smfnet.training.config import TrainConfig
from smfnet.training.launch import launch, make_trainer
from smfnet.training.state import read_log, state_note
from smfnet.training.trainer import Trainer, finish

root = Path(__file__).resolve().parent.parent
env = {k: v for k,v in os.environ.items() if k != 'MPLBACKEND'} | {'OMP_NUM_THREADS': '1', 'SMFNET_DATA': ''}
TINY = ModelConfig(dim=4, heads=1, base_blocks=1, base_layers=1, graph_steps=1)

def toy(n=8, side=16):
    g = torch.Generator().manual_seed(5)
    return [tuple(torch.rand(2, 1, side, side, generator=g)) for _ in range(n)]

def trainer(folder, on_step=None, weights=LossWeights(), **over):
    set_seed(0)
    cfg = TrainConfig(**(dict(steps=4, batch=4, lr=1e-3, device='cpu') | over))
    return Trainer(toy(), folder, cfg, SMFNet(TINY), weights, on_step=on_step)

def fork(f, *args):
    "A process that need not import torch again; it knows nothing of runs that this one made."
    def child():
        training.AcceleratorState._reset_state(True)
        torch.set_num_threads(1)
        f(*args)
    p = multiprocessing.get_context('fork').Process(target=child)
    p.start()
    return p

def finish(p, code=0):
    p.join(240)
    assert p.exitcode == code

def rows(folder): return [{k: v for k,v in r.items() if k != 'seconds'} for r in read_log(folder)]
def outcome(folder): return weights_hash(load_model(folder/'stage1.safetensors', 'cpu').state_dict()), rows(folder)

def half_then_whole(tensors, path, metadata):
    "A disk so slow that one can be killed between the halves of a file."
    whole(tensors, path, metadata)
    data = Path(path).read_bytes()
    for n in (len(data)//2, len(data)):
        Path(path).write_bytes(data[:n])
        time.sleep(.05)
whole = training.save_file

def run_to_the_end(folder, slow=False):
    if slow: training.save_file = half_then_whole
    trainer(folder, steps=34, batch=2, ema=.9, augment=True, save_steps=1).run(progress=False)

def test_ten_kills_change_nothing(tmp_path):
    "SIGKILL after a random step, or in the middle of writing a state: losses and weights are those of a run that nobody killed."
    rng, cut = random.Random(0), tmp_path/'cut'
    finish(fork(run_to_the_end, tmp_path/'whole'))
    lines = lambda: (cut/'log.jsonl').read_text().count('\n') if (cut/'log.jsonl').exists() else 0
    parts = lambda: [p for p in cut.glob('.state-*') if p.exists()]
    during = 0
    for k in range(10):
        p, goal = fork(run_to_the_end, cut, k%2 == 1), lines() + rng.randint(1, 2)
        while p.is_alive() and lines() < goal: time.sleep(.002)
        if k%2:
            old = set(parts())
            while p.is_alive() and not set(parts()) - old: time.sleep(.002)
        else: time.sleep(rng.uniform(0, .05))
        p.kill(); finish(p, -signal.SIGKILL)
        if k%2 and parts(): during += 1
    assert during >= 3, 'no kill came while a state was written'
    finish(fork(run_to_the_end, cut))
    assert outcome(cut) == outcome(tmp_path/'whole') and len(rows(cut)) == 34

def test_sigterm_saves_and_stops(tmp_path):
    p = fork(lambda: trainer(tmp_path/'a', steps=10**6).run(progress=False))
    while p.is_alive() and not rows(tmp_path/'a'): time.sleep(.01)
    os.kill(p.pid, signal.SIGTERM); finish(p)
    assert state_note(tmp_path/'a')['step'] == len(rows(tmp_path/'a')) > 0 and not (tmp_path/'a/stage1.safetensors').exists()

def test_two_processes_give_the_losses_of_one(tmp_path):
    "The same batch in one process and shared by two, over gloo: every term of every step agrees, in both stages."
    def both(stage):
        launch(trainer(tmp_path/f'two{stage}', stage=stage, lr=1e-4), 2)
        trainer(tmp_path/f'one{stage}', stage=stage, lr=1e-4).run(progress=False)
    for stage in (1, 2):
        finish(fork(both, stage))
        one, two = rows(tmp_path/f'one{stage}'), rows(tmp_path/f'two{stage}')
        assert [r['step'] for r in two] == [1,2,3,4]
        assert two[0] == pytest.approx(one[0], rel=1e-5, abs=1e-6) # with the norm of the gradient
        for a,b in zip(one, two): assert {**b, 'grad_norm': 0} == pytest.approx({**a, 'grad_norm': 0}, rel=1e-4, abs=1e-5)

def test_processes_stop_together(tmp_path):
    "The first process wishes to stop after step 2; both do, one step later, and the state is whole."
    def go():
        t = trainer(tmp_path, steps=10**6, on_step=lambda s,_: setattr(t, 'stop', s >= 2))
        assert launch(t, 2).name == 'state.safetensors'
    finish(fork(go))
    assert len(rows(tmp_path)) == state_note(tmp_path)['step'] == 3

LAUNCHERS = dict(torchrun='torchrun --nproc-per-node 2 --master-port', accelerate='accelerate launch --cpu --num_machines 1 --num_processes 2 --mixed_precision no --dynamo_backend no --main_process_port')

@pytest.mark.slow
@pytest.mark.parametrize('launcher', LAUNCHERS)
def test_launchers_train_in_two_processes(tmp_path, launcher):
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    command, *options = LAUNCHERS[launcher].split()
    r = subprocess.run([Path(sys.executable).parent/command, *options, str(port), '-m', 'smfnet.training', '--device', 'cpu', '--preset', 'smoke',
                        '--model', 'smoke', '--scenes', '1', '--steps', '2', '--validate-every', '0', '--out', tmp_path/'run'], env=env, cwd=root, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-3000:]
    assert r.stdout.strip() == str(tmp_path/'run/stage1.safetensors') and len(rows(tmp_path/'run')) == 2

def test_a_full_disk_is_one_sentence_and_the_state_survives(tmp_path):
    "Files may not grow past 20 kB from step 2 on; the state is larger. Step 3 is lost, what was saved is not."
    def full(step, _):
        if step == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    def go():
        with pytest.raises(OSError, match=f"cannot be written to '{tmp_path}'.*Make room there or choose another folder"):
            trainer(tmp_path, on_step=full, save_steps=1, steps=6).run(progress=False)
    finish(fork(go))
    assert state_note(tmp_path)['step'] == 1 and not list(tmp_path.glob('.state-*'))
    finish(fork(lambda: trainer(tmp_path, save_steps=1, steps=6).run(progress=False)))
    finish(fork(lambda: trainer(tmp_path/'b', save_steps=1, steps=6).run(progress=False)))
    assert outcome(tmp_path) == outcome(tmp_path/'b')

def test_a_closed_folder_is_found_before_the_first_step(tmp_path):
    (tmp_path/'file').write_text('')
    with pytest.raises(OSError, match="file/run' *: *Not a directory. Make room there or choose another folder"): trainer(tmp_path/'file/run').run(progress=False)

def test_same_seed_same_weights_other_seed_other_weights(tmp_path):
    def go(name, seed):
        t = make_trainer(1, preset='smoke', model='smoke', out=tmp_path/name, device='cpu', steps=2, scenes=1, validate_every=0, seed=seed)
        return weights_hash(load_model(t.run(progress=False), 'cpu').state_dict())
    assert go('a', 0) == go('b', 0) != go('c', 1)

@pytest.mark.parametrize('joint', [False, True])
def test_stage_two_leaves_nothing_untrained(tmp_path, joint):
    trainer(tmp_path/'1', steps=1).run(progress=False)
    training.MODEL_PRESETS['tiny'] = TINY
    try: t = make_trainer(2, preset='smoke', model='tiny', out=tmp_path/'2', start='' if joint else str(tmp_path/'1'), joint=joint, device='cpu', steps=2, scenes=1, validate_every=0)
    finally: del training.MODEL_PRESETS['tiny']
    before = {k: v.clone() for k,v in t.model.state_dict().items()}
    if not joint: assert weights_hash(before) == weights_hash(load_model(tmp_path/'1/stage1.safetensors', 'cpu').state_dict())
    after = load_model(t.run(progress=False), 'cpu').state_dict()
    assert [k for k in before if before[k].equal(after[k])] == []

@pytest.mark.parametrize('losses', LOSS_PRESETS)
def test_every_objective_is_trained_on_as_it_says(tmp_path, losses):
    w = LOSS_PRESETS[losses]
    trainer(tmp_path, weights=w, stage=2, joint=True, steps=2).run(progress=False)
    for r in read_log(tmp_path):
        assert ('structure' in r) == (w.structure > 0)
        assert r['total'] == pytest.approx(r['intensity'] + w.alpha4*r['decomp'] + w.alpha5*r['grad'] + w.structure*r.get('structure', 0.), rel=1e-5)

def test_a_longer_run_goes_on_and_another_run_does_not(tmp_path):
    trainer(tmp_path, steps=2).run(progress=False)
    trainer(tmp_path, steps=4).run('must', progress=False)
    trainer(tmp_path/'b', steps=4).run(progress=False)
    assert outcome(tmp_path) == outcome(tmp_path/'b')
    for other in (dict(lr=2e-3), dict(batch=2), dict(seed=1), dict(weights=LossWeights(alpha1=3.)), dict(schedule='cosine')):
        with pytest.raises(ValueError, match="holds the state of another run .* there, .* here.*resume='never'"): trainer(tmp_path, **other).run(progress=False)
    assert outcome(tmp_path) == outcome(tmp_path/'b')

def test_tensorboard_gets_every_term(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    trainer(tmp_path, steps=2, tensorboard=True).run(progress=False)
    log = EventAccumulator(str(tmp_path/'tensorboard')); log.Reload()
    assert [e.value for e in log.Scalars('decomp')] == pytest.approx([r['decomp'] for r in rows(tmp_path)])

@pytest.mark.parametrize('params, message', [
    (dict(stage=3), 'stage must be 1 or 2'), (dict(patch=4000), 'does not fit into the embedded scenes'), (dict(patch=8), 'at least 16 px'), (dict(batch=10**4), 'larger than the data'),
    (dict(preset='quick'), 'preset must be one of'), (dict(model='huge'), 'model must be one of'), (dict(losses='none'), 'losses must be one of'), (dict(losses=dict(alpha1=-1.)), 'alpha1 must be 0 or larger'),
    (dict(data='nowhere'), 'is unknown'), (dict(device='toaster'), 'toaster'), (dict(stage=2, start='missing.safetensors'), 'does not exist'), (dict(stage=2, start='ivf'), 'train stage 1 again'),
    (dict(precision='fp16'), "'fp16' needs a GPU"), (dict(precision='fp8'), 'precision must be'), (dict(accumulate=3), 'accumulate=3 must divide batch=2'), (dict(lr=0), 'lr must lie'),
    (dict(epochs=0), 'epochs must be a whole number'), (dict(joint=True), 'belongs to stage 2'), (dict(seed=-1), 'seed must be a whole number'), (dict(stride=0), 'stride must be at least 1'), (dict(scenes=0), 'at least one scene')])
def test_bad_parameters_stop_before_any_work(tmp_path, params, message):
    with pytest.raises((ValueError, OSError), match=message):
        make_trainer(**(dict(stage=1, preset='smoke', model='smoke', out=tmp_path/'x', device='cpu', scenes=1) | params))
    assert not (tmp_path/'x').exists()

def test_patches_larger_than_the_images_are_named(tmp_path):
    from smfnet.data.images import write_image
    from smfnet.data.scenes.render import scene_pairs
    for i,p in enumerate(scene_pairs(2, size=(64,80))): write_image(tmp_path/f'ir/{i}.png', p.ir[0]); write_image(tmp_path/f'vi/{i}.png', p.vi[0])
    with pytest.raises(ValueError, match='gives a 128x128 patch: 1 are smaller'): make_trainer(1, data=str(tmp_path), out=tmp_path/'x', device='cpu')
    (tmp_path/'vi/1.png').unlink()
    with pytest.raises(ValueError, match='without a partner: infrared 1.png'): make_trainer(1, data=str(tmp_path), patch=32, out=tmp_path/'x', device='cpu')

def test_command_line_says_what_is_wrong_in_one_line():
    with pytest.raises(SystemExit, match='smfnet_train: preset must be one of'): main(['--preset', 'quick'])

ALLOWED = ('torch', 'numpy', 'einops', 'kornia', 'accelerate', 'safetensors', 'PIL', 'tqdm', 'smfnet')

class Only:
    "Finds nothing that is neither allowed, nor needed by what is, nor part of Python."
    def find_spec(self, name, path=None, target=None):
        top = name.partition('.')[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names and sys._getframe(1).f_globals.get('__name__', '').startswith('importlib') and needed_by_us(): raise ModuleNotFoundError(f'{name} is not installed', name=name)

def needed_by_us():
    "Whether the import under way stands in one of our own modules."
    f = sys._getframe(2)
    while f and 'importlib' in f.f_code.co_filename: f = f.f_back
    return f is not None and f.f_globals.get('__name__', '').startswith('smfnet')

def test_training_needs_little(tmp_path):
    "On a machine with torch, numpy, einops, kornia, accelerate, safetensors, Pillow and tqdm alone a run goes through."
    def go():
        for k in [k for k in sys.modules if k.partition('.')[0] in ('smfnet','matplotlib','skimage','pooch','fastcore','IPython','scipy')]: del sys.modules[k]
        sys.meta_path.insert(0, Only())
        from smfnet.training.launch import make_trainer
        make_trainer(1, preset='smoke', model='smoke', out=tmp_path, device='cpu', steps=1, scenes=1).run(progress=False)
        with pytest.raises(ModuleNotFoundError, match='matplotlib is not installed'): sys.modules['smfnet.training'].plot_log(tmp_path)
    finish(fork(go))

def papermill(out, *params):
    return subprocess.run([Path(sys.executable).parent/'papermill', '--log-level', 'ERROR', '--no-progress-bar', root/'nbs/train.ipynb', out, *params],
                          cwd=Path(out).parent, env=env, capture_output=True, text=True)

@pytest.mark.slow
def test_typo_in_a_parameter_is_an_error(tmp_path):
    r = papermill(tmp_path/'t.ipynb', '-p', 'epoch', '3')
    assert r.returncode == 1 and 'epoch' in r.stderr and 'epochs' in r.stderr and not (tmp_path/'runs').exists()

@pytest.mark.slow
def test_the_notebook_reports_a_run_in_two_processes(tmp_path):
    r = papermill(tmp_path/'t.ipynb', '-p', 'preset', 'smoke', '-p', 'model', 'smoke', '-p', 'scenes', '1', '-p', 'num_processes', '2', '-p', 'stage', '2', '-p', 'joint', 'True', '-p', 'device', 'cpu', '-p', 'out', 'run')
    assert r.returncode == 0, r.stderr[-2000:]
    report = json.loads((tmp_path/'run/train.json').read_text())
    assert (report['steps'], report['processes'], report['start']) == (6, 2, 'random weights, seed 0') and 'EN' in report['validation']
    cells = json.loads((tmp_path/'t.ipynb').read_text())['cells']
    assert sum('image/png' in o.get('data', {}) for c in cells for o in c.get('outputs', [])) >= 4

@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set: no real pairs to train on')
def test_training_on_real_pairs(tmp_path):
    env['SMFNET_DATA'] = os.environ['SMFNET_DATA']
    r = papermill(tmp_path/'t.ipynb', '-p', 'preset', 'smoke', '-p', 'data', 'RoadScene/train', '-p', 'stride', '400', '-p', 'model', 'smoke', '-p', 'steps', '30', '-p', 'lr', '2e-3', '-p', 'out', 'real')
    assert r.returncode == 0, r.stderr[-2000:]
    report = json.loads((tmp_path/'real/train.json').read_text())
    assert report['loss_last'] < report['loss_first'] and 'RoadScene/train: 145 pairs' in report['data']
