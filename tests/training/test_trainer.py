"The loop: kill and resume, full disks, signals, nothing left behind, any network."
import os, random, resource, signal, time
from pathlib import Path
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
import smfnet.training.state as state
from smfnet.training.config import TrainConfig
from smfnet.training.state import Diverged, read_log, state_note
from smfnet.training.trainer import Trainer, recomputed

whole_save = state.save_file
def half_then_whole(tensors, path, metadata):
    "A disk so slow that one can be killed between the halves of a file."
    whole_save(tensors, path, metadata)
    data = Path(path).read_bytes()
    for n in (len(data)//2, len(data)):
        Path(path).write_bytes(data[:n])
        time.sleep(.02)

def line(folder, on_step=None, **over):
    "A straight line through points, with random numbers in its objective."
    def squares(net, x, y):
        e = (net(x + .01*torch.randn_like(x)) - y).square().mean()
        return e, dict(error=e.item()) # a term may be a number
    x = torch.linspace(0, 1, 64)[:,None]
    torch.manual_seed(0)
    return Trainer(
        nn.Linear(1, 1),
        squares,
        list(zip(x, 3 * x - 1)),
        folder,
        TrainConfig(**(dict(steps=60, batch=16, lr=0.1, clip=0, device='cpu', schedule='cosine') | over)),
        on_step=on_step,
    )


def test_ten_kills_change_nothing(tmp_path, toy):
    "SIGKILL after a random step, or while a state is written: losses and weights are those of a run that nobody killed."

    def to_the_end(folder, slow=False):
        if slow: state.save_file = half_then_whole
        line(folder, lambda *_: time.sleep(.01), ema=.9, save_steps=1).run(progress=False)
    rng, cut = random.Random(0), tmp_path/'cut'
    toy.finish(toy.fork(to_the_end, tmp_path/'whole'))
    lines = lambda: (cut/'log.jsonl').read_text().count('\n') if (cut/'log.jsonl').exists() else 0
    parts = lambda: [p for p in cut.glob('.state-*') if p.exists()]
    during = 0
    for k in range(10):
        p, goal = toy.fork(to_the_end, cut, k%2 == 1), lines() + rng.randint(1, 2)
        while p.is_alive() and lines() < goal: time.sleep(.001)
        if k%2:
            old = set(parts())
            while p.is_alive() and not set(parts()) - old: time.sleep(.001)
        else: time.sleep(rng.uniform(0, .02))
        p.kill(); toy.finish(p, -signal.SIGKILL)
        if k%2 and parts(): during += 1
    assert during >= 3, 'no kill came while a state was written'
    toy.finish(toy.fork(to_the_end, cut))
    assert (cut/'state.safetensors').read_bytes() == (tmp_path/'whole/state.safetensors').read_bytes()
    assert toy.rows(cut) == toy.rows(tmp_path/'whole') and len(toy.rows(cut)) == 60

def test_sigterm_saves_and_stops(tmp_path, toy):
    p = toy.fork(lambda: toy.trainer(tmp_path, steps=10**6).run(progress=False))
    while p.is_alive() and not toy.rows(tmp_path): time.sleep(.01)
    os.kill(p.pid, signal.SIGTERM); toy.finish(p)
    assert state_note(tmp_path)['step'] == len(toy.rows(tmp_path)) > 0 and not (tmp_path/'stage1.safetensors').exists()

@pytest.mark.parametrize('over', [{}, dict(optimizer='muon'), dict(optimizer='sgd'), dict(ema=.9, schedule='cosine')])
def test_stopped_and_taken_up_is_never_stopped(tmp_path, toy, over):
    toy.trainer(tmp_path/'a', **over).run(progress=False)
    t = toy.trainer(tmp_path/'b', on_step=lambda s,_: setattr(t, 'stop', s == 2), **over)
    assert t.run(progress=False).name == 'state.safetensors' and (t.done, state_note(tmp_path/'b')['step']) == (2, 2)
    assert t.run('must', progress=False).name == 'stage1.safetensors' # the same trainer
    assert toy.outcome(tmp_path/'a') == toy.outcome(tmp_path/'b')

def test_numbers_may_stay_on_the_device_for_a_step(tmp_path, toy):
    "As they do on a GPU: logs, states and weights are the same."
    toy.trainer(tmp_path/'a').run(progress=False)
    t = toy.trainer(tmp_path/'b', save_steps=3); t.lag = 1; t.run(progress=False)
    assert toy.outcome(tmp_path/'a') == toy.outcome(tmp_path/'b')

def test_a_full_disk_is_one_sentence_and_the_state_survives(tmp_path, toy):
    "Files may not grow past 20 kB from step 2 on; the state is larger. Step 3 is lost, what was saved is not."
    def full(step, _):
        if step == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    def go():
        with pytest.raises(
            OSError, match=f"cannot be written to '{tmp_path}'.*Make room there or choose another folder"
        ):
            toy.trainer(tmp_path, on_step=full, save_steps=1, steps=6).run(progress=False)
    toy.finish(toy.fork(go))
    assert state_note(tmp_path)['step'] == 1 and not list(tmp_path.glob('.state-*'))
    for d in (tmp_path, tmp_path/'b'): toy.trainer(d, save_steps=1, steps=6).run(progress=False)
    assert toy.outcome(tmp_path) == toy.outcome(tmp_path/'b')

def test_a_closed_folder_is_found_before_the_first_step(tmp_path, toy):
    (tmp_path/'file').write_text('')
    with pytest.raises(OSError, match="file/run' *: *Not a directory. Make room there or choose another folder"):
        toy.trainer(tmp_path / 'file/run').run(progress=False)


def test_a_longer_run_goes_on_and_another_run_does_not(tmp_path, toy):
    from smfnet.losses.stage_one import LossWeights
    toy.trainer(tmp_path, steps=2).run(progress=False)
    toy.trainer(tmp_path, steps=4).run('must', progress=False)
    toy.trainer(tmp_path/'b', steps=4).run(progress=False)
    assert toy.outcome(tmp_path) == toy.outcome(tmp_path/'b')
    for other in (
        dict(lr=2e-3),
        dict(batch=2),
        dict(seed=1),
        dict(loss_weights=LossWeights(alpha1=3.0)),
        dict(schedule='cosine'),
    ):
        with pytest.raises(ValueError, match="holds the state of another run .* there, .* here.*resume='never'"):
            toy.trainer(tmp_path, **other).run(progress=False)
    assert toy.outcome(tmp_path) == toy.outcome(tmp_path/'b')

def test_resume_has_three_words(tmp_path, toy):
    with pytest.raises(FileNotFoundError, match='no state'): toy.trainer(tmp_path).run('must', progress=False)
    for wrong in ('maybe', True):
        with pytest.raises(ValueError, match="resume must be 'auto', 'never' or 'must'"):
            toy.trainer(tmp_path).run(wrong, progress=False)
    toy.trainer(tmp_path, steps=1).run(progress=False)
    toy.trainer(tmp_path, lr=2e-3, steps=2).run('never', progress=False)
    assert [r['lr'] for r in read_log(tmp_path)] == [2e-3]*2

@pytest.mark.parametrize(
    'over, message',
    [
        (dict(batch=9), 'larger than the data: 8 items'),
        (dict(record=True), 'record=True needs an NVIDIA GPU'),
        (dict(precision='fp16'), "'fp16' needs a GPU"),
    ],
)
def test_what_this_machine_or_data_cannot_do(tmp_path, toy, over, message):
    with pytest.raises(ValueError, match=message): toy.trainer(tmp_path, **over)

def test_ways_to_save_memory_and_time_take_the_same_steps(tmp_path, toy):
    "Accumulated pieces differ a little: the decomposition and the Lovász term are then those of a piece."
    seen = {}
    for name, over in dict(
        plain={},
        accumulate=dict(accumulate=2),
        bf16=dict(precision='bf16'),
        checkpoint=dict(checkpoint=True),
        workers=dict(workers=1),
    ).items():
        toy.trainer(tmp_path/name, steps=2, **over).run(progress=False)
        seen[name] = [r['total'] for r in toy.rows(tmp_path/name)]
    assert seen['workers'] == seen['plain'] == pytest.approx(seen['checkpoint'], abs=1e-3)
    for k in ('bf16','accumulate'): assert seen[k] != seen['plain'] and seen[k] == pytest.approx(seen['plain'], abs=.5)

def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path, toy):
    t = toy.trainer(tmp_path, save_steps=1, steps=6)
    t.on_step = lambda s,_: t.params[0].register_hook(lambda g: g*float('nan')) if s == 2 else None
    with pytest.raises(Diverged, match='step 3: grad_norm is not finite'): t.run(progress=False)
    assert state_note(tmp_path)['step'] == 2
    assert all(v.isfinite().all() for v in load_file(tmp_path/'state.safetensors').values())

