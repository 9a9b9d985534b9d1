"""Gather the pages of the site from the notebooks, the package, the results and the README, and build them: `make docs`, or `python docs/build.py [OUT]`.

Nothing here needs the network. Pictures of data sets are made only when SMFNET_DATA is set, and only below OUT."""
import csv, dataclasses, importlib, inspect, json, os, posixpath, re, shutil, sys, time
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
RUN_ORDER = ('fuse', 'train', 'evaluate', 'loss_weights', 'medical', 'ablation', 'detection', 'segmentation')
ROOMS = dict(core='Ground', data='Images and data', network='The network, for use', losses='Losses beyond the paper', metrics='Metrics beyond the paper', fusing='Fusing',
             training='Training', scoring='Scoring', studies='Studies', companion='Companion') # folders of the package, in the order of their imports
TITLES = dict(mif='Medical images (Table 4)', ablation='Ablation (Table 5)', detection='Detection (Table 2)', segmentation='Segmentation (Table 3)') # of tables in results/
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

def reader_cells(cells:list[dict]) -> list[dict]:
    "Cells as a reader wants them: no hidden ones, no directives; tables that code made become text, so that their links work."
    out = []
    for c in cells:
        source = ''.join(c['source'])
        if c['cell_type'] != 'code': out.append({**c, 'source': displays(slugs(source))}); continue
        words = directives(source)
        if words & {'hide', 'default_exp'}: continue
        source = '\n'.join(l for l in source.splitlines() if not re.match(r'#\s*\|', l)).strip('\n')
        plain = [o for o in c.get('outputs', []) if o['output_type'] != 'stream' or o.get('name') != 'stderr']
        tables = [''.join(o['data']['text/markdown']) for o in plain if 'text/markdown' in o.get('data', {})]
        rest = [o for o in plain if 'text/markdown' not in o.get('data', {})]
        tags = [*c['metadata'].get('tags', []), *(['export'] if words & {'export', 'exports'} else [])]
        out.append({**c, 'source': source, 'outputs': rest, 'metadata': {'tags': tags} if tags else {}})
        out += [{'cell_type': 'markdown', 'id': f"{c.get('id', 'c')}-{i}", 'metadata': {}, 'source': t} for i,t in enumerate(tables)]
    return out

def write_notebook(path:Path, out:Path):
    "Copy a notebook into the sources of the site, for readers, at its place below nbs/."
    nb = json.loads(path.read_text(encoding='utf-8'))
    nb['cells'] = reader_cells(nb['cells'])
    target = out/path.relative_to(ROOT/'nbs')
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

def brief(o, n:int=200) -> str:
    "A value as it is written, cut where it gets long."
    s = cell(repr(o)).replace('`', "'")
    return s if len(s) <= n else s[:n].rsplit(' ', 1)[0] + ' …'

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

def entry(name:str, o, level:int) -> list[str]:
    "Heading, one line and table of one symbol; the methods of a class below it."
    title = f"<a id=\"{name}\"></a>\n\n{'#'*level} `{name.split('.')[-1]}`"
    text = '' if dataclasses.is_dataclass(o) and (o.__doc__ or '').startswith(o.__name__ + '(') else inspect.cleandoc(o.__doc__ or '')
    if isinstance(o, dict): return [title, *(f'- `{cell(k)}`: `{brief(v, 260)}`' for k,v in list(o.items())[:12]), *(['- …'] if len(o) > 12 else []), '']
    if not callable(o): return [title, f'`{brief(o)}`', '']
    fields = [f for f in getattr(o, '_fields', ())] if inspect.isclass(o) else []
    out = [title, text, '', ' · '.join(f'`{f}`' for f in fields) if fields else parameters(o if dataclasses.is_dataclass(o) or not inspect.isclass(o) else o.__init__)]
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
    body = [x for n in m.__all__ for x in entry(f'{module}.{n}', getattr(m, n), 2)]
    body = [relink(x, notebook) for x in body]
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

def results_page() -> str:
    "Rendered from results/ alone."
    from smfnet.scoring.record import render_results
    others = [f'## {TITLES.get(p.stem, p.stem)}\n\n{csv_table(p)}' for p in sorted((ROOT/'results').glob('*.csv')) if p.stem != 'ivf']
    return '\n\n'.join(['# Results', 'Every number is read from `results/` when this page is built; how they are made is in [evaluate](nbs/evaluate.ipynb).', '## Infrared and visible', render_results(), *others])

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

def gather(out:Path, data:str|None=None):
    "Write the sources of the site into `out`."
    shutil.rmtree(out, ignore_errors=True)
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
    texts = {'start.md': start_page(), 'equations.md': equations_page(modules), 'results.md': results_page(), 'gallery.md': gallery_page(out, data)}
    for n in ('MODEL_CARD.md', 'CONTRIBUTING.md', 'CHANGELOG.md'): texts[n] = (ROOT/n).read_text(encoding='utf-8')
    order = parts(notebooks, modules)
    shelf = {f"tools-{re.sub(r'[^a-z]+', '-', t.lower())}": room_page(t, names) for t,names in order['Tools'].items()}
    texts |= {f'{n}.md': t for n,t in shelf.items()}
    pages = {*texts, 'index.md', *(f'api/{m}.md' for m in api), *(f'nbs/{n}' for n in notebooks)}
    for n,t in texts.items(): (out/n).write_text(localise(t, pages), encoding='utf-8')
    trees = [toctree('Start', ['start', 'results', 'gallery', 'MODEL_CARD'])]
    for t,names in order.items(): trees.append(toctree(t, list(shelf) if t == 'Tools' else [f'nbs/{n[:-6]}' for n in names]))
    trees.append(toctree('Look up', ['equations', 'api/index', 'CONTRIBUTING', 'CHANGELOG']))
    (out/'index.md').write_text((DOCS/'index.md').read_text(encoding='utf-8') + '\n' + '\n'.join(trees), encoding='utf-8')

def build(out:Path, data:str|None=None) -> int:
    "Gather and build; a warning is an error. Returns Sphinx's exit status."
    os.environ.setdefault('MPLBACKEND', 'agg')
    gather(out/'src', data)
    from sphinx.cmd.build import main
    return main(['-q', '-W', '--keep-going', '-b', 'html', '-d', str(out/'doctrees'), '-c', str(DOCS), str(out/'src'), str(out/'html')])

if __name__ == '__main__':
    began, target = time.monotonic(), Path(sys.argv[1] if len(sys.argv) > 1 else DOCS/'_build').resolve()
    status = build(target, os.environ.get('SMFNET_DATA') or None)
    print(f"{target/'html/index.html'} in {time.monotonic()-began:.0f} s" if status == 0 else 'the site was not built; see the warnings above')
    sys.exit(status)
