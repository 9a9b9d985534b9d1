"How pages are made from notebooks, modules and tables: docs/build.py, piece by piece."
import re
import pytest
from smfnet.core.files import project_root

ROOT = project_root()

def test_tables_of_images_are_shown_as_means(build, tmp_path):
    (tmp_path/'a.csv').write_text('row,commit,seed,name,EN,SD\nx,3a32bb6+,0,p1,1.000000,2.5\nx,3a32bb6+,0,p2,2.000000,3.5\ny,75a20de,0,p1,4.000000,8\n')
    assert build.csv_table(tmp_path/'a.csv') == 'In all rows seed: 0.\n\n| row | EN | SD |\n| --- | --- | --- |\n| x | 1.5000 | 3.0000 |\n| y | 4.0000 | 8.0000 |'
    (tmp_path/'b.csv').write_text('task,n,IoU\na,263.000000,0.902715\n')
    assert build.csv_table(tmp_path/'b.csv').splitlines()[-1] == '| a | 263 | 0.9027 |'

def test_values_of_constants_are_cut_between_words(build):
    assert build.brief('x', 9) == "'x'" and build.brief(dict(a='one two three'), 12).endswith(' …')
    lines = build.entry('m.X', {'small': 1, 'large': 'a '*300}, 2)
    assert '- `small`: `1`' in lines and all(len(l) < 300 for l in lines) and not any('<details>' in l for l in lines)
    assert any('<details>' in l for l in build.entry('m.X', {str(i): i for i in range(9)}, 2))

def test_of_a_configuration_only_what_is_changed_is_shown(build):
    import dataclasses
    @dataclasses.dataclass(frozen=True)
    class C:
        a:int = 1
        b:str = 'x'
    assert build.short_repr(C(b='y')) == "C(b='y')" and build.short_repr(C()) == 'C()' and build.short_repr(list(range(9))).startswith('9 values')

def test_entries_have_a_signature_and_a_link_to_their_source(build):
    def f(x, y=2, *rest, key=None, **more): "Do."
    lines = build.entry('m.f', f, 2, 'page.ipynb')
    assert '`f(x, y=2, *rest, key=None, **more)` [source](page.ipynb#def-f)' in lines
    def g(x, *, k=1): pass
    assert build.signature('g', g) == 'g(x, *, k=1)'

def test_checks_are_folded_and_pictures_have_a_text(build):
    for source,yes in (('test_eq(a, 1)', True), ('x = 1\nassert x', True), ("with expect_fail(ValueError): f()", True), ('for i in x: test_eq(i, 1)', True),
                       ('test_eq(a, 1)\na', False), ('a = 1', False), ('%matplotlib inline', False), ('', False)): assert build.is_check(source) == yes, source
    picture = dict(output_type='display_data', metadata={}, data={'image/png': 'x'})
    cell = lambda s, o=(): dict(cell_type='code', id='a', metadata={}, source=s, outputs=list(o))
    got = build.reader_cells([dict(cell_type='markdown', metadata={}, source='# T\n\nLeft: [the *source*](x.ipynb). $a$ right.'), cell('show()', [picture]), cell('test_eq(1, 1)'), cell('#| export\ntest_x = 1')])
    assert got[1]['metadata']['mystnb']['image']['alt'] == 'Left: the source. a right.'
    assert 'hide-cell' in got[2]['metadata']['tags'] and got[3]['source'] == '<a id="def-test_x"></a>' and got[4]['metadata']['tags'] == ['export']

def test_names_that_a_cell_defines(build):
    assert build.defined('A, b = 1, 2\n_c = 3\nD:int = 4\ndef f(): pass\nclass G: pass') == ['A', 'b', 'D', 'f', 'G']

def test_a_second_build_touches_what_has_changed_alone(build, tmp_path):
    for n,t in (('a', '1'), ('b', '1')): (tmp_path/'old').mkdir(exist_ok=True); (tmp_path/f'old/{n}').write_text(t)
    before = (tmp_path/'old/a').stat().st_mtime_ns
    (tmp_path/'new/c').mkdir(parents=True); (tmp_path/'new/a').write_text('1'); (tmp_path/'new/c/d').write_text('2')
    build.sync(tmp_path/'new', tmp_path/'old')
    assert (tmp_path/'old/a').stat().st_mtime_ns == before and not (tmp_path/'old/b').exists() and (tmp_path/'old/c/d').read_text() == '2'

def test_outputs_of_a_record_stand_under_the_cells_that_made_them(build):
    code = lambda s, o=(), tags=(): dict(cell_type='code', id='a', metadata=dict(tags=list(tags)), source=s, outputs=list(o))
    record = [code('x:int = 1', tags=['parameters']), code('# Parameters\nx = 2\n', tags=['injected-parameters']), code('x', ['out']), code('old', ['gone'])]
    got = build.with_record([code('x:int = 1', tags=['parameters']), code('x'), code('new')], record)
    assert [c['source'] for c in got][2:] == ['x = 2', 'x', 'new'] and got[3]['outputs'] == ['out'] and got[4]['outputs'] == []

def test_the_page_of_each_stage_shows_its_own_parameters_once(build, tmp_path):
    import json
    build.write_notebook(ROOT/'nbs/train.ipynb', tmp_path)
    for n,other in (('train', 'stage = 2'), ('train_stage_2', 'stage = 1')):
        given = [''.join(c['source']) for c in json.loads((tmp_path/f'{n}.ipynb').read_text())['cells'] if c.get('id') == 'given']
        assert len(given) == 1 and other not in given[0], n