def test_a_run_leaves_nothing_behind(tmp_path, toy):
    "Frozen weights, modes, switches and random numbers are the caller's again; making a trainer touched none of them."
    def traces(net):
        return (
            [p.requires_grad for p in net.parameters()],
            net.training,
            [m.forward.__func__.__name__ for m in net.modules()],
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark,
            torch.get_num_threads(),
            torch.get_rng_state().tolist(),
            random.getstate(),
        )

    t = toy.trainer(tmp_path, checkpoint=True, deterministic=True)
    next(iter(t.net.parameters())).requires_grad_(False); t.net.eval()
    before, during = traces(t.net), []
    t.on_step = lambda s, _: during.append(
        (sum(p.requires_grad for p in t.net.parameters()), t.net.training, torch.are_deterministic_algorithms_enabled())
    )
    t.run(progress=False)
    assert (
        traces(t.net) == before
        and during[0] == (len(t.params), True, True)
        and len(t.params) < len(list(t.net.parameters())) - 1
    )


def test_recomputing_changes_no_gradient(toy):
    from smfnet.training.launch import fresh_model
    from smfnet.training.stages import SMFNetTrainer
    net, (ir,vi) = fresh_model(toy.TINY), (torch.stack(o) for o in zip(*toy.pairs(2)))
    def gradients():
        net.zero_grad(); net(ir, vi)[:,0].square().sum().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])
    plain = gradients()
    with recomputed(net, SMFNetTrainer.blocks) as n: assert n > 10 and gradients().equal(plain)
    with pytest.raises(ValueError, match='no blocks'):
        with recomputed(nn.Linear(1,1), ()): pass

