"The page Try it, driven as a visitor drives it: what is shown, what goes, what is said."
import base64, html, io, re, threading
from datetime import datetime
import numpy as np
import pytest
from PIL import Image
pytest.importorskip('ipywidgets', reason='the extra [companion] is not installed')
from smfnet.companion import tryit
from smfnet.companion.probe import to_png
from smfnet.companion.tryit import TryIt, sort_uploads
from smfnet.data.examples import example_files, example_pair
from smfnet.fusing.api import fuse_pair
from smfnet.network.weights import load_model

def uploaded(*files): return tuple(dict(name=n, type='image/png', size=len(c), content=memoryview(c), last_modified=datetime.now()) for n,c in files)

def settled(t):
    t.thread.join(60)
    return t

def downloaded(t): return Image.open(io.BytesIO(base64.b64decode(re.search(r'href="data:image/png;base64,([^"]+)"', t.link.value)[1])))

@pytest.fixture
def page(): return settled(TryIt('camp'))

@pytest.fixture(scope='module')
def doorway():
    f = example_files('doorway')
    return {m: (getattr(f, m).name, getattr(f, m).read_bytes()) for m in ('ir','vi')}

def test_it_opens_with_an_example_that_is_fused(page):
    p = example_pair('camp')
    assert re.search(r'fused by fast in \d+\.\d s', page.status.value) and 'fence' in page.status.value and 'CC BY 4.0' in page.status.value
    want = fuse_pair(p, load_model('fast', 'cpu'))[0].numpy()
    assert np.abs(np.asarray(downloaded(page))/255 - want).max() < .003 and 'download="camp_vi_fused.png"' in page.link.value
    assert [n for n in ('infrared', 'visible', 'fused') if f'data-name="{n}"' not in page.result.value] == []

def test_two_files_at_once_are_told_apart_and_fused(page, doorway):
    page.uploads['ir'].value = uploaded(doorway['vi'], doorway['ir'])
    settled(page)
    assert page.files['ir'][0] == 'doorway_ir.png' and 'doorway_vi: 304×224 px' in page.status.value and downloaded(page).size == (304,224)

def test_one_file_waits_for_the_other_and_nothing_old_is_shown(page, doorway):
    page.uploads['vi'].value = uploaded(doorway['vi'])
    assert page.result.value == page.link.value == '' and 'Now the infrared image' in page.status.value and 'doorway_vi.png' in page.status.value
    page.uploads['ir'].value = uploaded(doorway['ir'])
    assert settled(page).result.value and 'doorway_vi' in page.status.value

def test_a_bad_file_gives_one_sentence_and_no_picture(page, doorway):
    page.uploads['ir'].value = uploaded(('<b>holiday.png', b'garbage'))
    page.uploads['vi'].value = uploaded(doorway['vi'])
    settled(page)
    assert page.result.value == page.link.value == ''
    assert '&lt;b&gt;holiday.png is not an image' in page.status.value and '/tmp' not in page.status.value and page.status.value.count('<div') == 1

def test_sizes_that_differ_are_registered_where_that_is_ticked(page, doorway):
    small = Image.open(io.BytesIO(doorway['ir'][1])); small = small.resize((small.width*2//3, small.height*2//3), Image.LANCZOS)
    out = io.BytesIO(); small.save(out, 'png')
    page.uploads['ir'].value = uploaded(('a_ir.png', out.getvalue()), doorway['vi'])
    settled(page)
    assert 'a_ir.png is 202×149 px' in html.unescape(page.status.value) and 'register' in page.status.value and page.result.value == ''
    page.register.value = True
    settled(page)
    assert 'blocks agree' in page.status.value and downloaded(page).size == (304,224)

def test_an_unsure_registration_is_refused(page, doorway):
    rng = np.random.default_rng(0)
    page.uploads['ir'].value = uploaded(('noise.png', to_png(rng.random((96,128)).astype(np.float32))), doorway['vi'])
    page.register.value = True
    settled(page)
    assert 'no registration to be trusted' in page.status.value and page.result.value == ''

def test_a_faint_infrared_is_pointed_out_and_spread(page, doorway):
    x = np.asarray(Image.open(io.BytesIO(doorway['ir'][1])).convert('L'))
    page.uploads['ir'].value = uploaded(('faint_ir.png', to_png((120 + x/16).astype(np.float32)/255)), doorway['vi'])
    assert 'spread the infrared' in settled(page).status.value
    faint = np.asarray(downloaded(page)).std()
    page.spread.value = True
    assert 'spread the infrared' not in settled(page).status.value and np.asarray(downloaded(page)).std() > faint

def test_swapping_changes_the_result(page, doorway):
    page.uploads['ir'].value = uploaded(doorway['ir'], doorway['vi'])
    name = settled(page).link.value
    page.swap.click()
    assert settled(page).files['ir'][0] == 'doorway_vi.png' and page.link.value != name

def test_it_answers_at_once_and_shows_the_newest_request_only(page, monkeypatch):
    go, real = threading.Event(), tryit.fuse_pair
    monkeypatch.setattr(tryit, 'fuse_pair', lambda *a: (go.wait(20), real(*a))[1])
    page.examples['doorway'].click()                 # returns while the thread waits
    first = page.thread
    assert 'fusing' in page.status.value and page.result.value == ''
    page.examples['street'].click()
    go.set(); first.join(60); settled(page)
    assert 'street_vi' in page.status.value and 'download="street_vi_fused.png"' in page.link.value

def test_uploads_are_sorted_by_name_then_colour():
    grey, colour = to_png(np.zeros((16,16), np.float32)), to_png(np.dstack([np.ones((16,16)), *[np.zeros((16,16))]*2]).astype(np.float32))
    ir = lambda *files: sort_uploads(list(files))['ir'][0]
    assert ir(('1_vis.png', b''), ('1_ir.png', b'')) == '1_ir.png' and ir(('1_ir.png', b''), ('1_vis.png', b'')) == '1_ir.png'
    assert ir(('a.png', colour), ('b.png', grey)) == 'b.png' and ir(('a.png', grey), ('b.png', colour)) == 'a.png' and ir(('a.png', grey), ('b.png', b'x')) == 'a.png'
