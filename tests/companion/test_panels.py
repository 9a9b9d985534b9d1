"The panels, driven as a user drives them: what moves when a slider, a choice or a button is touched."
import io, threading, time
from datetime import datetime
from functools import partial
import pytest, torch
from PIL import Image
W = pytest.importorskip('ipywidgets', reason='the extra [companion] is not installed')
pytest.importorskip('matplotlib', reason='the extra [plot] is not installed')
from smfnet.companion import panels
from smfnet.companion.panels import Companion, FeaturePanel, FreePixels, FusePanel, LossPanel, PairChooser, TunePanel, WeightSliders, _message, _picture, _row, _shrink
from smfnet.companion.probe import to_png
from smfnet.companion.views import channel_cc
from smfnet.data.colour import join_colour
from smfnet.data.images import write_image
from smfnet.data.scenes.render import render_scene
from smfnet.losses.ours import LOSS_PRESETS, OurLossWeights

@pytest.fixture(autouse=True)
def small_scenes(monkeypatch):
    "Scenes of 96×128 px instead of 240×320: drawing them is most of the time."
    monkeypatch.setattr(panels, 'render_scene', partial(render_scene, size=(96,128)))

def uploaded(name, content): return (dict(name=name, type='image/png', size=len(content), content=memoryview(content), last_modified=datetime.now()),)

def test_messages_are_plain_text():
    assert '&lt;script&gt;' in _message('<script>') and '<script>' not in _message('<script>')
    assert _message(ValueError('no'), True).count('#D55E00') == 1
    assert _row(_picture('a')).layout.flex_flow == 'row wrap' and 'a' in _picture('a')._dom_classes

def test_small_pairs_keep_their_ratio_and_their_colour(scene):
    big = scene.pair()
    p = _shrink(big, 64)
    assert p.size == (48,64) and p.chroma.shape == (2,48,64) and float(p.chroma.mean()) == pytest.approx(float(big.chroma.mean()), abs=2e-3)
    assert _shrink(p, 64) is p
    with pytest.raises(ValueError, match='at least 16'): _shrink(p, 8)

def test_sliders_start_as_printed_and_tell_once():
    s, seen = WeightSliders(), []
    s.observers.append(lambda: seen.append(s.last))
    assert s.value == OurLossWeights() and (s.value.alpha4, s.value.alpha5) == (LOSS_PRESETS['printed'].alpha4, LOSS_PRESETS['printed'].alpha5) and s.value.structure == 0
    s.sliders['alpha5'].value = 3.
    assert s.value.alpha5 == 3. and seen == ['alpha5']
    s.release.click()
    assert (s.value.alpha4, s.value.alpha5) == (LOSS_PRESETS['swapped'].alpha4, LOSS_PRESETS['swapped'].alpha5)
    s.reset.click()
    assert s.value == OurLossWeights() and len(seen) == 3
    s.only(2)
    assert [k for k,o in s.rows.items() if o.layout.display is None] == ['alpha4','alpha5','structure','delta']

def test_chooser_reads_scenes_by_number():
    c, seen = PairChooser(seed=7), []
    c.observers.append(lambda: seen.append(c.pair.name))
    c.number.value = 8
    assert seen == ['scene00008'] and Image.open(io.BytesIO(c.image.value)).size == (2*128+4, 96)

def test_chooser_waits_for_both_uploads_and_says_what_is_wrong(scene):
    c, seen = PairChooser(), []
    c.observers.append(lambda: seen.append(c.pair.name))
    c.source.value = c.FILES
    assert seen == [] and 'Choose two' in c.status.value and 'at most 20 MB' in c.status.value
    c.files[0].value, c.files[1].value = uploaded('a_ir.png', to_png(scene.ir)), uploaded('<b>.png', b'garbage')
    assert seen == [] and c.pair.name == 'scene00007' and '&lt;b&gt;.png' in c.status.value
    assert c.image.layout.display == 'none' and 'still show scene00007' in c.status.value, 'the old pair would be taken for the new one'
    c.files[1].value = uploaded('street.png', to_png(scene.vi))
    assert seen == ['street'] and c.pair.size == (120,160) and c.image.layout.display is None

def test_chooser_offers_data_sets_that_are_there(scene, tmp_path):
    for m in ('ir','vi'): write_image(tmp_path/'TNO/test'/m/'a.png', getattr(scene, m))
    c = PairChooser(data=tmp_path)
    assert list(c.source.options) == [c.SCENE, 'TNO/test', c.FILES]
    c.number.value, c.source.value = 5, 'TNO/test' # numbers wrap around
    assert (c.pair.name, c.pair.size) == ('a', (120,160))
    (tmp_path/'TNO/test/ir/a.png').write_bytes(b'')
    c.number.value = 6
    assert 'a.png' in c.status.value and c.pair.name == 'a'

@pytest.fixture
def losses(nets): return LossPanel(PairChooser(), nets, side=64)

def test_each_slider_moves_what_it_should(losses):
    p, s = losses, losses.weights.sliders
    state = lambda: (p.bars.value, p.pulls.value, p.image.value, p.wish.value)
    ready = lambda: [time.sleep(.02) for _ in range(3000) if p.free.wanted]
    ready()
    a = state(); s['alpha5'].value = 4.
    ready(); b = state()
    assert a[0] != b[0] and a[1] == b[1] and a[2] != b[2] and a[3] != b[3] and 'α₅ = 4' in p.text.value
    s['alpha4'].value = 12.
    c = state()
    assert b[0] != c[0] and b[1] != c[1] and b[2:] == c[2:] and 'α₄ = 12' in p.text.value
    p.weights.reset.click()
    assert state() == a