@pytest.mark.parametrize('optimizer', ['adam','adamw','sgd'])
def test_any_network_on_any_objective(tmp_path, optimizer):
    whole = line(tmp_path/'a', optimizer=optimizer)
    assert whole.run(progress=False) == tmp_path/'a/state.safetensors'
    errors = [r['error'] for r in read_log(tmp_path/'a')]
    assert sum(errors[-8:]) < sum(errors[:8])/10
    cut = line(tmp_path/'b', lambda s,_: setattr(cut, 'stop', s == 25), optimizer=optimizer); cut.run(progress=False)
    again = line(tmp_path/'b', optimizer=optimizer); again.run(progress=False)
    assert (cut.done, again.done) == (25, 60) and again.net.weight.equal(whole.net.weight)

def test_batches_and_held_out_data_of_a_kind_of_their_own(tmp_path):
    "Targets of any shape in lists, and a look of one's own."
    class Numbers:
        def __init__(self, data, cfg, rank, world): self.data = data
        def __getitem__(self, step): return torch.full((4,1), float(step)), [torch.ones(step+1)]*4
    class Watched(Trainer):
        def look(self): return dict(weight=self.net.weight.item()), torch.zeros(8,8).numpy()
    seen = []

    def objective(net, x, targets):
        seen.append((x[0].item(), [len(t) for t in targets]))
        return net(x).square().sum(), {}

    Watched(
        nn.Linear(1, 1),
        objective,
        range(8),
        tmp_path,
        TrainConfig(steps=4, batch=4, accumulate=2, validate_every=1, device='cpu'),
        batches=Numbers,
    ).run(progress=False)
    assert seen == [(s, [s+1]*2) for s in (0.,1.,2.,3.) for _ in range(2)]
    assert [r['step'] for r in read_log(tmp_path, 'validation.jsonl')] == [2, 4] and (
        tmp_path / 'validation/0000004.png'
    ).is_file()


def test_tensorboard_gets_every_term(tmp_path, toy):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    toy.trainer(tmp_path, steps=2, tensorboard=True).run(progress=False)
    log = EventAccumulator(str(tmp_path/'tensorboard')); log.Reload()
    assert [e.value for e in log.Scalars('decomp')] == pytest.approx([r['decomp'] for r in toy.rows(tmp_path)])
