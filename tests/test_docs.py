"The documentation: it builds without a warning, every link and anchor arrives, nothing comes from elsewhere, and it shows what it promises."
import importlib, importlib.util, json, re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
import pytest
from site_build import ROOT, built_site, shared_base

pytest.importorskip('myst_nb', reason='the extra [docs] is not installed')
pytest.importorskip('sphinx_book_theme', reason='the extra [docs] is not installed')
spec = importlib.util.spec_from_file_location('docs_build', ROOT/'docs/build.py')
build = importlib.util.module_from_spec(spec); spec.loader.exec_module(build)

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
def site(tmp_path_factory): return built_site(shared_base(tmp_path_factory))

@pytest.fixture(scope='module')
def pages(site): return {p: Page(p.read_text(encoding='utf-8')) for p in site.rglob('*.html') if '_static' not in p.parts}

def test_every_notebook_module_and_text_has_a_page(site):
    for p in (ROOT/'nbs').glob('*.ipynb'): assert (site/'nbs'/f'{p.stem}.html').is_file()
    for m in build.exported(): assert (site/'api'/f'{m}.html').is_file()
    for n in ('index', 'start', 'results', 'gallery', 'equations', 'MODEL_CARD', 'CONTRIBUTING', 'CHANGELOG', 'search'): assert (site/f'{n}.html').is_file()

def test_internal_links_and_anchors_arrive(pages):
    dead, seen = [], 0
    for f,p in pages.items():
        for l in p.links:
            if re.match(r'\w+:', l): continue
            path,_,frag = l.partition('#')
            target = (f.parent/unquote(path)).resolve() if path else f
            seen += 1
            if not target.exists() or (frag and target in pages and unquote(frag) not in pages[target].ids): dead.append((f.name, l))
    assert seen > 500 and dead == []

def test_no_reference_was_left_unresolved(pages):
    assert [(f.name, t) for f,p in pages.items() for t in re.findall(r'(?<!">)<span class="xref myst">([^<]*)', p.text)] == []

def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert [(f.name, l) for f,p in pages.items() for l in p.loads if '//' in l] == []
    missing = [(f.name, l) for f,p in pages.items() for l in p.loads if not l.startswith('data:') and not (f.parent/unquote(re.split('[?#]', l)[0])).exists()]
    assert missing == []
    for f in (site/'_static').rglob('*.css'): assert not re.search(r'(@import|url\()\s*["\']?(https?:)?//', f.read_text(encoding='utf-8')), f.name
    assert 'tex-svg.js' in (site/'nbs/09_losses.html').read_text()

def test_every_equation_is_displayed_once_and_indexed(site, pages):
    homes = {n: [f.name for f,p in pages.items() if f'eq-{n}' in p.ids] for n in range(1, 31)}
    assert all(len(h) == 1 for h in homes.values()), homes
    table = (site/'equations.html').read_text()
    for n,(home,) in homes.items(): assert f'nbs/{home}#eq-{n}"' in table
    assert [f.name for f,p in pages.items() if '$<span class="math' in p.text] == [], 'a displayed equation was taken for text'
    assert [f.name for f,p in pages.items() if 'class="eqno"' in p.text] == [], 'a second number'
    assert [f.name for f,p in pages.items() if re.search(r'begin\{split\}(?:(?!end\{split\}).)*\\tag', p.text, re.S)] == []
    assert r'\tag{28}' in (site/'nbs/09_losses.html').read_text()

def test_reference_lists_every_symbol_with_its_docments(site, pages):
    for m in build.exported():
        ids = pages[site/'api'/f'{m}.html'].ids
        assert [n for n in importlib.import_module(f'smfnet.{m}').__all__ if f'{m}.{n}' not in ids] == []
    text = re.sub(r'<[^>]+>', '', (site/'api/losses.html').read_text())
    assert 'infrared (b 1 h w)' in text and 'keeps the denominator positive' in text and '1.01' in text

def test_notebooks_show_outputs_and_no_directives(site, pages):
    page = (site/'nbs/09_losses.html').read_text()
    assert page.count('<img') >= 5 and 'tag_export' in page
    for f in (site/'nbs').glob('*.html'): assert not re.search(r'#\|\s*(export|hide|default_exp)', re.sub(r'<[^>]+>', '', f.read_text())), f.name

def test_results_are_those_of_the_files(site):
    text = re.sub(r'<[^>]+>', '', (site/'results.html').read_text())
    head,first = (l.split(',') for l in (ROOT/'results/ivf.csv').read_text().splitlines()[:2])
    row = dict(zip(head, first))
    assert row['dataset'] in text and f"{float(row['EN']):.4f}" in text and 'published' in text

