"""The companion in a real browser: sliders in voila, notebooks in JupyterLab, the documentation site.

Needs the extra [browser] and a chromium (`apt-get install chromium`). SMFNET_SHOTS=FOLDER keeps a picture of every page that was looked at."""
import http.server, os, re, shutil, signal, socket, subprocess, sys, threading, time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
import pytest
from smfnet.core.files import project_root

api = pytest.importorskip('playwright.sync_api', reason='the extra [browser] is not installed')
ROOT = project_root()
CHROMIUM = next((p for n in ('chromium', 'chromium-browser', 'google-chrome') if (p := shutil.which(n))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason='no chromium: apt-get install chromium')]
FLAGS = ('--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync '
         '--disable-dev-shm-usage').split()
PATIENCE = 240_000 # ms: a busy machine starts a kernel and torch slowly
BIN = Path(sys.executable).parent
DESK, PHONE = dict(width=1440, height=900), dict(width=390, height=844)

def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

@contextmanager
def server(*args, cwd):
    "A program that serves on a free port of this machine; it and its kernels are stopped at the end."
    port = free_port()
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'SMFNET_DATA': '', 'JUPYTER_PATH': str(ROOT/'docs/jupyter')}
    with open(cwd/f'server-{port}.log', 'w') as log:
        p = subprocess.Popen([str(a).format(port=port) for a in args], cwd=cwd, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(600):
            if p.poll() is not None: raise AssertionError((cwd/f'server-{port}.log').read_text()[-3000:])
            try: socket.create_connection(('127.0.0.1', port), 1).close(); break
            except OSError: time.sleep(.2)
        yield f'http://127.0.0.1:{port}'
    finally:
        p.send_signal(signal.SIGTERM)
        try: p.wait(20)
        except subprocess.TimeoutExpired: p.kill(); p.wait()

@contextmanager
def page_of(browser, size=DESK, scheme='light'):
    "A page that remembers what it asked for and what went wrong in it."
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.asked, page.errors = [], []
    page.on('request', lambda r: page.asked.append(r.url)); page.on('pageerror', lambda e: page.errors.append(str(e)))
    try: yield page
    finally: context.close()

def outside(page) -> list[str]: # requests that left this machine
    return [u for u in page.asked if not re.match(r'(http|ws)://127\.0\.0\.1:|data:|blob:|about:', u)]

def shot(page, name:str, full=False):
    "Keep a picture; `full` makes the window tall first, since voila scrolls inside it."
    if not os.environ.get('SMFNET_SHOTS'): return
    size = page.viewport_size
    if full: page.set_viewport_size({**size, 'height': 3200}); page.wait_for_timeout(500)
    page.screenshot(path=f"{os.environ['SMFNET_SHOTS']}/{name}.png")
    page.set_viewport_size(size)

@pytest.fixture(scope='module')
def browser():
    with api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield b
        b.close()

def divider_and_zoom(page, two):
    "Move the divider by pointer and keyboard, magnify, choose another image: all in the page, without a kernel."
    window = two.locator('.smf-window')
    value = lambda name: window.evaluate(f'o => o.style.getPropertyValue("--{name}")')
    window.scroll_into_view_if_needed()
    box = window.bounding_box()
    page.mouse.move(box['x'] + .25*box['width'], box['y'] + .5*box['height'])
    assert abs(float(value('part')[:-1]) - 25) < 2 and value('x') == value('part')
    two.get_by_label('divider').focus(); page.keyboard.press('End')
    assert value('part') == '100%'
    two.get_by_label('zoom').focus(); page.keyboard.press('End')
    assert value('zoom') == '8' and two.locator('[data-name="fused"] img').evaluate('o => getComputedStyle(o).transform').startswith('matrix(8')
    page.keyboard.press('Home')
    two.get_by_label('left').select_option('infrared')
    assert two.locator('[data-smf=a]').inner_text() == 'infrared'
    assert two.locator('.smf-window > div[data-name]').evaluate_all('o => o.filter(d => d.style.visibility != "hidden").map(d => d.dataset.name)') == ['infrared', 'fused']

# --- voila

def until(page, what, seconds=120):
    "Wait until `what()` holds, giving the page its turn."
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, 'waited in vain'
        page.wait_for_timeout(200)

def press(page, symbol:str, key:str, times=1):
    "Move the slider called `symbol` by the keyboard."
    handle = page.locator('.widget-slider', has=page.locator('.widget-label', has_text=re.compile(f'^{symbol}$'))).locator('.noUi-handle')
    handle.wait_for()                                # those of the other stage are hidden
    handle.focus()
    for _ in range(times): page.keyboard.press(key)

def source(page, name:str) -> str:
    "What a picture shows: the bytes behind its address."
    return page.locator(f'img.{name}').evaluate("async o => { const b = new Uint8Array(await (await fetch(o.src)).arrayBuffer()); let h = 0; for (const x of b) h = (31*h + x) | 0; return b.length + ':' + h }")

def arrows(page): return page.locator('.smf-pull').evaluate_all('o => o.map(l => l.getAttribute("stroke-width"))')

def bars(page): return page.locator('.smf-block').evaluate_all('o => o.map(b => b.style.width)')

@pytest.fixture(scope='module')
def voila(browser, tmp_path_factory):
    "The notebook as an app, loaded once; the tests below go on from each other's state."
    where = tmp_path_factory.mktemp('voila')
    papermill = pytest.importorskip('papermill')     # a run that outlasts a slow machine
    papermill.execute_notebook(ROOT/'nbs/loss_weights.ipynb', where/'app.ipynb', dict(seconds=900), prepare_only=True)
    with server(BIN/'voila', where/'app.ipynb', '--template=smfnet', '--no-browser', '--port={port}', '--Voila.ip=127.0.0.1', cwd=where) as url, page_of(browser) as page:
        page.goto(url)
        page.locator('img.smf-channels').wait_for()
        page.wait_for_timeout(1000)
        yield page

def test_voila_shows_every_panel_and_asks_nobody_else(voila):
    for name in ('smf-pair', 'smf-gradient', 'smf-wish', 'smf-channel', 'smf-channels'): assert voila.locator(f'img.{name}').evaluate('o => o.naturalWidth') > 100, name
    assert 'α₄ = 10' in voila.content() and voila.locator('.widget-slider').count() >= 9
    shot(voila, 'voila', full=True)
    assert outside(voila) == [] and voila.errors == []

def test_voila_slider_moves_bars_arrows_and_picture(voila):
    before, image, wish = bars(voila), source(voila, 'smf-gradient'), source(voila, 'smf-wish')
    press(voila, 'α₅', 'ArrowRight', 8)
    until(voila, lambda: 'α₅ = 6' in voila.content())
    until(voila, lambda: bars(voila) != before and source(voila, 'smf-gradient') != image and source(voila, 'smf-wish') != wish)
    image, thick = source(voila, 'smf-gradient'), arrows(voila)
    press(voila, 'α₄', 'End')
    until(voila, lambda: 'α₄ = 20' in voila.content())
    until(voila, lambda: arrows(voila) != thick)
    assert source(voila, 'smf-gradient') == image
    shot(voila, 'voila-alpha4', full=True)
    voila.get_by_role('button', name='stage I: reconstruct').click()
    press(voila, 'β₁', 'Home')
    until(voila, lambda: 'β₁ = 0' in voila.content() and 'Lovász' in voila.content())
    shot(voila, 'voila-stage1')
    voila.get_by_role('button', name="Reset to the paper's values").click()
    voila.get_by_role('button', name='stage II: fuse').click()
    until(voila, lambda: bars(voila) == before)

def test_voila_sliders_and_what_they_move_stand_in_one_window(voila):
    voila.set_viewport_size(dict(width=1280, height=900))
    voila.wait_for_timeout(800)
    box = [voila.locator(o).first.bounding_box() for o in ('button:has-text("stage II: fuse")', '.smf-block', '.smf-pull', 'img.smf-gradient')]
    assert max(b['y']+b['height'] for b in box) - min(b['y'] for b in box) < 900
    assert [o for o in ('α₄', 'α₅', 'δ') if not voila.locator('.widget-label', has_text=re.compile(f'^{o}$')).is_visible()] == []
    assert not voila.locator('.widget-label', has_text=re.compile('^β₁$')).is_visible() and 'details and graphs apart, bases alike' in voila.content()
    voila.set_viewport_size(DESK)

def test_voila_fine_tuning_grows_is_free_and_stops(voila):
    step = lambda: int((re.search(r'step (\d+): total', voila.content()) or (0,0))[1])
    voila.get_by_role('button', name='Fine-tune for 900 s').click()
    until(voila, lambda: step() >= 2)
    curve, image, n = source(voila, 'smf-curve'), source(voila, 'smf-tuned'), step()
    before = bars(voila)
    press(voila, 'α₅', 'ArrowRight', 2)               # the kernel answers while the thread works
    until(voila, lambda: bars(voila) != before)
    until(voila, lambda: step() >= n+3 and source(voila, 'smf-curve') != curve and source(voila, 'smf-tuned') != image, 240)
    shot(voila, 'voila-tuning', full=True)
    voila.get_by_role('button', name='Stop').click()
    until(voila, lambda: 'stopped after' in voila.content())
    assert re.search(r'before → now: base [+-]0\.\d\d → [+-]0\.\d\d, detail', voila.content())
    assert voila.get_by_role('button', name='Fine-tune for 900 s').is_enabled()

def test_voila_fuses_an_uploaded_pair(voila, tmp_path):
    from smfnet.data.images import write_image
    from smfnet.data.scenes.render import render_scene
    s = render_scene(5, size=(96,128))
    files = [write_image(tmp_path/f'mine_{m}.png', getattr(s, m)) for m in ('ir','vi')]
    voila.locator('select').first.select_option('two files of yours')
    for k,f in enumerate(files):
        with voila.expect_file_chooser() as chooser: voila.locator('.jupyter-widget-upload, .widget-upload').nth(k).click()
        chooser.value.set_files(f)
    until(voila, lambda: 'mine_vi: 128×96 px' in voila.content())
    two = voila.locator('.smf-two')
    assert two.locator('img').count() == 2
    voila.get_by_role('button', name='Fuse this pair').click()
    until(voila, lambda: 'Qabf' in voila.content() and two.locator('img').count() == 4)
    divider_and_zoom(voila, two)
    channel = source(voila, 'smf-channel')
    press(voila, 'channel', 'ArrowRight', 3)
    until(voila, lambda: 'channel 3 of base' in voila.content() and source(voila, 'smf-channel') != channel)
    shot(voila, 'voila-upload', full=True)
    assert outside(voila) == []

def test_voila_on_a_phone(voila):
    voila.set_viewport_size(PHONE)
    voila.wait_for_timeout(800)
    shot(voila, 'voila-phone', full=True)
    assert voila.evaluate('document.documentElement.scrollWidth') <= PHONE['width'] + 20
    voila.set_viewport_size(DESK)

# --- the companion: Try it and the sliders as tabs of one server

@pytest.fixture(scope='module')
def companion(tmp_path_factory):
    "What `make companion` serves, with a site of two pages beside it."
    where = tmp_path_factory.mktemp('companion')
    (where/'nbs').mkdir()
    for n in ('try_it', 'loss_weights'): shutil.copy(ROOT/f'nbs/{n}.ipynb', where/'nbs')
    for n in ('index', 'nbs/paper/07_stage_one', 'nbs/tools/fuse_command'):
        (where/f'docs/_build/html/{n}.html').parent.mkdir(parents=True, exist_ok=True)
        (where/f'docs/_build/html/{n}.html').write_text(f'<h1>{n}</h1>')
    options = re.findall(r"--[\w.]+=(?:'[^']*'|\S+)", (ROOT/'Makefile').read_text().split('companion: ', 1)[1].split('\nclean:')[0])
    assert len(options) == 4
    with server(BIN/'voila', '.', '--no-browser', '--port={port}', '--Voila.ip=127.0.0.1', *(o.replace("'", '') for o in options), cwd=where) as url: yield url

@pytest.fixture
def tried(browser, companion):
    "The first tab."
    with page_of(browser) as page:
        page.goto(companion)
        page.wait_for_url('**/voila/render/nbs/try_it.ipynb')
        page.locator('.smf-two').wait_for()
        page.locator('.smf-tabs').wait_for()
        yield page

def test_companion_opens_with_try_it(tried):
    assert tried.locator('.smf-tabs a').evaluate_all('o => o.map(a => [a.textContent, a.getAttribute("aria-current")])') == [['Try it', 'page'], ['Loss weights', None], ['The site', None]]
    assert 'fused by fast' in tried.content()
    divider_and_zoom(tried, tried.locator('.smf-two'))
    shot(tried, 'try-it')
    assert outside(tried) == [] and tried.errors == []

def test_two_files_dropped_at_once_are_fused_and_downloaded(tried, tmp_path):
    from base64 import b64encode
    from smfnet.data.examples import example_files
    f = example_files('camp')
    files = [[p.name, b64encode(p.read_bytes()).decode()] for p in (f.vi, f.ir)]
    began = time.monotonic()
    tried.locator('[ondrop]').evaluate("""(o, files) => {
      const d = new DataTransfer();
      for (const [name, b] of files) d.items.add(new File([Uint8Array.from(atob(b), c => c.charCodeAt(0))], name, {type: 'image/png'}));
      o.dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true}));
    }""", files)
    until(tried, lambda: 'camp_vi: ' in tried.content(), 60)
    print(f'dropped to shown: {time.monotonic()-began:.1f} s')
    with tried.expect_download() as d: tried.get_by_text('Download the fused image').click()
    assert d.value.suggested_filename == 'camp_vi_fused.png'
    d.value.save_as(tmp_path/'x.png')
    from smfnet.data.images import read_image
    assert read_image(tmp_path/'x.png').shape == read_image(f.vi).shape
    shot(tried, 'try-it-camp')

def test_a_bad_file_is_told_in_one_sentence(tried, tmp_path):
    (tmp_path/'holiday.png').write_bytes(b'no image')
    from smfnet.data.examples import example_files
    for i,p in enumerate((tmp_path/'holiday.png', example_files().vi)):
        with tried.expect_file_chooser() as chooser: tried.locator('.smf-upload').nth(i).click()
        chooser.value.set_files(p)
        until(tried, lambda: ('Now the visible' if i == 0 else 'holiday.png is not an image') in tried.content(), 60)
        assert tried.locator('.smf-two').count() == 0, 'the old pair would be taken for the new one'

def test_links_lead_to_the_site(browser, companion, tried):
    link = tried.get_by_role('link', name='the command')
    until(tried, lambda: 'docs/_build/html' in link.get_attribute('href'), 20)
    with tried.context.expect_page() as opened: link.click()
    opened.value.get_by_text('nbs/tools/fuse_command').wait_for()
    assert tried.request.get(companion + '/voila/files/nbs/try_it.ipynb').status == 403

def test_kernels_end_with_their_page(browser, companion):
    with page_of(browser) as page:
        page.goto(companion + '/voila/render/nbs/try_it.ipynb') # straight there: the cookie that lets the kernel end is asked for by the page itself
        page.locator('.smf-two').wait_for()
        kernel = page.evaluate("JSON.parse(document.querySelector('#jupyter-config-data').textContent).kernelId")
        alive = lambda: page.request.get(f'{companion}/api/kernels/{kernel}').status
        assert alive() == 200
        page.goto('about:blank')
        until(page, lambda: alive() == 404, 60)

@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_try_it_on_a_phone(browser, companion, scheme):
    with page_of(browser, PHONE, scheme) as page:
        page.goto(companion)
        page.locator('.smf-two').wait_for()
        page.wait_for_timeout(500)
        ground = page.locator('.smf-tabs').evaluate("o => { let p = o, c; do { c = getComputedStyle(p).backgroundColor; p = p.parentElement; } while (c === 'rgba(0, 0, 0, 0)' && p); return c; }")
        assert (max(map(int, re.findall(r'\d+', ground)[:3])) < 90) == (scheme == 'dark'), ground
        assert page.evaluate('document.documentElement.scrollWidth') <= PHONE['width'] + 1
        assert page.locator('.smf-window').bounding_box()['width'] > 300
        shot(page, f'try-it-phone-{scheme}', full=True)

# --- JupyterLab

@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    "JupyterLab over a copy, so that nothing in the repository is saved over."
    where = tmp_path_factory.mktemp('lab')
    (where/'nbs/tools').mkdir(parents=True)
    shutil.copy(ROOT/'settings.ini', where)
    for n in ('tools/files', 'loss_weights'): shutil.copy(ROOT/f'nbs/{n}.ipynb', where/f'nbs/{n}.ipynb')
    with server(BIN/'jupyter', 'lab', '--no-browser', '--port={port}', '--ip=127.0.0.1', '--allow-root', '--IdentityProvider.token=', '--LabApp.news_url=', '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate', cwd=where) as url: yield url

@pytest.mark.parametrize('name', ['tools/files', 'loss_weights'])
def test_jupyterlab_runs_all_cells(browser, lab, name):
    with page_of(browser) as page:
        page.goto(f'{lab}/lab/tree/nbs/{name}.ipynb')
        idle = page.get_by_text(re.compile(r'\(ipykernel\) \| Idle')).first
        idle.wait_for()
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.get_by_text('Run All Cells', exact=True).click()
        if name == 'loss_weights': page.locator('img.smf-channels').wait_for()
        page.wait_for_timeout(2500)
        idle.wait_for()
        until(page, lambda: page.locator('.jp-InputPrompt', has_text='[*]').count() == 0)
        assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]', has_text='Error').count() == 0
        assert page.locator('.jp-RenderedText', has_text='Traceback').count() == 0
        if name == 'loss_weights':
            before = bars(page)
            press(page, 'α₅', 'ArrowRight', 4)
            until(page, lambda: bars(page) != before)
        shot(page, f"lab-{name.replace('/', '-')}")
        assert outside(page) == []

