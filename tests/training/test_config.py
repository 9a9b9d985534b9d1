"Configuration: what is refused, step sizes, presets."
import math
import pytest
from smfnet.training.config import TRAIN_PRESETS, TrainConfig, lr_at, train_config

def test_steps_are_those_of_the_paper():
    assert [TrainConfig(stage=s).total_steps(600) for s in (1,2)] == [4000, 8000] # 40 and 80 epochs of batches of six
    assert TrainConfig(steps=7).total_steps(600) == 7 and TrainConfig(epochs=3, batch=4).total_steps(2) == 3

@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(stage=3), 'stage must be 1 or 2'),
        (dict(batch=0), 'batch must be a whole number'),
        (dict(lr=-1.0), 'lr must lie'),
        (dict(optimizer='lion'), 'optimizer must be one of adam, muon, adamw, sgd'),
        (dict(save_steps=-1), 'save_steps'),
        (dict(joint=True), 'belongs to stage 2'),
        (dict(accumulate=4), 'accumulate=4 must divide batch=6'),
        (dict(ema=1.0), 'ema must lie'),
        (dict(clip=math.nan), 'clip must be'),
        (dict(record=True, accumulate=2), 'neither accumulate'),
        (dict(record=True, optimizer='sgd'), 'that torch can record'),
        (dict(schedule='line'), 'schedule must be'),
        (dict(precision='fp8'), 'precision must be'),
    ],
)
def test_values_with_which_no_run_makes_sense(wrong, message):
    with pytest.raises(ValueError, match=message): TrainConfig(**wrong)

def test_step_size_is_halved_every_twenty_epochs():
    c = TrainConfig()
    assert [lr_at(s, 400, 10, c) for s in (0,199,200,400)] == [1e-4,1e-4,5e-5,2.5e-5]

def test_warm_up_cosine_and_floor():
    c = TrainConfig(schedule='cosine', warmup=10)
    assert [lr_at(s, 400, 10, c) for s in (0,200,400)] == pytest.approx([1e-5, 5e-5, 1e-6])

@pytest.mark.parametrize('preset', TRAIN_PRESETS)
@pytest.mark.parametrize('stage', [1, 2])
def test_presets_are_valid(preset, stage):
    c,d = train_config(stage, preset)
    assert c.stage == stage and set(d) == {'patch','stride','scenes'}

def test_what_the_user_gives_wins_over_the_preset():
    c,d = train_config(2, 'smoke')
    assert (c.steps, c.batch, d['patch']) == (6, 2, 32)
    c,_ = train_config(1, 'cpu', epochs=3, lr=1e-3, batch=None)
    assert (c.steps, c.epochs, c.lr, c.batch) == (None, 3, 1e-3, 4)
    assert train_config(1)[0] == TrainConfig(validate_every=5)

def test_unknown_presets_and_fields():
    with pytest.raises(ValueError, match='preset must be one of'): train_config(1, 'fast')
    with pytest.raises(ValueError, match='unknown training parameter learning_rate'): train_config(1, learning_rate=1)