def test_tables_of_images_are_shown_as_means(tmp_path):
    (tmp_path/'a.csv').write_text('row,commit,seed,name,EN,SD\nx,3a32bb6+,0,p1,1.000000,2.5\nx,3a32bb6+,0,p2,2.000000,3.5\ny,75a20de,0,p1,4.000000,8\n')
    assert build.csv_table(tmp_path/'a.csv') == 'In all rows seed: 0.\n\n| row | EN | SD |\n| --- | --- | --- |\n| x | 1.5000 | 3.0000 |\n| y | 4.0000 | 8.0000 |'
    (tmp_path/'b.csv').write_text('task,n,IoU\na,263.000000,0.902715\n')
    assert build.csv_table(tmp_path/'b.csv').splitlines()[-1] == '| a | 263 | 0.9027 |'

def test_values_of_constants_are_cut_between_words(tmp_path):
    assert build.brief('x', 9) == "'x'" and build.brief(dict(a='one two three'), 12).endswith(' …')
    lines = build.entry('m.X', {'small': 1, 'large': 'a '*300}, 2)
    assert '- `small`: `1`' in lines and all(len(l) < 300 for l in lines)

def test_search_knows_the_words(site):
    index = (site/'searchindex.js').read_text()
    for word in ('graph', 'smfnet_fus', 'papermil'): assert word in index, word

def test_order_of_unknown_notebooks():
    got = dict(build.parts(['zoo', 'train', 'fuse', '08_streaming', '99_more', '00_core', '14_experiments']))
    assert got['Notebooks to run'] == ['fuse', 'train', 'zoo'] and got['The network'] == ['08_streaming']
    assert got['Companion and ledger'] == ['99_more'] and got['Experiments'] == ['14_experiments'] and got['Ground'] == ['00_core']

def test_cells_for_readers():
    code = lambda s, outputs=(): dict(cell_type='code', id='a', metadata={}, source=s, outputs=list(outputs))
    table = dict(output_type='display_data', metadata={}, data={'text/markdown': ['| a |\n', '|---|'], 'text/plain': ['x']})
    noise = dict(output_type='stream', name='stderr', text='warning')
    got = build.reader_cells([code('#| default_exp x'), code('#| hide\nimport a'), code('#| export\ndef f(): pass'), code('f()', [table, noise]), dict(cell_type='markdown', metadata={}, source='[a](#SF:-b) [c](x.ipynb#eq-3)'), dict(cell_type='markdown', metadata={}, source='<a id="eq-1"></a>\n$$x\n\\tag{1}$$\nso $y$')])
    assert [c['source'] for c in got] == ['def f(): pass', 'f()', '| a |\n|---|', '[a](#sf-b) [c](x.ipynb#eq-3)', '<a id="eq-1"></a>\n\n$$x\n\\tag{1}$$\n\nso $y$']
    assert build.displays('$$a \\\\ b$$') == '\n\\begin{equation*}\na \\\\ b\n\\end{equation*}\n'
    assert got[0]['metadata'] == {'tags': ['export']} and got[1]['outputs'] == []

def test_links_to_files_outside_the_site_become_text():
    assert build.localise('[a](nbs/a.ipynb#x) [LICENSE](LICENSE) [b](c.py) [d](https://x.y)', {'nbs/a.ipynb'}) == '[a](nbs/a.ipynb#x) `LICENSE` b [d](https://x.y)'

def test_gallery_needs_data_and_says_how(tmp_path):
    from smfnet.data.images import write_image
    from smfnet.data.scenes.render import render_scene
    assert 'Set `SMFNET_DATA`' in build.gallery_page(tmp_path, None)
    s = render_scene(3, size=(64,80))
    for m in ('ir','vi'): write_image(tmp_path/'data/TNO/test'/m/'a.png', getattr(s, m))
    page = build.gallery_page(tmp_path, str(tmp_path/'data'), side=48)
    assert '](gallery/TNO-test.png)' in page and (tmp_path/'gallery/TNO-test.png').stat().st_size > 5000 and 'RoadScene' not in page

def test_the_vendored_script_is_named():
    text = (ROOT/'docs/_static/README.md').read_text()
    assert 'Apache License 2.0' in text and re.search(r'MathJax 3\.2\.2', text) and '"3.2.2"' in (ROOT/'docs/_static/tex-svg.js').read_text()