# --- the site

def settle(page):
    "Loaded, and as many equations drawn as the page holds."
    page.wait_for_load_state('load')
    until(page, lambda: page.locator('mjx-container').count() >= page.locator('.math').count())

@pytest.fixture(scope='module')
def served(site):
    "The built site, on a port of this machine."
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site))
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{s.server_port}'
    s.shutdown()

def test_site_equations_links_and_no_requests(browser, served):
    with page_of(browser) as page:
        page.goto(f'{served}/index.html'); settle(page)
        shot(page, 'site-index')
        page.goto(f'{served}/equations.html')
        page.locator('a[href$="08_stage_two.html#eq-28"]').first.click()
        settle(page)
        assert page.url.endswith('nbs/paper/08_stage_two.html#eq-28')
        assert page.locator('mjx-container[display="true"]').count() >= 3 and page.locator('mjx-merror, [data-mjx-error]').count() == 0
        assert abs(page.locator('#eq-28').bounding_box()['y']) < 400
        shot(page, 'site-losses')
        page.goto(f'{served}/nbs/evidence/ledger.html'); settle(page)
        page.locator('article a[href$="03_detail.html#eq-3"]').first.click()
        page.wait_for_url('**/paper/03_detail.html*')
        shot(page, 'site-detail')
        for n in ('nbs/paper/03_detail', 'nbs/tools/probe', 'api/losses.stage_one', 'results', 'start'):
            page.goto(f'{served}/{n}.html'); settle(page)
            assert page.locator('[data-mjx-error]').count() == 0
            shot(page, f"site-{n.replace('/', '-')}")
        page.goto(f'{served}/search.html?q=lovasz'); settle(page)
        page.goto(f'{served}/search.html?q=graph'); page.locator('#search-results li a').first.wait_for()
        shot(page, 'site-search')
        assert outside(page) == [] and page.errors == []

