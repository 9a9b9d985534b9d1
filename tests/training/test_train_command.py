"The command smfnet_train, and what a machine with little installed can do."
import dataclasses, sys
from pathlib import Path
import pytest
from smfnet.training import cli
from smfnet.training.cli import _next_command, _sentences, main, train_arguments
from smfnet.training.config import TrainConfig

def test_every_field_is_an_option():
    v = vars(
        train_arguments().parse_args(
            ['--lr', '1e-3', '--no-augment', '--steps', '7', '--validate-every', '2', '--loss-weights', 'swapped']
        )
    )
    assert (
        v['lr'],
        v['augment'],
        v['steps'],
        v['validate_every'],
        v['joint'],
        v['stage'],
        v['loss_weights'],
        v['data'],
    ) == (1e-3, False, 7, 2, None, 1, 'swapped', None)


@pytest.mark.parametrize(
    'args, message',
    [
        (['--stage', '3'], 'stage must be 1 or 2'),
        (['--preset', 'quick'], 'preset must be one of'),
        (['--loss-weights', 'none'], 'loss_weights must be one of'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(args, message):
    with pytest.raises(SystemExit, match=f'smfnet_train: {message}'): main(args)

def test_a_run_prints_its_checkpoint(tmp_path, capsys, toy):
    main(
        [
            '--preset',
            'smoke',
            '--model',
            'smoke',
            '--scenes',
            '1',
            '--steps',
            '1',
            '--validate-every',
            '0',
            '--device',
            'cpu',
            '--data',
            '',
            '--out',
            str(tmp_path),
        ]
    )
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path/'stage1.safetensors') and len(toy.rows(tmp_path)) == 1
    last = err.splitlines()
    assert any(l.startswith('loss ') for l in last) and 'noise' in err and max(len(l) for o in last for l in o.split('\r') if l.startswith('step ')) <= 79
    assert last[-1] == f'next: smfnet_train --stage 2 --start {tmp_path}/stage1.safetensors --out {tmp_path}-stage2 --preset smoke --model smoke --scenes 1 --steps 1 --device cpu --validate-every 0'

def test_help_explains_each_option_and_gives_examples():
    text = ' '.join(train_arguments().format_help().split())
    assert text.count('smfnet_train --') >= 3 and 'largest gradient norm, of all weights together' in text and "'adam' (Sec. 3.1)" in text
    for f in dataclasses.fields(TrainConfig): assert f.name in _sentences(), f.name

def test_a_run_of_hours_asks_first(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, 'seconds_per_step', lambda t: 60.)
    long = ['--preset', 'smoke', '--model', 'smoke', '--scenes', '1', '--steps', '300', '--device', 'cpu', '--out', str(tmp_path/'run')]
    with pytest.raises(SystemExit, match=r'about 5.0 h on this machine \(300 steps\). Say --yes'): main(long)
    assert not list(tmp_path.rglob('*.safetensors'))
    monkeypatch.setattr(cli.make_trainer(preset='smoke', model='smoke', scenes=1, steps=1, device='cpu', out=tmp_path/'x').__class__, 'run', lambda t, resume: tmp_path/'done')
    monkeypatch.setattr(cli, '_last_words', lambda *o: [])
    main([*long, '--yes'])

def test_what_comes_next_repeats_the_options():
    v = vars(train_arguments().parse_args(['--data', 'my pairs', '--seed', '3', '--no-augment', '--out', 'runs/a/stage1']))
    assert _next_command(v, Path('a/stage1.safetensors')) == "smfnet_train --stage 2 --start a/stage1.safetensors --out runs/a/stage2 --data 'my pairs' --no-augment --seed 3"
    assert _next_command(v | dict(stage=2), Path('b/stage2.safetensors')).endswith('--weights b/stage2.safetensors')

ALLOWED = ('torch', 'numpy', 'einops', 'safetensors', 'PIL', 'tqdm', 'smfnet')

class Only:
    "Finds nothing that is neither allowed, nor needed by what is, nor part of Python."
    def find_spec(self, name, path=None, target=None):
        top = name.partition('.')[0]
        if (
            top not in ALLOWED
            and top not in sys.stdlib_module_names
            and sys._getframe(1).f_globals.get('__name__', '').startswith('importlib')
            and needed_by_us()
        ):
            raise ModuleNotFoundError(f'{name} is not installed', name=name)

def needed_by_us():
    "Whether the import under way stands in one of our own modules."
    f = sys._getframe(2)
    while f and 'importlib' in f.f_code.co_filename: f = f.f_back
    return f is not None and f.f_globals.get('__name__', '').startswith('smfnet')

def test_training_needs_little(tmp_path, toy, archive):
    "With the core's dependencies alone a run goes through; a picture of it names what is missing."

    def go():
        for k in [
            k
            for k in sys.modules
            if k.partition('.')[0]
            in ('smfnet', 'matplotlib', 'skimage', 'kornia', 'accelerate', 'pooch', 'fastcore', 'IPython', 'scipy')
        ]:
            del sys.modules[k]
        sys.meta_path.insert(0, Only())
        from smfnet.training.launch import make_trainer
        make_trainer(1, archive, preset='smoke', model='smoke', out=tmp_path, device='cpu', steps=1).run(progress=False)
        from smfnet.training.plots import plot_log
        with pytest.raises(ImportError, match=r'smfnet\[plot\]'): plot_log(tmp_path)
    toy.finish(toy.fork(go))
