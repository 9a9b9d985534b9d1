"Fine-tuning in a thread: it learns on a copy, can be repeated, ends when asked, and keeps an error."
import io, threading, time
import numpy as np
import pytest, torch
from smfnet.companion.probe import probe
from smfnet.companion.tuning import FineTune, curve_png, relative
from smfnet.losses.ours import OurLossWeights
from smfnet.losses.stage_one import LossWeights

def test_steps_lower_the_loss_of_a_copy(pair, small):
    before = {k: v.clone() for k,v in small.state_dict().items()}
    t = FineTune(pair, small, LossWeights(), patch=32, lr=5e-3)
    for _ in range(12): t.step()
    assert np.mean([o['total'] for o in t.history[-4:]]) < np.mean([o['total'] for o in t.history[:4]])
    assert all(torch.equal(v, before[k]) for k,v in small.state_dict().items())
    assert t.look()[0].shape == (1,48,64) and not torch.equal(t.look()[0], small(pair.ir[None], pair.vi[None])[0])

def test_equal_seeds_give_equal_steps(pair, small):
    a,b,c = (FineTune(pair, small, LossWeights(), patch=32, seed=s).step() for s in (0,0,1))
    assert a == b and a != c

def test_our_terms_are_trained_where_they_have_a_weight(pair, small):
    assert 'structure' in FineTune(pair, small, OurLossWeights(structure=2.), patch=32).step() and 'structure' not in FineTune(pair, small, OurLossWeights(), patch=32).step()

def test_correlations_are_those_of_the_loss(pair, nets):
    terms, cc = probe(pair, nets[2], 2).terms, FineTune(pair, nets[2], LossWeights()).look()[1]
    assert cc == {k: pytest.approx(float(terms[f'cc_{k}']), abs=1e-4) for k in ('base','detail','graph')}

def test_ends_when_the_time_is_over(pair, small):
    ended, t = threading.Event(), FineTune(pair, small, LossWeights(), patch=32)
    t.start(.5, done=lambda o: ended.set()).join(20)
    assert ended.is_set() and t.history and t.error is None

def test_stops_when_asked(pair, small):
    t = FineTune(pair, small, LossWeights(), patch=32)
    t.start(600)
    while not t.history: time.sleep(.05)
    assert t.stop(20) and t.stopped.is_set()

def test_keeps_an_error_instead_of_dying_silently(pair, small):
    t = FineTune(pair, small, LossWeights(), patch=32)
    t.start(5, show=lambda o: 1/0).join(20)
    assert type(t.error) is ZeroDivisionError

def test_relative_curves_start_at_one():
    y = np.array([4.,1,2,1,1,1,1,1,1,1,1,1])
    got = relative(y, 4)
    assert got[0] == 1 and got[3] == 1 and got[-1] == pytest.approx(1/2) and relative(np.zeros(3)).tolist() == [0,0,0] and relative(np.array([5.]))[0] == 1

def test_curve_grows_with_the_history():
    pytest.importorskip('matplotlib')
    from PIL import Image
    rows = [dict(total=2*.9**i+.5, intensity=.1, grad=.3*.95**i, decomp=.05*.8**i) for i in range(30)]
    assert Image.open(io.BytesIO(curve_png(rows))).size == (800,416) and curve_png(rows[:1]) != curve_png(rows)