NO_FONT_LIBRARY = 'o => getComputedStyle(o, "::before").maskImage'
LEFT_AND_RIGHT = """() => {
  const page = document.documentElement.clientWidth, bad = [];
  let n = 0;
  for (const c of document.querySelectorAll('mjx-container[display="true"]')) {
    n++;
    const box = c.closest('.math').getBoundingClientRect(); // what the page shows of it, before anybody scrolls
    let scroller = c, left = 1e9, right = -1e9;
    while (scroller !== document.body && !/auto|scroll/.test(getComputedStyle(scroller).overflowX)) scroller = scroller.parentElement;
    for (const g of c.querySelectorAll('use, rect, path:not(defs path)')) {
      const b = g.getBoundingClientRect();
      if (b.width > 0) { left = Math.min(left, b.left); right = Math.max(right, b.right); }
    }
    const end = scroller.getBoundingClientRect().left + scroller.scrollWidth;
    if (left < box.left - 1 || right > end + 2 || box.left < -1 || box.right > page + 1) bad.push([c.closest('section')?.id, left, right, box.left, end]);
  }
  return [n, bad];
}"""

def pages_of(site, holds=''):
    "Addresses of the pages whose text holds something."
    return sorted(p.relative_to(site).as_posix() for p in site.rglob('*.html') if '_static' not in p.parts and holds in p.read_text(encoding='utf-8'))

