"""Gather the pages of the site from the notebooks, the package, the results and the README, and build them: `make docs`, or `python docs/build.py [OUT]`.

Nothing here needs the network. Pictures of data sets are made only when SMFNET_DATA is set, and only below OUT."""
import ast, csv, dataclasses, filecmp, html, importlib, inspect, json, os, posixpath, re, shutil, subprocess, sys, tempfile, time
from configparser import ConfigParser
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
RUN_ORDER = ('try_it', 'fuse', 'train', 'evaluate', 'loss_weights', 'medical', 'ablation', 'detection', 'segmentation')
ROOMS = dict(core='Ground', data='Images and data', network='The network, for use', losses='Losses beyond the paper', metrics='Metrics beyond the paper', fusing='Fusing',
             training='Training', scoring='Scoring', studies='Studies', companion='Companion') # folders of the package, in the order of their imports
TITLES = dict(mif='Medical images (Table 4)', ablation='Ablation (Table 5)', detection='Detection (Table 2)', segmentation='Segmentation (Table 3)', tradeoff='Brightness against edges',
              fast_speed='Speed of the small network', fusing='Speed of fusing', kernels='Speed of the kernels', registration='Registration', students='Small networks of other sizes') # of tables in results/
READ = dict(mif='evidence/medical', ablation='evidence/ablation', detection='evidence/machines', segmentation='evidence/machines', tradeoff='evidence/objective', fast_speed='tools/student', fusing='tools/fusing',
            kernels='tools/fast', registration='tools/registration', students='tools/student') # page below nbs/ that tells what came out
WIDGETS = ('try_it', 'loss_weights') # run notebooks whose code is not what a reader came for
GALLERY = ('TNO/test', 'RoadScene/test', 'MSRS/test')

# --- notebooks

def directives(source:str) -> set[str]:
    "Words of the nbdev directives of a cell: {'export'}, {'hide'}, ..."
    return {w for l in source.splitlines() for w in re.findall(r'^#\s*\|\s*(\w+)', l)}

def slugs(text:str) -> str:
    "Links to headings, written as JupyterLab makes them (`#SF:-spatial-frequency`), as this site makes them."
    return re.sub(r'(\]\((?!\w+:)[^)#\s]*#)([^)\s]+)', lambda m: m[1] + re.sub(r'[^\w\-]', '', m[2].lower()), text)

def displays(text:str) -> str:
    """Displayed equations in paragraphs of their own: after an anchor on the line before, MyST would take them for text. Those of several lines
    become an environment, because Sphinx would otherwise wrap them in one that allows no number; one with a star, or it adds a number of its own."""
    def block(m): return f'\n\\begin{{equation*}}\n{m[1].strip()}\n\\end{{equation*}}\n' if '\\\\' in m[1] else f'\n$${m[1]}$$\n'
    return re.sub(r'^\$\$(.+?)\$\$[ \t]*$', block, text, flags=re.S | re.M)

def statements(source:str) -> list:
    "The statements of a cell; none where it is not plain Python."
    try: return ast.parse(source).body
    except SyntaxError: return []

def is_check(source:str) -> bool:
    "Whether a cell ends in an assertion: such cells prove something and show nothing."
    def check(o):
        if isinstance(o, ast.With): return any('expect_fail' in ast.unparse(i) for i in o.items) or check(o.body[-1])
        if isinstance(o, ast.For): return check(o.body[-1])
        return isinstance(o, ast.Assert) or isinstance(o, ast.Expr) and ast.unparse(o).startswith('test_')
    body = statements(source)
    return bool(body) and check(body[-1])

def defined(source:str) -> list[str]:
    "Public names that a cell defines."
    names = []
    for o in statements(source):
        if isinstance(o, (ast.FunctionDef, ast.ClassDef)): names.append(o.name)
        elif isinstance(o, (ast.Assign, ast.AnnAssign)): names += [t.id for target in getattr(o, 'targets', [getattr(o, 'target', o)]) for t in ast.walk(target) if isinstance(t, ast.Name)]
    return [n for n in dict.fromkeys(names) if not n.startswith('_')]

def last_sentences(text:str) -> str:
    "The paragraph that a picture follows, as plain text: what those are told who do not see it."
    text = re.sub(r'\$\$.+?\$\$|<[^>]+>', ' ', text, flags=re.S)
    lines = [b for b in re.split(r'\n\s*\n', text) if b.strip() and not b.lstrip().startswith(('|', '```'))]
    plain = re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', lines[-1]) if lines else ''
    return ' '.join(re.sub(r'[*_`#>$\\"]', '', plain).split())[-300:]

