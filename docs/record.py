"""Run the notebooks of nbs/ small and keep what they showed, so that their pages on the site have outputs: `python docs/record.py [NAME ...]`.

A record is an executed notebook in docs/records/. docs/build.py shows its outputs under the cells whose source is still the same. A NAME that is a file, such
as nbs/tools/plots.ipynb, is executed in place. Either way figures are drawn at twice the resolution at which they are shown."""
import base64, io, json, os, shutil, sys, tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDS = Path(__file__).resolve().parent/'records'
PLAN = dict( # record -> notebook and parameters; one after the other, since stage II starts from stage I
    fuse=('fuse', dict(ir='smfnet/examples/doorway_ir.png', vi='smfnet/examples/doorway_vi.png', out='runs/record/fuse/doorway.png')),
    medical=('medical', dict(preset='small', results='results/mif.csv', out='runs/record/medical')),
    ablation=('ablation', dict(preset='small', row='', results='results/ablation.csv', out='runs/record/ablation')),
    train=('train', dict(stage=1, preset='smoke', model='smoke', steps=120, lr=2e-3, out='runs/record/train/stage1', resume='never')),
    train_stage_2=('train', dict(stage=2, preset='smoke', model='smoke', steps=120, lr=2e-3, start='runs/record/train/stage1', out='runs/record/train/stage2', resume='never')),
    evaluate=('evaluate', dict(datasets='scenes', scenes=2, metrics='paper', methods='average,laplacian,SMFNet', out='runs/record/evaluate')),
)

@contextmanager
def sharp():
    "Kernels that start in the block draw figures at twice the resolution: they read a profile of IPython that says so."
    old = os.environ.get('IPYTHONDIR')
    with tempfile.TemporaryDirectory() as d:
        (Path(d)/'profile_default').mkdir()
        (Path(d)/'profile_default/ipython_kernel_config.py').write_text("c = get_config()\nc.InlineBackend.figure_formats = {'retina'}\n")
        os.environ['IPYTHONDIR'] = d
        try: yield
        finally: os.environ.pop('IPYTHONDIR') if old is None else os.environ.update(IPYTHONDIR=old)

def light(png:str) -> str:
    "A figure as a smaller file: grey where it is grey, else in 256 colours; base64."
    from PIL import Image
    im = Image.open(io.BytesIO(base64.b64decode(png))).convert('RGB')
    r,g,b = im.split()
    im, out = (r if r.tobytes() == g.tobytes() == b.tobytes() else im.quantize(256)), io.BytesIO()
    im.save(out, 'png', optimize=True)
    new = base64.b64encode(out.getvalue()).decode()
    return new if len(new) < len(png) else png

def shrink(outputs:list):
    "Lighten the figures of a cell in place."
    for o in outputs:
        if png := ''.join(o.get('data', {}).get('image/png', '')): o['data']['image/png'] = light(png)

def clean(nb:dict) -> dict:
    "Outputs without paths of this machine, progress bars, widgets and metadata."
    for c in nb['cells']:
        c['metadata'] = {k: v for k,v in c['metadata'].items() if k == 'tags'}
        if c['cell_type'] != 'code': continue
        keep = []
        for o in c['outputs']:
            if o.get('name') == 'stderr' or 'application/vnd.jupyter.widget-view+json' in o.get('data', {}): continue
            sizes = {k: v for k,v in (o.pop('metadata', None) or {}).items() if k.startswith('image/')} # how large a figure is shown
            o.pop('execution_count', None)
            if o['output_type'] in ('display_data', 'execute_result'): o['metadata'] = sizes
            if o['output_type'] == 'execute_result': o['execution_count'] = None
            keep.append(json.loads(json.dumps(o).replace(f'{ROOT}/', '').replace(str(ROOT), '.')))
        shrink(keep)
        c['outputs'], c['execution_count'] = keep, None
    nb['metadata'] = {'kernelspec': nb['metadata']['kernelspec']}
    return nb

def execute_page(path:Path):
    "Execute a page in place."
    import nbclient, nbformat
    from nbdev.clean import nbdev_clean
    nb = nbformat.read(path, 4)
    with sharp(): nbclient.NotebookClient(nb, timeout=None, kernel_name='python3', store_widget_state=False, resources=dict(metadata=dict(path=str(path.parent)))).execute()
    for c in nb.cells: shrink(c.get('outputs', []))
    nbformat.write(nb, path)
    nbdev_clean(str(path))