def test_every_page_fits_a_phone(browser, served, site):
    with page_of(browser, PHONE) as page:
        wide = []
        for n in pages_of(site):
            page.goto(f'{served}/{n}')
            if (w := page.evaluate('document.documentElement.scrollWidth')) > PHONE['width'] + 1: wide.append((n, w))
        assert wide == []

def test_no_equation_loses_a_side_on_a_phone(browser, served, site):
    with page_of(browser, PHONE) as page:
        seen, bad = 0, []
        for n in pages_of(site, 'class="math notranslate'):
            page.goto(f'{served}/{n}'); settle(page)
            k, lost = page.evaluate(LEFT_AND_RIGHT)
            seen += k; bad += [(n, *o) for o in lost]
        assert seen >= 30 and bad == []
        page.goto(f'{served}/nbs/paper/07_stage_one.html'); settle(page)
        page.add_style_tag(content='mjx-container[display="true"] { min-width: 500px !important; } div.math { display: flex; justify-content: center; overflow: hidden !important; }')
        assert page.evaluate(LEFT_AND_RIGHT)[1] != [], 'the check would not see a lost side'

def test_site_on_a_phone(browser, served):
    for scheme in ('light', 'dark'):
        with page_of(browser, PHONE, scheme) as page:
            for n in ('index', 'nbs/paper/07_stage_one', 'results', 'api/losses.stage_one', 'nbs/evidence/ledger', 'nbs/loss_weights', 'guides/train_yours', 'nbs/fuse'):
                page.goto(f'{served}/{n}.html'); settle(page)
                assert page.evaluate('document.documentElement.scrollWidth') <= PHONE['width'] + 1, n
                assert float(page.locator('article p').first.evaluate('o => parseFloat(getComputedStyle(o).fontSize)')) >= 14
                shot(page, f"phone-{scheme}-{n.replace('/', '-')}")
            assert outside(page) == []