def reader_cells(cells:list[dict]) -> list[dict]:
    """Cells as a reader wants them: no hidden ones, no directives; checks folded; pictures with a text for those who do not see them; a place to
    link to before each symbol; tables that code made become text, so that their links work."""
    out, said = [], ''
    for c in cells:
        source = ''.join(c['source'])
        if c['cell_type'] != 'code': said = last_sentences(source) or said; out.append({**c, 'source': displays(slugs(source))}); continue
        words = directives(source)
        if words & {'hide', 'default_exp'}: continue
        source = '\n'.join(l for l in source.splitlines() if not re.match(r'#\s*\|', l)).strip('\n')
        plain = [o for o in c.get('outputs', []) if o['output_type'] != 'stream' or o.get('name') != 'stderr']
        tables = [''.join(o['data']['text/markdown']) for o in plain if 'text/markdown' in o.get('data', {})]
        rest = [o for o in plain if 'text/markdown' not in o.get('data', {})]
        exported = bool(words & {'export', 'exports'})
        fold = [] if exported or not is_check(source) else ['hide-cell'] if not rest else ['hide-input']
        tags, about = [*c['metadata'].get('tags', []), *(['export'] if exported else []), *fold], {}
        if fold: about |= dict(code_prompt_show='Check', code_prompt_hide='Check')
        if any('image/png' in o.get('data', {}) for o in rest): about['image'] = dict(alt=said or 'figure')
        if exported and (names := defined(source)):
            out.append({'cell_type': 'markdown', 'id': f"{c.get('id', 'c')}-at", 'metadata': {}, 'source': '\n'.join(f'<a id="def-{n}"></a>' for n in names)})
        out.append({**c, 'source': source, 'outputs': rest, 'metadata': (dict(tags=tags) if tags else {}) | (dict(mystnb=about) if about else {})})
        out += [{'cell_type': 'markdown', 'id': f"{c.get('id', 'c')}-{i}", 'metadata': {}, 'source': t} for i,t in enumerate(tables)]
    return out

def with_record(cells:list[dict], record:list[dict]) -> list[dict]:
    """The cells of a run notebook with the outputs of a recorded run, each under the cell that made it; a cell that has changed since stays without. The
    parameters of the run stand where papermill put them."""
    source = lambda c: ''.join(c['source'])
    known = {source(c): c.get('outputs', []) for c in record if c['cell_type'] == 'code'}
    given = next((source(c) for c in record if 'injected-parameters' in c['metadata'].get('tags', [])), '')
    out = []
    for c in cells:
        out.append({**c, 'outputs': known.get(source(c), [])} if c['cell_type'] == 'code' else c)
        if 'parameters' in c['metadata'].get('tags', []) and given:
            said = 'What is shown below is a small run with these parameters:'
            out += [{'cell_type': 'markdown', 'id': 'recorded', 'metadata': {}, 'source': said},
                    {'cell_type': 'code', 'id': 'given', 'execution_count': None, 'metadata': {'tags': ['injected-parameters']}, 'source': '\n'.join(given.splitlines()[1:]), 'outputs': []}]
    return out

def records(name:str) -> dict[str,Path]:
    "Recorded runs of a run notebook: name of the page -> file. docs/record.py makes them."
    found = sorted((DOCS/'records').glob(f'{name}.ipynb')) + sorted((DOCS/'records').glob(f'{name}_stage_*.ipynb'))
    return {p.stem: p for p in found}

def write_notebook(path:Path, out:Path):
    "Copy a notebook into the sources of the site, for readers, at its place below nbs/; a run notebook once for each of its records."
    nb = json.loads(path.read_text(encoding='utf-8'))
    inner, plain = path.relative_to(ROOT/'nbs'), nb['cells']
    for name,record in (records(path.stem) if len(inner.parts) == 1 else {}).items():
        cells = with_record(plain, json.loads(record.read_text(encoding='utf-8'))['cells'])
        if name != path.stem:
            title = {'cell_type': 'markdown', 'id': 'title', 'metadata': {}, 'source': f"# {summary(path)[0]}: {name.removeprefix(path.stem)[1:].replace('_', ' ')}\n> The same notebook, one stage on."}
            first = ''.join(cells[0]['source'])
            cells = [title, {**cells[0], 'source': re.sub(r'^# .*\n', '', first)}, *cells[1:]]
            (out/f'{name}.ipynb').parent.mkdir(parents=True, exist_ok=True)
            (out/f'{name}.ipynb').write_text(json.dumps({**nb, 'cells': reader_cells(cells)}, ensure_ascii=False), encoding='utf-8')
        else: nb['cells'] = cells
    nb['cells'] = reader_cells(nb['cells'])
    for c in nb['cells'] if path.stem in WIDGETS and len(inner.parts) == 1 else ():
        if c['cell_type'] == 'code': c['metadata'] = {**c['metadata'], 'tags': [*c['metadata'].get('tags', []), 'hide-input']}
    target = out/inner
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')

