"Views: uploads that are refused in one sentence, tables, feature maps."
import io
import numpy as np
import pytest, torch
from PIL import Image
from smfnet.companion.probe import probe, to_png
from smfnet.companion.views import MAX_UPLOAD, _read_upload, channel_cc, channel_picture, channels_png, pair_from_uploads, scores_html

TINY = to_png(np.zeros((3,4), np.float32))

def test_two_uploads_become_a_pair(scene):
    ir = to_png(scene.ir)
    assert _read_upload('a.png', memoryview(ir)).shape == (120,160)
    p = pair_from_uploads(('a.png', ir), ('street.png', to_png(scene.vi)))
    assert p.size == (120,160) and p.name == 'street' and p.chroma is not None

def test_bad_uploads_are_named_and_never_a_path(scene):
    with pytest.raises(ValueError, match='evil') as e: _read_upload('../../evil.png', b'not an image')
    assert '/tmp' not in str(e.value).replace('../../evil.png', '')
    with pytest.raises(ValueError, match='at most 20 MB'): _read_upload('big.png', bytes(MAX_UPLOAD+1))
    with pytest.raises(ValueError, match='160×120 px and small.png is 30×20 px.*register'): pair_from_uploads(('a.png', to_png(scene.ir)), ('small.png', to_png(np.zeros((20,30), np.float32))))
    with pytest.raises(ValueError, match='at least 16'): pair_from_uploads(('s.png', TINY), ('s.png', TINY))

def test_table_marks_the_larger_value_and_escapes_names():
    h = scores_html(dict(fused=dict(EN=6.5, SSIM=1.), average=dict(EN=6., SSIM=.9)))
    assert h.count('<tr>') == 3 and '<b>6.500</b>' in h and '<b>6.000' not in h and '6.000' in h
    assert '&lt;b&gt;' in scores_html({'<b>': dict(EN=1.)})

@pytest.fixture(scope='module')
def features(pair, nets):
    with torch.no_grad(): return nets[2].encode(pair.ir[None], pair.vi[None])

def test_mean_over_channels_is_the_cc_of_the_loss(features, pair, nets):
    f = features
    assert channel_cc(f.detail_ir, f.detail_vi).mean() == pytest.approx(float(probe(pair, nets[2], 2).terms['cc_detail']), abs=1e-4)
    assert channel_cc(f.base_ir, f.base_ir) == pytest.approx(np.ones(64), abs=1e-3)

def test_shipped_bases_agree_more_than_details(features):
    f = features
    assert channel_cc(f.base_ir, f.base_vi).mean() > np.abs(channel_cc(f.detail_ir, f.detail_vi)).mean()

def test_pictures_of_channels(features):
    pytest.importorskip('matplotlib')
    f, cc = features, channel_cc(features.detail_ir, features.detail_vi)
    assert Image.open(io.BytesIO(channel_picture(f.base_ir, f.base_vi, 3, width=64))).size == (131,48)
    assert channels_png(cc, 5) != channels_png(cc, 6) and Image.open(io.BytesIO(channels_png(cc, 5))).size == (800,352)