def test_dark_pages_leave_pictures_as_they_are(browser, served):
    with page_of(browser, DESK, 'dark') as page:
        for n in ('index', 'nbs/paper/07_stage_one', 'results', 'nbs/fuse', 'start'):
            page.goto(f'{served}/{n}.html'); settle(page)
            assert page.locator('html').get_attribute('data-theme') == 'dark'
            assert set(page.locator('article img').evaluate_all('o => o.map(i => getComputedStyle(i).filter)')) <= {'none'}, n
            shot(page, f"dark-{n.replace('/', '-')}")

def test_first_page_compares_pictures_under_the_pointer(browser, served):
    with page_of(browser) as page:
        page.goto(f'{served}/index.html'); settle(page)
        frame = page.locator('.smf-frame')
        part = lambda: float(frame.evaluate('o => parseFloat(getComputedStyle(o).getPropertyValue("--part"))'))
        frame.scroll_into_view_if_needed()
        box = frame.bounding_box()
        for share in (.2, .8):
            page.mouse.move(box['x'] + share*box['width'], box['y'] + 50)
            assert abs(part() - 100*share) < 2
        page.locator('.smf-compare input').focus(); page.keyboard.press('Home')
        assert part() == 0
        page.get_by_role('button', name='infrared').click(); page.get_by_role('button', name='camp').click()
        under, over = frame.locator('img').evaluate_all('o => o.map(i => [i.getAttribute("src"), i.alt])')
        assert under[0] == 'front/camp-ir.webp' and over[0] == 'front/camp-fused.webp' and under[1].startswith('Infrared image: ')
        until(page, lambda: frame.locator('img').evaluate_all('o => o.every(i => i.naturalWidth > 300)'))
        shot(page, 'site-index-camp')