def test_the_image_that_is_asked_for_comes_at_once_and_then_exactly(pair, monkeypatch):
    go, shown, real = threading.Event(), [], panels.best_pixels
    monkeypatch.setattr(panels, 'best_pixels', lambda *a, **k: (go.wait(20), real(*a, **k | dict(steps=6)))[1])
    f = FreePixels(pair, lambda: shown.append(len(f.known)))
    bright = torch.maximum(pair.ir, pair.vi)
    assert torch.equal(f.at(OurLossWeights(alpha5=7.)), bright) and f.wanted[0] == (7.,0.) and not shown # the thread still waits
    thread = f.thread
    go.set(); thread.join(60)
    assert {a for a,_ in f.known} == {0., 7., *f.GRID} and f.wanted == [] and shown == [2,3,4,5,6]
    assert torch.equal(f.at(OurLossWeights(alpha5=7., alpha4=1.)), real(pair.ir[None], pair.vi[None], OurLossWeights(alpha5=7.), steps=6)[0])
    go.clear()
    between = f.at(OurLossWeights(alpha5=4.))         # halfway between 2 and 6
    assert torch.allclose(between, (f.known[2.,0.] + f.known[6.,0.])/2) and f.wanted == [(4.,0.)]
    f.stopped = True; go.set()

def test_a_slider_of_stage_one_brings_stage_one_to_the_front(losses):
    losses.weights.sliders['beta1'].value = 3.
    assert losses.stage.value == 1 and 'β₁ = 3' in losses.text.value and 'Lovász' in losses.bars.value

def test_tuning_grows_a_curve_and_stops(small):
    t = TunePanel(LossPanel(PairChooser(), {2: small}, side=48), seconds=600, patch=32, every=2)
    until = lambda n: [time.sleep(.05) for _ in range(1200) if len(t.tune.history) < n]
    t.go.click()
    assert t.go.disabled and not t.halt.disabled
    until(3); first = t.curve.value
    until(5); t.halt.click(); t.tune.thread.join(30)
    assert t.curve.value != first and first and t.image.value
    assert 'stopped after' in t.status.value and '→' in t.status.value and not t.go.disabled and t.halt.disabled

def test_the_button_answers_before_anything_is_computed(small):
    t = TunePanel(LossPanel(PairChooser(), {2: small}, side=48), seconds=600, patch=32)
    go, said = threading.Event(), []
    t.ready = lambda o, old=t.ready: (go.wait(20), said.append(t.status.value), old(o))
    t.go.click()                                      # returns while the thread still waits
    assert t.go.disabled and 'preparing' in t.status.value and not said
    go.set(); t.halt.click(); t.tune.thread.join(30)
    assert said and not t.go.disabled and 'stopped after' in t.status.value

def test_a_new_pair_ends_the_tuning_of_the_old_one_and_hides_it(small):
    c = PairChooser()
    t = TunePanel(LossPanel(c, {2: small}, side=48), seconds=600, patch=32, every=1)
    assert t.live.layout.display == 'none'
    t.go.click()
    [time.sleep(.05) for _ in range(1200) if len(t.tune.history) < 2]
    assert t.live.layout.display == 'flex'
    c.number.value = 8
    t.tune.thread.join(30)
    assert not t.tune.thread.is_alive() and t.live.layout.display == 'none' and 'Continues' in t.status.value and not t.go.disabled
    t.go.click(); t.halt.click(); t.tune.thread.join(30) # and the new pair can be tuned
    assert 'stopped after' in t.status.value

def test_handles_and_pictures_have_names(losses):
    assert losses.weights.sliders['alpha4'].tooltip.startswith('α₄: ')

def test_tuning_says_that_it_failed(small):
    t = TunePanel(LossPanel(PairChooser(), {2: small}, side=48), seconds=600, patch=32)
    t.show = lambda _: 1/0
    t.go.click(); t.tune.thread.join(30)
    assert 'failed: division by zero' in t.status.value and not t.go.disabled

def test_fusing_shows_scores_and_the_fused_image(small, pair):
    c = PairChooser()
    c.files[0].value, c.files[1].value = uploaded('s_ir.png', to_png(pair.ir)), uploaded('s.png', to_png(join_colour(pair.vi, pair.chroma)))
    c.source.value = c.FILES
    q = FusePanel(c, small)
    assert 'data-name="visible"' in q.two.value and 'data-name="fused"' not in q.two.value
    q.start(); q.thread.join(60)
    assert q.table.value.count('<tr>') == 3 and 'Qabf' in q.table.value and 'data-name="fused"' in q.two.value and not q.go.disabled
    c.source.value = c.SCENE
    assert 'data-name="fused"' not in q.two.value and q.table.value == '', 'the old fused image would be taken for that of the new pair'

def test_stepping_through_features(nets):
    g = FeaturePanel(PairChooser(), nets[2], side=48)
    a = g.image.value, g.bars.value
    g.channel.value = 9
    assert g.image.value != a[0] and g.bars.value != a[1] and 'channel 9 of base' in g.text.value
    b = g.image.value; g.branch.value = 'graph'
    assert g.image.value != b and list(g.cc) == ['base','detail','graph']
    assert g.cc['detail'].mean() == pytest.approx(channel_cc(g.features.detail_ir, g.features.detail_vi).mean())

def test_all_panels_follow_one_chooser():
    o = Companion(side=48)
    o.chooser.number.value = 11
    assert {o.losses.pair.name, o.fusing.pair.name} == {'scene00011'}
    assert max(o.losses.pair.size) == 48 and o.fusing.pair.size == (96,128)