def test_code_of_pages_of_widgets_is_folded(build, tmp_path):
    import json
    for n in build.WIDGETS:
        build.write_notebook(ROOT/f'nbs/{n}.ipynb', tmp_path)
        cells = [c for c in json.loads((tmp_path/f'{n}.ipynb').read_text())['cells'] if c['cell_type'] == 'code']
        assert all('hide-input' in c['metadata']['tags'] for c in cells) and sum(len(c['outputs']) for c in cells) >= 3, n

def test_verdicts_count_what_the_tables_say(build, tmp_path):
    from smfnet.scoring.tables import published
    paper = {r['column']: r['value'] for r in published(1) if (r['method'], r['dataset']) == ('SMFNet', 'TNO')}
    (tmp_path/'images').mkdir()
    (tmp_path/'ivf.csv').write_text('method,dataset\nSMFNet,TNO/test\n')
    rows = [f"p{i},{paper['EN']+1+i},{.97*paper['SD']},{.5*paper['SF']}" for i in range(2)]
    (tmp_path/'images/TNO-test-SMFNet-minmax.csv').write_text('\n'.join(['name,EN,SD,SF', *rows]))
    title, text, table = build.verdicts(tmp_path)
    assert title == '### TNO/test' and 'in 1 of 3 metrics (EN); in 1 more they stay within 5 % of it (SD)' in text and '±\u00a00.71' in table

def test_pages_stand_in_reading_order(build):
    names = ['zoo.ipynb', 'train.ipynb', 'fuse.ipynb', 'paper/02_b.ipynb', 'paper/01_a.ipynb', 'tools/late.ipynb', 'tools/early.ipynb', 'tools/loose.ipynb', 'evidence/z.ipynb']
    got = build.parts(names, {'data.early': 'tools/early.ipynb', 'data.late': 'tools/late.ipynb', 'network.x': 'paper/01_a.ipynb'})
    assert got['The book'] == ['paper/01_a.ipynb', 'paper/02_b.ipynb'] and got['Evidence'] == ['evidence/z.ipynb']
    assert got['Tools'] == {'Images and data': ['tools/early.ipynb', 'tools/late.ipynb'], 'More': ['tools/loose.ipynb']}
    assert got['Notebooks to run'] == ['fuse.ipynb', 'train.ipynb', 'zoo.ipynb']

def test_what_is_imported_comes_first(build):
    order = list(build.exported())
    for a,b in (('core.files','data.images'), ('data.images','data.pairs'), ('network.blocks','network.detail'), ('network.model','losses.stage_one'), ('companion.probe','companion.words')):
        assert order.index(a) < order.index(b)

def test_every_room_of_the_package_has_a_title(build): assert {m.split('.')[0] for m in build.exported()} <= set(build.ROOMS)

def test_cells_for_readers(build):
    code = lambda s, outputs=(): dict(cell_type='code', id='a', metadata={}, source=s, outputs=list(outputs))
    md = lambda s: dict(cell_type='markdown', metadata={}, source=s)
    table = dict(output_type='display_data', metadata={}, data={'text/markdown': ['| a |\n', '|---|'], 'text/plain': ['x']})
    noise = dict(output_type='stream', name='stderr', text='warning')
    got = build.reader_cells([code('#| default_exp x'), code('#| hide\nimport a'), code('#| export\ndef f(): pass'), code('f()', [table, noise]),
                              md('[a](#SF:-b) [c](x.ipynb#eq-3)'), md('<a id="eq-1"></a>\n$$x\n\\tag{1}$$\nso $y$')])
    assert [c['source'] for c in got] == ['<a id="def-f"></a>', 'def f(): pass', 'f()', '| a |\n|---|', '[a](#sf-b) [c](x.ipynb#eq-3)', '<a id="eq-1"></a>\n\n$$x\n\\tag{1}$$\n\nso $y$']
    assert build.displays('$$a \\\\ b$$') == '\n\\begin{equation*}\na \\\\ b\n\\end{equation*}\n'
    assert got[1]['metadata'] == {'tags': ['export']} and got[2]['outputs'] == []

def test_links_to_files_outside_the_site_become_text(build):
    assert build.localise('[a](nbs/a.ipynb#x) [LICENSE](LICENSE) [b](c.py) [d](https://x.y)', {'nbs/a.ipynb'}) == '[a](nbs/a.ipynb#x) `LICENSE` b [d](https://x.y)'

def test_start_page_ends_before_the_results(build):
    text = build.start_page()
    assert 'smfnet_fuse' in text and 'results:start' not in text and text.count('\n# ') == 0

def test_gallery_needs_data_and_says_how(build, tmp_path):
    pytest.importorskip('matplotlib')
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

def test_address_is_what_settings_say_or_where_the_clone_came_from(build, tmp_path):
    import subprocess
    git = lambda *a: subprocess.run(['git', '-C', str(tmp_path), *a], check=True, capture_output=True)
    (tmp_path/'settings.ini').write_text('[DEFAULT]\ngit_url =\n')
    git('init')
    assert build.address(tmp_path) == ''                      # no origin
    git('remote', 'add', 'origin', '/some/where/smfnet')
    assert build.address(tmp_path) == ''                      # a folder is nothing to clone for others
    git('remote', 'set-url', 'origin', 'https://me:secret@code.example/a/smfnet.git')
    assert build.address(tmp_path) == 'https://code.example/a/smfnet.git'
    (tmp_path/'settings.ini').write_text('[DEFAULT]\ngit_url = https://code.example/b\n')
    assert build.address(tmp_path) == 'https://code.example/b'