def test_code_is_copied_by_a_button(browser, served):
    with page_of(browser) as page:
        page.context.grant_permissions(['clipboard-read', 'clipboard-write'])
        page.goto(f'{served}/index.html'); settle(page)
        page.locator('.smf-copy').first.click()
        page.get_by_text('copied').wait_for()
        lines = page.evaluate('navigator.clipboard.readText()').splitlines()
        assert lines[0].startswith('git clone ') and lines[1:] == ['make demo', 'make demo IR=my_ir.png VI=my_vi.png']

def test_checks_are_folded_and_icons_are_drawn(browser, served):
    with page_of(browser) as page:
        page.goto(f'{served}/nbs/paper/07_stage_one.html'); settle(page)
        assert page.locator('details:not([open])', has_text='Check').count() >= 3
        assert 'svg' in page.locator('.fa-magnifying-glass').first.evaluate(NO_FONT_LIBRARY)

@pytest.mark.parametrize('words, wanted', [('install', 'fuse_yours'), ('how to fuse', 'fuse_yours'), ('train on my own data', 'train_yours')])
def test_search_answers_with_the_page_a_person_wants(browser, served, words, wanted):
    with page_of(browser) as page:
        page.goto(f"{served}/search.html?q={words.replace(' ', '+')}")
        first = page.locator('#search-results li a').first
        first.wait_for()
        until(page, lambda: wanted in first.get_attribute('href'), 20)
