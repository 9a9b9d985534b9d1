"The documentation: it builds without a warning, every link and anchor arrives, nothing comes from elsewhere, and it shows what it promises."
import importlib, re
from html.parser import HTMLParser
from urllib.parse import unquote
import pytest
from smfnet.core.files import project_root

ROOT = project_root()
pytestmark = pytest.mark.slow

class Page(HTMLParser):
    "Anchors, links and loaded files of one page."
    def __init__(self, text):
        super().__init__(); self.ids, self.links, self.loads, self.text = set(), [], [], text
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ('id','name') if a.get(k)}
        if tag == 'a' and a.get('href'): self.links.append(a['href'])
        self.loads += [a[k] for k in ('src','data') + (('href',) if tag == 'link' else ()) if a.get(k)]

@pytest.fixture(scope='module')
def pages(site): return {p: Page(p.read_text(encoding='utf-8')) for p in site.rglob('*.html') if '_static' not in p.parts}

def plain(page): return re.sub(r'<[^>]+>', '', page.read_text(encoding='utf-8'))

def test_every_notebook_module_and_text_has_a_page(site, build):
    for p in (ROOT/'nbs').rglob('*.ipynb'): assert (site/'nbs'/p.relative_to(ROOT/'nbs').with_suffix('.html')).is_file()
    for m in build.exported(): assert (site/'api'/f'{m}.html').is_file() and (site/'api'/f"{m.split('.')[0]}.html").is_file()
    for n in ('index', 'guides/fuse_yours', 'guides/train_yours', 'start', 'results', 'gallery', 'equations', 'api/smfnet', 'MODEL_CARD', 'CONTRIBUTING', 'CHANGELOG', 'search'): assert (site/f'{n}.html').is_file()

def test_sidebar_has_the_four_parts(pages, site):
    bar = re.findall(r'<p[^>]*class="caption"[^>]*><span class="caption-text">([^<]*)', pages[site/'index.html'].text)
    assert bar == ['Start', 'The book', 'Tools', 'Evidence', 'Notebooks to run', 'Look up']

def test_internal_links_and_anchors_arrive(pages):
    dead, seen = set(), 0
    for f,p in pages.items():
        for l in p.links:
            if re.match(r'\w+:', l): continue
            path,_,frag = l.partition('#')
            target = (f.parent/unquote(path)).resolve() if path else f
            seen += 1
            if not target.exists() or (frag and target in pages and unquote(frag) not in pages[target].ids): dead.add((f.name, l))
    assert seen > 500 and sorted(dead) == []

def test_no_reference_was_left_unresolved(pages):
    assert [(f.name, t) for f,p in pages.items() for t in re.findall(r'(?<!">)<span class="xref myst">([^<]*)', p.text)] == []

def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert [(f.name, l) for f,p in pages.items() for l in p.loads if '//' in l and not l.startswith('data:')] == []
    missing = [(f.name, l) for f,p in pages.items() for l in p.loads if not l.startswith('data:') and not (f.parent/unquote(re.split('[?#]', l)[0])).exists()]
    assert missing == []
    for f in (site/'_static').rglob('*.css'): assert not re.search(r'(@import|url\()\s*["\']?(https?:)?//', f.read_text(encoding='utf-8')), f.name
    assert 'tex-svg.js' in (site/'nbs/paper/07_stage_one.html').read_text()

def test_every_equation_is_displayed_once_and_indexed(site, pages):
    homes = {n: [f.relative_to(site).as_posix() for f,p in pages.items() if f'eq-{n}' in p.ids] for n in range(1, 31)}
    assert all(len(h) == 1 for h in homes.values()), homes
    table = (site/'equations.html').read_text()
    for n,(home,) in homes.items(): assert home.startswith('nbs/paper/') and f'{home}#eq-{n}"' in table
    assert 'api/network.detail.html#network.detail.CrossMDTA' in table
    assert [f.name for f,p in pages.items() if '$<span class="math' in p.text] == [], 'a displayed equation was taken for text'
    assert [f.name for f,p in pages.items() if 'class="eqno"' in p.text] == [], 'a second number'
    assert [f.name for f,p in pages.items() if re.search(r'begin\{split\}(?:(?!end\{split\}).)*\\tag', p.text, re.S)] == []
    assert r'\tag{28}' in (site/homes[28][0]).read_text()

def test_reference_lists_every_symbol_with_its_docments(site, pages, build):
    for m in build.exported():
        ids = pages[site/'api'/f'{m}.html'].ids
        assert [n for n in importlib.import_module(f'smfnet.{m}').__all__ if f'{m}.{n}' not in ids] == []
    text = plain(site/'api/losses.stage_one.html')
    assert 'infrared (b 1 h w)' in text and 'keeps the denominator positive' in text and '1.01' in text

def test_notebooks_show_outputs_and_no_directives(site):
    page = (site/'nbs/paper/07_stage_one.html').read_text()
    assert page.count('<img') >= 3 and 'tag_export' in page
    for f in (site/'nbs').rglob('*.html'): assert not re.search(r'#\|\s*(export|hide|default_exp)', plain(f)), f.name

def test_results_are_those_of_the_files(site):
    head,first = (l.split(',') for l in (ROOT/'results/ivf.csv').read_text().splitlines()[:2])
    row, text = dict(zip(head, first)), plain(site/'results.html')
    assert row['dataset'] in text and f"{float(row['EN']):.4f}" in text and 'published' in text

def test_first_page_says_what_it_is_for_and_is_light(site, pages):
    text = (site/'index.html').read_text()
    assert 'Image fusion' in text and 'make demo IR=my_ir.png' in plain(site/'index.html') and all(f'<strong>{w}</strong>' in text for w in ('Student', 'Researcher', 'Engineer', 'Author'))
    assert re.search(r'<meta[^>]*name="description"[^>]*content="[^"]{60,}"|<meta[^>]*content="[^"]{60,}"[^>]*name="description"', text) and 'favicon.svg' in text
    loaded = {(site/unquote(re.split('[?#]', l)[0])).resolve() for l in pages[site/'index.html'].loads if not l.startswith('data:') and '.html' not in l} # pages are linked, not loaded
    weight = (site/'index.html').stat().st_size + sum(p.stat().st_size for p in loaded if p.is_file())
    assert weight < 600_000, weight

def test_results_lead_with_verdicts_and_fold_raw_rows(site):
    text = (site/'results.html').read_text().split('<article', 1)[1] # the menus fold too
    assert text.count('class="verdict"') >= 3 and text.count('<details') >= 4 and text.index('class="verdict"') < text.index('<details')

def test_reference_has_signatures_and_sources(site):
    text = (site/'api/losses.stage_one.html').read_text()
    assert 'corrcoef(a,' in plain(site/'api/losses.stage_one.html') and 'nbs/paper/07_stage_one.html#def-corrcoef' in text and 'id="def-corrcoef"' in (site/'nbs/paper/07_stage_one.html').read_text()

def test_every_picture_has_a_text(site, pages):
    bare = [(f.relative_to(site).as_posix(), t[:90]) for f,p in pages.items() if f.parts[-2:-1] != ('_static',) for t in re.findall(r'<img\b[^>]*>', re.sub(r'<script.*?</script>', '', p.text, flags=re.S)) if not re.search(r'alt="[^"]{4,}"', t) or re.search(r'alt="[^"]*\.(png|svg)"', t)]
    assert bare == []

def test_search_knows_the_words(site):
    index = (site/'searchindex.js').read_text()
    for word in ('graph', 'smfnet_fus', 'papermil'): assert word in index, word