VALUES = dict(alpha5=(0., 1., 2., 4., 7., 12., 20.), structure=(0., .5, 1., 2., 4.), alpha4=(0., 2., 5., 10., 20.), delta=(1.01, 1.1, 1.3, 1.6, 2.),
              alpha1=(0., 2., 5., 10., 20.), alpha2=(0., 2., 5., 10., 20.), alpha3=(0., 2., 8., 14., 20.), beta1=(0., 5., 10., 15., 20.)) # what each slider passes through

def sliders(names=('doorway', 'camp'), side:int=112, steps_of_tuning:int=8) -> dict[str,list]:
    """What the page of sliders shows without a kernel: source of a cell -> HTML. Terms and gradients are linear in the weights, the image that a weight asks
    for is drawn with free pixels, and for two weights the network was fine-tuned beforehand."""
    import torch
    from smfnet.companion.panels import _shrink
    from smfnet.companion.probe import bar_html, contributions, gradient_limit, image_gradient, probe, pulls, pulls_svg, signed_colours, _mean3
    from smfnet.companion.steps import compare, row, steps
    from smfnet.companion.tuning import FineTune
    from smfnet.companion.words import LETTERS, explain, summand
    from smfnet.companion.views import channel_cc
    from smfnet.data.examples import EXAMPLE_CREDIT, EXAMPLES, example_pair
    from smfnet.losses.ours import OurLossWeights
    from smfnet.network.weights import load_model
    from smfnet.studies.tradeoff import best_pixels
    torch.manual_seed(0)
    nets, printed = {1: load_model('stage1', 'cpu'), 2: load_model('ivf', 'cpu')}, OurLossWeights()
    net, with_value = nets[2], lambda k, v: OurLossWeights(**{k: v})
    pairs = {n: _shrink(example_pair(n), side) for n in names}
    seen = lambda k: dict(label=[f'{v:g}' for v in VALUES[k]], start=VALUES[k].index(getattr(printed, k)), what=LETTERS[k].symbol)
    free, losses, tuned = {}, [], []
    def asked(n, w): # the image that these weights would draw
        key = n, w.alpha5, w.structure
        if key not in free: free[key] = best_pixels(pairs[n].ir[None], pairs[n].vi[None], w, steps=50)[0]
        return free[key]
    for n,pair in pairs.items():
        for stage,letters in ((2, ('alpha5', 'structure', 'alpha4', 'delta')), (1, ('alpha3', 'beta1', 'alpha2', 'alpha1'))):
            if n != names[0]: letters = [k for k in letters if k in ('alpha5', 'structure')] # of a second pair, those that move the picture
            if not letters: continue
            p = probe(pair, nets[stage], stage)
            limit = gradient_limit(p)
            for k in letters:
                mark, s = summand(k, stage).label, seen(k)
                def state(w):
                    g = {o: signed_colours(_mean3(x), limit) for o,x in image_gradient(p, w).items()}
                    pictures = ([(asked(n, w), f'what {s["what"]} and the others would draw with free pixels'), (p.images['fused'], 'fused by the shipped weights')] if stage == 2 else
                                [(p.images[o], 'rebuilt infrared' if o == 'rec_ir' else 'rebuilt visible') for o in g])
                    pictures += [(x, 'where the loss wants it darker (orange) or brighter (purple)') for x in g.values()]
                    return explain(k, p, w) + bar_html(contributions(p.terms, w, stage), stage, title=f"Total loss of stage {'I'*stage}", mark=mark) + pulls_svg(p.terms, pulls(p.terms, w, stage)) + row(*map(list, zip(*pictures)), width=230 if stage == 2 else 165, quality=70).html
                losses.append(steps([state(with_value(k, v)) for v in VALUES[k]], s['label'], f"{n}, stage {'I'*stage}: what {s['what']} does", what=s['what'], start=s['start']).html)
    pair = pairs[names[0]]
    def fused(w):
        t = FineTune(pair, net, w, patch=40)
        for _ in range(steps_of_tuning): t.step()
        y, cc = t.look()
        return y, 'Correlations of the features: ' + ', '.join(f'{b} {v:+.2f}' for b,v in cc.items())
    for k,values in dict(alpha4=(0., 10., 20.), alpha5=(0., 2., 10.)).items():
        shown = [fused(with_value(k, v)) for v in values]
        tuned.append(steps([(pair.ir, pair.vi, y) for y,_ in shown], [f'{v:g}' for v in values], f'{names[0]}: infrared, visible, fused after {steps_of_tuning} steps of fine-tuning', what=LETTERS[k].symbol,
                           notes=[cc for _,cc in shown], start=values.index(getattr(printed, k)), width=860).html)
    full, maps = {n: example_pair(n) for n in names}, []
    with torch.no_grad(): whole, f = {n: net(q.ir[None], q.vi[None])[0] for n,q in full.items()}, net.encode(pair.ir[None], pair.vi[None])
    for b in ('base', 'detail', 'graph') if net.cfg.graph else ('base', 'detail'):
        a, c = getattr(f, f'{b}_ir'), getattr(f, f'{b}_vi')
        cc, ks = channel_cc(a, c), list(range(0, net.cfg.dim, max(1, net.cfg.dim//8)))[:8]
        limit = lambda k: max(1e-6, float(torch.stack([a[0,k], c[0,k]]).abs().quantile(.99)))
        maps.append(steps([tuple(signed_colours(o[0,k].numpy(), limit(k)) for o in (a, c)) for k in ks], [f'{k}: CC {cc[k]:+.2f}' for k in ks], f'{b} branch: infrared | visible; orange above 0, purple below', what='channel', width=600).html)
    note = f'<p>{EXAMPLE_CREDIT}. Prepared values; with a kernel (<code>make companion</code>) every value, and a pair of yours.</p>'
    first = full[names[0]]
    return {'display(companion.chooser.box)': [row([first.ir, first.vi], ['infrared', 'visible']).html + note], 'display(companion.losses.box)': losses, 'display(companion.tuning.box)': tuned,
            'display(companion.fusing.box)': [compare(dict(infrared=q.ir, visible=q.vi, fused=whole[n]), 'visible', alt=EXAMPLES[n]).html for n,q in full.items()], 'display(companion.features.box)': maps}

def tried() -> dict[str,list]:
    "What the page Try it shows without a kernel: the example pairs, fused by the small network."
    from smfnet.companion.steps import compare
    from smfnet.data.examples import EXAMPLE_CREDIT, EXAMPLES, example_pair
    from smfnet.fusing.api import fuse_pair
    from smfnet.network.weights import load_model
    net, out = load_model('fast', 'cpu'), []
    for n,what in EXAMPLES.items():
        p = example_pair(n)
        out.append(f'<p><b>{n}</b>: {what}.</p>' + compare(dict(infrared=p.ir, visible=p.vi, fused=fuse_pair(p, net)), 'visible', alt=what).html)
    return {'display(panel.box)': [*out, f'<p>{EXAMPLE_CREDIT}. With a kernel (<code>make companion</code>) two files of yours.</p>']}

PAGES = dict(loss_weights=sliders, try_it=tried) # pages of widgets, shown by what needs no kernel

def record_page(name:str):
    "A page of widgets, its panels replaced by what needs no kernel."
    nb, shown = json.loads((ROOT/f'nbs/{name}.ipynb').read_text(encoding='utf-8')), PAGES[name]()
    sources = [''.join(c['source']) for c in nb['cells']]
    if lost := [s for s in shown if s not in sources]: raise ValueError(f'nbs/{name}.ipynb has no cell {lost[0]!r}')
    for c in nb['cells']:
        if c['cell_type'] == 'code': c['outputs'] = [dict(output_type='display_data', metadata={}, data={'text/html': h, 'text/plain': 'a prepared view'}) for h in shown.get(''.join(c['source']), [])]
    write(name, clean(nb))

def write(name:str, nb:dict):
    "Store a record."
    RECORDS.mkdir(exist_ok=True)
    (RECORDS/f'{name}.ipynb').write_text(json.dumps(nb, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')

def record(name:str):
    "Run one and store it."
    if name in PAGES: return record_page(name)
    import papermill
    os.chdir(ROOT); os.environ.pop('MPLBACKEND', None)
    notebook, params = PLAN[name]
    shutil.rmtree(ROOT/params['out'], ignore_errors=True)
    with sharp(), tempfile.TemporaryDirectory() as d:
        papermill.execute_notebook(ROOT/f'nbs/{notebook}.ipynb', f'{d}/x.ipynb', params, kernel_name='python3', progress_bar=False)
        nb = clean(json.loads(Path(f'{d}/x.ipynb').read_text(encoding='utf-8')))
    write(name, nb)

if __name__ == '__main__':
    for n in sys.argv[1:] or [*PLAN, *PAGES]:
        if n.endswith('.ipynb'): execute_page(Path(n).resolve()); print(n, flush=True); continue
        record(n); print(n, f'{(RECORDS/n).with_suffix(".ipynb").stat().st_size/1024:.0f} KB', flush=True)