def summary(path:Path) -> tuple[str,str]:
    "Title of a notebook, and the line below it."
    text = '\n'.join(''.join(c['source']) for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'markdown')
    line = re.search(r'^> (.+)$', text, re.M)
    return re.search(r'^# (.+)$', text, re.M)[1], line[1] if line else ''

# --- order

def exported() -> dict[str,str]:
    "Module -> notebook below nbs/ that it comes from; rooms in the order of `ROOMS`, and in a room what is imported before what imports it."
    found, uses = {}, {}
    for f in sorted((ROOT/'smfnet').rglob('*.py')):
        text, parts = f.read_text(encoding='utf-8'), f.relative_to(ROOT/'smfnet').with_suffix('').parts
        if made := re.search(r'File to edit: (?:\.\./)*nbs/(\S+\.ipynb)', text):
            found['.'.join(parts)] = made[1]
            uses['.'.join(parts)] = ['.'.join((*parts[:-len(dots)], name)) for dots,name in re.findall(r'^from (\.+)([\w.]+) import', text, re.M)]
    rooms, out = list(ROOMS), {}
    def add(m):
        if m in out or m not in found: return
        out[m] = None # before the others, so that no circle is followed
        for o in sorted(uses[m]): add(o)
        del out[m]; out[m] = found[m]
    for m in sorted(found): add(m)
    return dict(sorted(out.items(), key=lambda o: rooms.index(o[0].split('.')[0]) if o[0].split('.')[0] in rooms else len(rooms)))

def parts(notebooks:list[str], modules:dict[str,str]) -> dict:
    "Notebooks below nbs/ in reading order: title -> names; of the tools, title -> names of each room, those of no module last."
    below = lambda d: sorted(n for n in notebooks if n.startswith(f'{d}/'))
    place = {n: i for i,n in enumerate(RUN_ORDER)}
    tools, rooms = below('tools'), {}
    for m,n in modules.items():
        if n in tools: rooms.setdefault(ROOMS.get(m.split('.')[0], m.split('.')[0]), []).append(n)
    if rest := [n for n in tools if n not in modules.values()]: rooms['More'] = rest
    run = sorted((n for n in notebooks if '/' not in n), key=lambda n: (place.get(Path(n).stem, len(place)), n))
    return {'The book': below('paper'), 'Tools': rooms, 'Evidence': below('evidence'), 'Notebooks to run': run}

def toctree(caption:str|None, pages:list[str]) -> str:
    "A part of the table of contents."
    return '\n'.join(['```{toctree}', ':hidden:', ':maxdepth: 1', *([f':caption: {caption}'] if caption else []), '', *pages, '```', ''])

def room_page(title:str, notebooks:list[str]) -> str:
    "The tools of one room, each with its line."
    lines = ['- [{}](nbs/{}): {}'.format(summary(ROOT/'nbs'/n)[0], n, summary(ROOT/'nbs'/n)[1]) for n in notebooks]
    return '\n'.join([f'# {title}', '', *lines, '', toctree(None, [f'nbs/{n[:-6]}' for n in notebooks])])

# --- reference

def cell(text) -> str:
    "Text for a cell of a table."
    return ' '.join(str(text or '').split()).replace('|', r'\|')

def short_repr(o) -> str:
    "A value as it is written; of a dataclass only what differs from its defaults."
    if dataclasses.is_dataclass(o) and not inspect.isclass(o):
        differs = [f for f in dataclasses.fields(o) if f.repr and (f.default is dataclasses.MISSING or getattr(o, f.name) != f.default)]
        return f"{type(o).__name__}({', '.join(f'{f.name}={short_repr(getattr(o, f.name))}' for f in differs)})"
    if inspect.isclass(o) or inspect.isroutine(o): return o.__name__
    if isinstance(o, (tuple, list)) and len(o) > 8: return f'{len(o)} values: {short_repr(o[0])}, {short_repr(o[1])}, …'
    return re.sub(r' at 0x[0-9a-f]+', '', repr(o))

def brief(o, n:int=100) -> str:
    "A value on one line, cut where it gets long."
    s = cell(short_repr(o)).replace('`', "'")
    return s if len(s) <= n else s[:n].rsplit(' ', 1)[0] + ' …'

