"Several processes: the losses of one, one decision to stop, torchrun."
import os, socket, subprocess, sys
from pathlib import Path
import pytest
import torch
from smfnet.training.launch import launch
from smfnet.training.processes import check_share, joined, mean_of_all, rank_and_world, run_forked
from smfnet.training.state import state_note

root = Path(__file__).resolve().parents[2]

def test_a_batch_that_cannot_be_shared_out():
    check_share(6, 1, 2); check_share(6, 3, 2)
    with pytest.raises(ValueError, match='batch=6 cannot be shared out evenly over 4 processes'): check_share(6, 1, 4)
    with pytest.raises(ValueError, match='num_processes must be'): check_share(6, 1, 0)

def test_processes_find_each_other(tmp_path, toy):
    def work():
        with joined(torch.device('cpu')):
            (tmp_path / f'{rank_and_world()[0]}').write_text(
                f'{mean_of_all(torch.tensor(float(rank_and_world()[0]))).item()}'
            )
        assert rank_and_world() == (0, 1)
    toy.finish(toy.fork(lambda: run_forked(work, 2, torch.device('cpu'))))
    assert [(tmp_path/r).read_text() for r in '01'] == ['0.5', '0.5']

@pytest.mark.parametrize('stage', [1, 2])
def test_two_processes_give_the_losses_of_one(tmp_path, toy, stage):
    "The same batch in one process and shared by two, over gloo: every term of every step agrees."
    def both():
        assert launch(toy.trainer(tmp_path/'two', stage=stage, lr=1e-4), 2).name == f'stage{stage}.safetensors'
        toy.trainer(tmp_path/'one', stage=stage, lr=1e-4).run(progress=False)
    toy.finish(toy.fork(both))
    one, two = toy.rows(tmp_path/'one'), toy.rows(tmp_path/'two')
    assert [r['step'] for r in two] == [1,2,3,4]
    assert two[0] == pytest.approx(one[0], rel=1e-5, abs=1e-6) # with the norm of the gradient
    for a,b in zip(one, two): assert {**b, 'grad_norm': 0} == pytest.approx({**a, 'grad_norm': 0}, rel=1e-4, abs=1e-5)

def test_pieces_in_two_processes(tmp_path, toy):
    "Gradients travel once a step: two processes with two pieces each take the step of one process."

    def both():
        launch(toy.trainer(tmp_path/'two', accumulate=2, steps=2, stage=2), 2)
        toy.trainer(tmp_path/'one', accumulate=2, steps=2, stage=2).run(progress=False)
    toy.finish(toy.fork(both))
    one, two = toy.rows(tmp_path/'one'), toy.rows(tmp_path/'two')
    for k in ('intensity', 'grad'):
        assert two[0][k] == pytest.approx(one[0][k], rel=1e-5)  # means over images, whatever the pieces
    assert [r['step'] for r in two] == [1,2]

def test_processes_stop_together(tmp_path, toy):
    "The first process wishes to stop after step 2; both do, one step later, and the state is whole."
    def go():
        t = toy.trainer(tmp_path, steps=10**6, on_step=lambda s,_: setattr(t, 'stop', s >= 2))
        assert launch(t, 2).name == 'state.safetensors' and t.done == 3
    toy.finish(toy.fork(go))
    assert len(toy.rows(tmp_path)) == state_note(tmp_path)['step'] == 3

def test_nothing_outlives_the_group_that_needs_it(tmp_path, toy):
    "A reducer that is freed after its group may wait for a thread of gloo that waits for it."
    def work():
        t = toy.trainer(tmp_path, steps=1)
        t.run(progress=False)
        assert t.shared is t.net
    toy.finish(toy.fork(lambda: run_forked(work, 2, torch.device('cpu'))))

def test_an_error_in_one_process_reaches_the_caller(tmp_path, toy):
    def go():
        (tmp_path/'state.safetensors').write_bytes(b'half')
        with pytest.raises(Exception, match='is damaged'): launch(toy.trainer(tmp_path), 2)
    toy.finish(toy.fork(go))

@pytest.mark.slow
def test_torchrun_trains_in_two_processes(tmp_path, toy):
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    r = subprocess.run(
        [
            Path(sys.executable).parent / 'torchrun',
            '--nproc-per-node',
            '2',
            '--master-port',
            str(port),
            '-m',
            'smfnet.training.cli',
            '--device',
            'cpu',
            '--preset',
            'smoke',
            '--model',
            'smoke',
            '--scenes',
            '1',
            '--steps',
            '2',
            '--validate-every',
            '0',
            '--out',
            tmp_path / 'run',
        ],
        env=os.environ | {'OMP_NUM_THREADS': '1', 'SMFNET_DATA': ''},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert r.returncode == 0, r.stderr[-3000:]
    assert r.stdout.strip() == str(tmp_path/'run/stage1.safetensors') and len(toy.rows(tmp_path/'run')) == 2
