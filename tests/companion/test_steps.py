"The slider without a kernel: what it stores, what it refuses, and that a script moves it."
import base64, io, re
import numpy as np
import pytest, torch
from PIL import Image
from smfnet.companion.steps import compare, row, steps, unit

def images(page): return [Image.open(io.BytesIO(base64.b64decode(o))) for o in re.findall(r'data:image/webp;base64,([^"]+)', page)]

def test_each_state_is_stored_with_its_label():
    x = [np.full((12,16), v, np.float32) for v in (0., .5, 1.)]
    page = steps(x, ['dark','half','light'], 'Three greys', what='level').html
    got = images(page)
    assert [o.size for o in got] == [(16,12)]*3
    assert [np.asarray(o.convert('L')).mean().round() for o in got] == pytest.approx([0,128,255], abs=1)
    assert re.findall(r'data-label="(\w+)"', page) == ['dark','half','light']
    assert re.findall(r'alt="([^"]+)"', page)[2] == 'Three greys; level: light'

def test_images_of_one_state_stand_side_by_side():
    a,b = np.zeros((6,5)), torch.ones(1,6,7)
    im, _ = images(steps([(a,b), (a,b)], ['0','1']).html)
    row = np.asarray(im.convert('L'))[0].tolist()
    assert row == [0]*5 + [255]*(4+7)

def test_figures_are_stored_and_closed():
    plt = pytest.importorskip('matplotlib.pyplot')
    before = plt.get_fignums()
    figs = [plt.subplots(figsize=(2,1), dpi=50)[0] for _ in range(2)]
    assert [o.size for o in images(steps(figs, ['a','b']).html)] == [(100,50)]*2 and plt.get_fignums() == before

def test_html_goes_in_as_it_is_and_text_is_escaped():
    page = steps(['<svg id="one"></svg>','<svg id="two"></svg>'], ['a<b','c'], 'x & y', notes=['1 < 2','']).html
    assert '<svg id="one"></svg>' in page and 'a&lt;b' in page and 'x &amp; y' in page and '1 &lt; 2' in page

def test_the_same_states_make_the_same_page():
    x = [np.zeros((4,4)), np.ones((4,4))]
    a,b,c = steps(x, ['0','1']).html, steps(x, ['0','1']).html, steps(x[::-1], ['0','1']).html
    assert a == b != c and len(set(re.findall(r'data-smf-steps="(\w+)"', a+c))) == 2

@pytest.mark.parametrize('args,message', [
    (([np.zeros((4,4))], ['0']), 'two or more'),
    (([np.zeros((4,4))]*2, ['0']), 'equally many'),
    (([np.zeros((4,4)), np.zeros((4,5))], ['0','1']), 'one size'),
    (([(np.zeros((4,4)), np.zeros((5,4)))]*2, ['0','1']), 'one height'),
])
def test_what_does_not_fit_is_refused(args, message):
    with pytest.raises(ValueError, match=message): steps(*args)

def test_a_start_outside_is_refused():
    with pytest.raises(ValueError, match='0 to 1, not 2'): steps([np.zeros((4,4))]*2, ['0','1'], start=2)

@pytest.mark.slow
def test_keys_move_it_in_a_browser():
    sync_playwright = pytest.importorskip('playwright.sync_api').sync_playwright
    page_html = steps([np.zeros((40,60)), np.ones((40,60)), np.ones((40,60))/2], ['a','b','c'], 'T', what='level', start=1).html
    with sync_playwright() as p:
        try: browser = p.chromium.launch()
        except Exception as e: pytest.skip(f'no browser: {type(e).__name__}')
        page = browser.new_page(); page.set_content(page_html*2) # twice the same on one page
        r = page.get_by_label('level').first
        seen = lambda: [o.is_visible() for o in page.locator('.smf-state').all()[:3]]
        assert seen() == [False,True,False] and r.get_attribute('aria-valuetext') == 'b'
        r.press('ArrowRight'); assert seen() == [False,False,True] and r.get_attribute('aria-valuetext') == 'c'
        assert page.locator('.smf-state').all()[4].is_visible() # the other one stays
        browser.close()

def test_a_map_becomes_grey_between_its_percentiles_or_given_values():
    x = np.linspace(-3, 5, 101).reshape(1,1,101,1)
    assert unit(x, -3, 5)[[0,50,100],0].tolist() == pytest.approx([0,.5,1])
    assert unit(x)[1,0] == 0 and unit(x)[99,0] == 1 and unit(torch.from_numpy(x)).shape == (101,1)
    f = torch.tensor([1.,-3]).reshape(1,2,1,1).expand(1,2,2,2)
    assert unit(f, 0, 4).tolist() == [[.5,.5],[.5,.5]] # the mean size of 1 and -3 is 2
    assert not unit(np.zeros((2,2))).any()

def test_a_row_holds_each_image_with_its_line():
    page = row([np.zeros((4,6)), torch.ones(1,4,8)], ['a','b & c'])
    assert [o.size for o in images(page.html)] == [(6,4),(8,4)] and 'b &amp; c' in page.html and repr(page) == 'images: a; b & c'
    with pytest.raises(ValueError, match='2 images and 1 titles'): row([np.zeros((4,6))]*2, ['a'])

def test_two_images_need_no_script_and_say_what_they_are():
    x = np.linspace(0, 1, 48, dtype=np.float32).reshape(6,8)
    two = compare(dict(a=x, b=1-x, c=np.dstack([x]*3)), 'b', alt='a <ramp>')
    assert '<script' not in two.html and two.html.count('<img') == 3 and 'alt="b: a &lt;ramp&gt;"' in two.html and 'aspect-ratio:8/6' in two.html
    assert re.findall(r'<option selected>(.)', two.html) == ['b', 'c'] and repr(two) == 'images under a divider: a, b, c'
    assert re.findall(r'data-name="(.)" style="[^"]*visibility:(\w+)', two.html) == [('a','hidden'), ('b','visible'), ('c','visible')]

@pytest.mark.parametrize('images, left, match', [
    (dict(a=np.zeros((2,2), np.float32)), '', 'two images or more'), (dict(a=np.zeros((2,2), np.float32), b=np.zeros((2,3), np.float32)), '', 'one size'),
    (dict(a=np.zeros((2,2), np.float32), b=np.zeros((2,2), np.float32)), 'z', 'no image is called z')])
def test_what_cannot_be_compared_is_refused(images, left, match):
    with pytest.raises(ValueError, match=match): compare(images, left)

def test_large_images_are_shrunk_for_the_browser():
    assert 'aspect-ratio:1600/800' in compare(dict(a=np.zeros((900,1800), np.float32), b=np.ones((900,1800), np.float32))).html