def signature(name:str, f) -> str:
    "How a callable is called; '' if nobody knows. Types stand in the table."
    try: given = inspect.signature(f).parameters.values()
    except (ValueError, TypeError): return ''
    value = lambda o: '' if o is inspect.Parameter.empty else '=' + (s if len(s := brief(o, 40)) <= 40 and '<' not in s else '…')
    out, star = [], False
    for p in given:
        if p.name in ('self', 'cls'): continue
        if p.kind is p.KEYWORD_ONLY and not star: out.append('*'); star = True
        star = star or p.kind is p.VAR_POSITIONAL
        out.append({p.VAR_POSITIONAL: '*', p.VAR_KEYWORD: '**'}.get(p.kind, '') + p.name + value(p.default))
    return f"{name}({', '.join(out)})"

def type_name(o) -> str:
    "A type as it is written."
    if o is inspect.Parameter.empty or o is None: return ''
    return o if isinstance(o, str) else getattr(o, '__name__', str(o)) if inspect.isclass(o) and not getattr(o, '__args__', None) else str(o).replace('typing.', '')

def parameters(f) -> str:
    "The docments of a callable as a table; '' if it has none."
    from fastcore.docments import docments
    try: d = docments(f, full=True, returns=True)
    except (ValueError, TypeError, OSError, SyntaxError): return ''
    rows, empty = [], inspect.Parameter.empty
    for name,o in d.items():
        if name in ('self', 'cls') or (name == 'return' and type_name(o.get('anno')) == '' and not o.get('docment')): continue
        default = o.get('default', empty)
        if isinstance(default, dataclasses.Field) or default is dataclasses.MISSING: default = empty
        code = lambda s: f'`{cell(s)}`' if s else ''
        rows.append(f"| {'*returns*' if name == 'return' else code(name)} | {code(type_name(o.get('anno')))} | {'' if default is empty else code(repr(default)[:60])} | {cell(o.get('docment'))} |")
    return '\n'.join(['| | type | default | |', '|---|---|---|---|', *rows, '']) if rows else ''

def entry(name:str, o, level:int, source:str='') -> list[str]:
    "Heading, signature, one line and table of one symbol, `source` linking to the cell that defines it; the methods of a class below it."
    own = name.split('.')[-1]
    title = f"<a id=\"{name}\"></a>\n\n{'#'*level} `{own}`\n"
    link = f' [source]({source}#def-{own})' if source else ''
    text = '' if dataclasses.is_dataclass(o) and (o.__doc__ or '').startswith(o.__name__ + '(') else inspect.cleandoc(o.__doc__ or '')
    if isinstance(o, dict):
        rows = [f'- `{cell(k)}`: `{brief(v)}`' for k,v in o.items()]
        return [title, f'A table of {len(o)}.{link}', '', *(rows if len(rows) <= 6 else ['<details><summary>its entries</summary>', '', *rows, '', '</details>']), '']
    if not callable(o): return [title, f'`{brief(o)}`{link}', '']
    fields = [f for f in getattr(o, '_fields', ())] if inspect.isclass(o) else []
    call = signature(own, o)
    out = [title, f'{f"`{call}`" if call else ""}{link}', '', text, '', ' · '.join(f'`{f}`' for f in fields) if fields else parameters(o if dataclasses.is_dataclass(o) or not inspect.isclass(o) else o.__init__)]
    if inspect.isclass(o):
        for k,m in vars(o).items():
            m = m.fget if isinstance(m, property) else getattr(m, '__func__', m)
            if not k.startswith('_') and inspect.isfunction(m) and (m.__doc__ or k == 'forward'): out += entry(f'{name}.{k}', m, level+1)
    return out

def relink(text:str, notebook:str) -> str:
    "Links of docstrings are written as their notebook needs them; here they start in api/."
    home = lambda o: f"]({posixpath.normpath(posixpath.join('../nbs', posixpath.dirname(notebook), o[1]))}"
    return re.sub(r'\]\((?!\w+:)([^)#\s]+\.ipynb)', home, text)

def reference(module:str, notebook:str) -> str:
    "Page of one module."
    m = importlib.import_module(f'smfnet.{module}')
    cells = [''.join(c['source']) for c in json.loads((ROOT/'nbs'/notebook).read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    known = {n for s in cells if directives(s) & {'export', 'exports'} for n in defined(s)}
    source = lambda n: Path(notebook).name if n in known else ''
    body = [relink(x, notebook) for n in m.__all__ for x in entry(f'{module}.{n}', getattr(m, n), 2, source(n))]
    title, _ = summary(ROOT/'nbs'/notebook)
    return '\n'.join([f'# smfnet.{module}', '', inspect.cleandoc(m.__doc__ or ''), '', f'Explained in [{title}](../nbs/{notebook}).', '', *body])

def room_reference(room:str, modules:list[str]) -> str:
    "Page of one folder of the package: its modules and what each of them exports."
    lines = []
    for n in modules:
        m = importlib.import_module(f'smfnet.{n}')
        names = ', '.join(f'[`{k}`]({n}.md#{n}.{k})' for k in m.__all__)
        lines += [f'- [{n}]({n}.md): {inspect.cleandoc(m.__doc__ or "")}' + (f' {names}' if names else '')]
    return '\n'.join([f'# smfnet.{room}', '', *lines, '', toctree(None, modules)])

def door_page(modules:dict[str,str]) -> str:
    "Page of the package itself: the names that `import smfnet` gives, linked to where they are explained."
    import smfnet
    def line(n):
        home, o = smfnet._HOME[n], getattr(smfnet, n)
        first = f": {(inspect.getdoc(o) or '').splitlines()[0]}" if callable(o) and inspect.getdoc(o) else ''
        return f'- [`smfnet.{n}`]({home}.md#{home}.{n}){relink(first, modules[home])}'
    return '\n'.join(['# smfnet', '', 'What `import smfnet` gives.', '', *map(line, smfnet.__all__), ''])

# --- pages

def localise(text:str, pages:set[str]) -> str:
    "Links to files that are no pages of the site become plain names."
    def link(m):
        target = m[2].split('#')[0]
        return m[0] if '://' in target or target in pages or target == '' else f'`{m[1]}`' if m[1] == target else m[1]
    return re.sub(r'(?<!!)\[([^\]]+)\]\(([^)]+)\)', link, text)

def start_page() -> str:
    "The README's sections on using it: all before the section with the results."
    text = (ROOT/'README.md').read_text(encoding='utf-8')
    before = text.split('<!-- results:start -->')[0]
    return '# Use it\n\n' + before[before.index('\n## ')+1:before.rindex('\n## ')] + '\n'

def equations_page(modules) -> str:
    "The index, each symbol linked to its place in the reference."
    from smfnet.companion.equations import eq_table
    def link(m):
        home = max((o for o in modules if m[1].startswith(o + '.')), key=len)
        return f'[`{m[1]}`](api/{home}.md#{m[1]})'
    table = re.sub(r'`([\w.]+)`', link, eq_table(prefix='nbs/'))
    return f'# Equations\n\nEach equation of the paper, the symbols that compute it and the page that displays it.\n\n{table}\n'

def csv_table(path:Path) -> str:
    """Any other table of results. Rows of single images become their mean, what is alike in all rows stands above the table, checksums and commits
    stay in the file."""
    rows = list(csv.reader(path.read_text(encoding='utf-8').splitlines()))
    if rows and 'name' in rows[0]:
        i, groups = rows[0].index('name'), {}
        for r in rows[1:]: groups.setdefault(tuple(r[:i]), []).append([float(x) for x in r[i+1:]])
        rows = [rows[0][:i] + rows[0][i+1:], *([*k, *(f'{sum(x)/len(x):.4f}' for x in zip(*v))] for k,v in groups.items())]
    keep = [j for j,c in enumerate(zip(*rows[1:])) if not all(re.fullmatch(r'[0-9a-f]{7,}\+?', x) and re.search('[a-f]', x) for x in c)]
    same = {j for j in keep if len({r[j] for r in rows[1:]}) == 1} if len(rows) > 2 else set()
    short = lambda x: f'{float(x):.4f}'.removesuffix('.0000') if re.fullmatch(r'-?\d+\.\d{5,}', x) else x
    above = '; '.join(f'{rows[0][j]}: {short(rows[1][j])}' for j in sorted(same) if rows[1][j])
    rows = [[short(r[j]) for j in keep if j not in same] for r in rows]
    return (f'In all rows {cell(above)}.\n\n' if above else '') + '\n'.join('| ' + ' | '.join(map(cell, r)) + ' |' for r in (rows[0], ['---']*len(rows[0]), *rows[1:])) if rows else ''

def folded(summary:str, text:str) -> str:
    "Text that a click unfolds."
    return f'<details><summary>{summary}</summary>\n\n{text}\n\n</details>'

def read_csv(path:Path) -> list[dict]:
    "Rows of a table; none where there is no file."
    if not path.is_file(): return []
    with path.open(encoding='utf-8', newline='') as f: return list(csv.DictReader(f))

def verdicts(results:Path) -> list[str]:
    """One verdict and one small table for each test set: the paper's row, and the mean ± standard deviation over images of what was measured here with
    the shipped weights in the paper's protocol."""
    from statistics import mean, stdev
    from smfnet.metrics.paper import METRICS
    from smfnet.scoring.sets import slug
    from smfnet.scoring.tables import published
    out = []
    for d in dict.fromkeys(r['dataset'] for r in read_csv(results/'ivf.csv')):
        rows, paper = read_csv(results/f'images/{slug(d)}-SMFNet-minmax.csv'), {r['column']: r['value'] for r in published(1) if r['method'] == 'SMFNet' and r['dataset'] == d.split('/')[0]}
        keys = [k for k in METRICS if rows and k in rows[0] and k in paper]
        if not keys: continue
        got = {k: [float(r[k]) for r in rows] for k in keys}
        above = [k for k in keys if mean(got[k]) >= paper[k]]
        near = [k for k in keys if k not in above and mean(got[k]) >= .95*paper[k]]
        text = f"On {len(rows)} pairs the shipped weights reach or pass the published number in {len(above)} of {len(keys)} metrics"
        text += f" ({', '.join(above)})" if above else ''
        text += f"; in {len(near)} more they stay within 5 % of it ({', '.join(near)})." if near else '.'
        table = ['| | ' + ' | '.join(keys) + ' |', '|---|' + '--:|'*len(keys), '| paper | ' + ' | '.join(f'{paper[k]:.2f}' for k in keys) + ' |',
                 '| measured here | ' + ' | '.join(f'{mean(got[k]):.2f}\u00a0±\u00a0{stdev(got[k]):.2f}' for k in keys) + ' |']
        out += [f'### {d}', f'<div class="verdict">\n\n{text}\n\n</div>', '\n'.join(table)]
    return out

def results_page() -> str:
    "Verdicts first, raw rows folded; rendered from results/ alone."
    from smfnet.scoring.record import render_results
    how = 'Mean ± standard deviation over images. Each fused image is stretched to [0, 1] first, as the paper\'s release does; larger is better in every column.'
    others = []
    for p in sorted((ROOT/'results').glob('*.csv')):
        if p.stem == 'ivf': continue
        others += [f'## {TITLES.get(p.stem, p.stem)}', *([f'What came out: [{summary(ROOT/f"nbs/{READ[p.stem]}.ipynb")[0]}](nbs/{READ[p.stem]}.ipynb).'] if p.stem in READ else []), folded('rows, as recorded', csv_table(p))]
    top = ['# Results', 'Every number is read from `results/` when this page is built; how they are made is in [evaluate](nbs/evaluate.ipynb). Which differences can be trusted, with pictures: [results, examined](nbs/evidence/results.ipynb).', '## Infrared and visible', how]
    return '\n\n'.join([*top, *verdicts(ROOT/'results'), folded('every method, both protocols', render_results()), *others])

def gallery_page(out:Path, data:str|None, side:int=224) -> str:
    "One pair of each data set that is at hand, fused now by the shipped weights."
    how = 'Pictures of data sets are not part of the repository. Set `SMFNET_DATA` to a folder that holds the data sets ([where to get them](nbs/tools/datasets.ipynb)) and run `make docs`: then this page shows them.'
    from smfnet.data.datasets import DATASETS, find_pairs
    have = [n for n in GALLERY if data and (Path(data)/n/DATASETS[n].ir).is_dir() and (Path(data)/n/DATASETS[n].vi).is_dir()]
    if not have: return f'# Gallery\n\n{how}\n'
    from smfnet.companion.figures import as_picture, show_fused, visible_picture
    from smfnet.data.pairs import resize_pair
    from smfnet.fusing.api import fuse_pair
    from smfnet.network.weights import load_model
    how = f'One pair of each data set, shrunk to {side} px and fused by the shipped weights when this page was built. Red and cyan: patches that mostly one source sees.'
    page, net = ['# Gallery', how], load_model('ivf', 'cpu')
    (out/'gallery').mkdir()
    for n in have:
        pairs = find_pairs(n, data)
        p = pairs[len(pairs)//2].read()
        p = resize_pair(p, tuple(max(16, round(k*min(1, side/max(p.size)))) for k in p.size))
        fig = show_fused([(as_picture(p.ir), visible_picture(p), as_picture(fuse_pair(p, net)), p.name)])
        name = f"gallery/{n.replace('/', '-')}.png"
        fig.savefig(out/name)
        page += [f'## {n}', f'![{n}, {p.name}: infrared, visible, fused, and two patches enlarged]({name})', f'From [its publishers]({DATASETS[n].source}); {DATASETS[n].licence}.']
    return '\n\n'.join(page) + '\n'

def picture(x, path:Path):
    "Save an image (1 h w) or (3 h w) in [0, 1], twice as large as it is, small as a file."
    from PIL import Image
    from smfnet.data.images import to_bytes
    im = Image.fromarray(to_bytes(x))
    im.resize((2*im.width, 2*im.height), Image.LANCZOS).save(path, quality=82, method=6)

def front_pictures(out:Path, old:Path|None=None) -> dict:
    "Make the pictures of the first page below `out`, fused by the shipped weights; those of an earlier build `old` are kept while the weights are the same."
    from smfnet.data.examples import EXAMPLE_CREDIT, EXAMPLES, example_pair
    from smfnet.fusing.api import fuse_pair
    from smfnet.core.files import file_hash
    from smfnet.network.weights import load_model, weights_path
    about, key = dict(credit=EXAMPLE_CREDIT, names=list(EXAMPLES), what=EXAMPLES), file_hash(weights_path('ivf'))
    if old and (old/'front/weights').is_file() and (old/'front/weights').read_text() == key:
        shutil.copytree(old/'front', out/'front')
        return about
    (out/'front').mkdir()
    (out/'front/weights').write_text(key)
    net = load_model('ivf', 'cpu')
    for n in EXAMPLES:
        p = example_pair(n)
        for k,x in dict(ir=p.ir, vi=p.vi, fused=fuse_pair(p, net)).items(): picture(x, out/f'front/{n}-{k}.webp')
    return about

def before_after(front:dict) -> str:
    "The picture of the first page: one source on the left of a divider, the fused image on its right."
    names, what = front['names'], front['what']
    say = lambda n: html.escape(what[n][0].upper() + what[n][1:], quote=True)
    button = lambda data, text, on: f'<button type="button" {data} aria-pressed="{str(on).lower()}">{text}</button>'
    pairs = ''.join(button(f'data-pair="{n}" data-what="{say(n)}"', n, i == 0) for i,n in enumerate(names))
    sources = ''.join(button(f'data-source="{k}" data-name="{t.capitalize()}"', t, k == 'vi') for k,t in dict(vi='visible', ir='infrared').items())
    first = names[0]
    return f"""<figure class="smf-compare">
<div class="smf-frame">
<img src="front/{first}-vi.webp" width="608" height="448" alt="Visible image: {say(first)}"><img src="front/{first}-fused.webp" width="608" height="448" alt="Fused image: {say(first)}">
<span class="smf-word">Visible</span><span class="smf-word">Fused</span>
</div>
<input type="range" min="0" max="100" value="50" aria-label="Divider between a source and the fused image">
<div class="smf-buttons"><span>{pairs}</span><span>{sources}</span></div>
<figcaption><span class="smf-what">{say(first)}</span>. Move over the picture: left of the line one camera, right of it the fused image, made by the weights that come with the package. {html.escape(front['credit'])}.</figcaption>
</figure>"""

def address(folder:Path=ROOT) -> str:
    "Where the repository is: git_url of settings.ini, or where this clone came from if that is a web address (without a password in it); else ''."
    ini = ConfigParser(delimiters=['=']); ini.read(folder/'settings.ini', encoding='utf-8')
    if url := ini.get('DEFAULT', 'git_url', fallback=''): return url
    try: origin = subprocess.run(['git', '-C', str(folder), 'config', '--get', 'remote.origin.url'], capture_output=True, text=True).stdout.strip()
    except OSError: return '' # no git
    return re.sub(r'//[^/@]*@', '//', origin) if re.match('https?://', origin) else ''

def clone_line() -> str:
    "The first of three lines."
    return f"git clone {address() or 'ADDRESS-OF-THIS-REPOSITORY'} smfnet && cd smfnet"

def sync(made:Path, out:Path):
    "Make `out` what `made` is, touching only files that differ, so that Sphinx reads only those again."
    keep = {p.relative_to(made) for p in made.rglob('*') if p.is_file()}
    for p in [p for p in out.rglob('*') if p.is_file()]:
        if p.relative_to(out) not in keep: p.unlink()
    for k in keep:
        if (out/k).is_file() and filecmp.cmp(made/k, out/k, shallow=False): continue
        (out/k).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made/k, out/k)

def gather(out:Path, data:str|None=None, old:Path|None=None):
    "Write the sources of the site into `out`, which is new; `old` are those of an earlier build."
    for d in ('nbs', 'api', 'docs/images'): (out/d).mkdir(parents=True)
    notebooks = sorted(p.relative_to(ROOT/'nbs').as_posix() for p in (ROOT/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
    for n in notebooks: write_notebook(ROOT/'nbs'/n, out/'nbs')
    for p in (DOCS/'images').glob('*.png'): shutil.copy(p, out/'docs/images')
    modules = exported()
    api, rooms = {m: reference(m, n) for m,n in modules.items()}, {}
    for m in modules: rooms.setdefault(m.split('.')[0], []).append(m)
    api |= {r: room_reference(r, ms) for r,ms in rooms.items()} | {'smfnet': door_page(modules)}
    lines = ['- [smfnet](smfnet.md): what `import smfnet` gives', *(f'- [{r}]({r}.md): {ROOMS.get(r, r).lower()}' for r in rooms)]
    api['index'] = '\n'.join(['# Reference', '', 'One page for each module. Rooms stand in the order of their imports.', '', *lines, '', toctree(None, ['smfnet', *rooms])])
    for m,t in api.items(): (out/f'api/{m}.md').write_text(t, encoding='utf-8')
    front = front_pictures(out, old)
    index = (DOCS/'index.md').read_text(encoding='utf-8').replace('<!-- before-after -->', before_after(front)).replace('<!-- clone -->', clone_line())
    guides = {f'guides/{p.name}': p.read_text(encoding='utf-8').replace('<!-- clone -->', clone_line()) for p in sorted((DOCS/'guides').glob('*.md'))}
    texts = {'start.md': start_page(), 'equations.md': equations_page(modules), 'results.md': results_page(), 'gallery.md': gallery_page(out, data)}
    for n in ('MODEL_CARD.md', 'CONTRIBUTING.md', 'CHANGELOG.md'): texts[n] = (ROOT/n).read_text(encoding='utf-8')
    order = parts(notebooks, modules)
    shelf = {f"tools-{re.sub(r'[^a-z]+', '-', t.lower())}": room_page(t, names) for t,names in order['Tools'].items()}
    texts |= {f'{n}.md': t for n,t in shelf.items()}
    pages = {*texts, *guides, 'index.md', *(f'api/{m}.md' for m in api), *(f'nbs/{n}' for n in notebooks)}
    for n,t in texts.items(): (out/n).write_text(localise(t, pages), encoding='utf-8')
    for n,t in guides.items():
        (out/n).parent.mkdir(exist_ok=True)
        (out/n).write_text(t, encoding='utf-8')
    trees = [toctree('Start', ['guides/fuse_yours', 'guides/train_yours', 'start', 'results', 'gallery', 'MODEL_CARD'])]
    order['Notebooks to run'] = [m for n in order['Notebooks to run'] for m in dict.fromkeys((n, *(f'{k}.ipynb' for k in records(n[:-6]))))]
    for t,names in order.items(): trees.append(toctree(t, list(shelf) if t == 'Tools' else [f'nbs/{n[:-6]}' for n in names]))
    trees.append(toctree('Look up', ['equations', 'api/index', 'CONTRIBUTING', 'CHANGELOG']))
    (out/'index.md').write_text(index + '\n' + '\n'.join(trees), encoding='utf-8')

def finish(out:Path):
    "What Sphinx does not do: the pictures of the first page, and a theme without its icon library, of which smfnet.css draws the few that are shown."
    shutil.copytree(out/'src/front', out/'html/front', dirs_exist_ok=True)
    (out/'html/_static/scripts/fontawesome.js').write_text('/* left out: the icons are drawn by smfnet.css */\n')
    css = out/'html/_static/styles/pydata-sphinx-theme.css'
    css.write_text(re.sub(r'(?:\.fa-[\w-]+(?:,|(?=\{)))+\{--fa:[^}]*\}|@font-face\{[^}]*Font ?Awesome[^}]*\}', '', css.read_text(encoding='utf-8')), encoding='utf-8')
    for p in (out/'html').rglob('*.map'): p.unlink()
    shutil.rmtree(out/'html/_static/vendor/fontawesome', ignore_errors=True)

def build(out:Path, data:str|None=None) -> int:
    "Gather and build; a warning is an error. Returns Sphinx's exit status."
    os.environ.setdefault('MPLBACKEND', 'agg')
    with tempfile.TemporaryDirectory() as made:
        gather(Path(made)/'src', data, out/'src')
        sync(Path(made)/'src', out/'src')
    from sphinx.cmd.build import main
    status = main(['-q', '-j', 'auto', '-W', '--keep-going', '-b', 'html', '-d', str(out/'doctrees'), '-c', str(DOCS), str(out/'src'), str(out/'html')])
    if status == 0: finish(out)
    return status

if __name__ == '__main__':
    began, target = time.monotonic(), Path(sys.argv[1] if len(sys.argv) > 1 else DOCS/'_build').resolve()
    status = build(target, os.environ.get('SMFNET_DATA') or None)
    print(f"{target/'html/index.html'} in {time.monotonic()-began:.0f} s" if status == 0 else 'the site was not built; see the warnings above')
    sys.exit(status)
