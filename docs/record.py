"""Run the notebooks of nbs/ small and keep what they showed, so that their pages on the site have outputs: `python docs/record.py [NAME ...]`.

A record is an executed notebook in docs/records/. docs/build.py shows its outputs under the cells whose source is still the same."""
import json, shutil, sys, tempfile
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

def clean(nb:dict) -> dict:
    "Outputs without paths of this machine, progress bars, widgets and metadata."
    for c in nb['cells']:
        c['metadata'] = {k: v for k,v in c['metadata'].items() if k == 'tags'}
        if c['cell_type'] != 'code': continue
        keep = []
        for o in c['outputs']:
            if o.get('name') == 'stderr' or 'application/vnd.jupyter.widget-view+json' in o.get('data', {}): continue
            o.pop('metadata', None); o.pop('execution_count', None)
            if o['output_type'] in ('display_data', 'execute_result'): o['metadata'] = {}
            if o['output_type'] == 'execute_result': o['execution_count'] = None
            keep.append(json.loads(json.dumps(o).replace(f'{ROOT}/', '').replace(str(ROOT), '.')))
        c['outputs'], c['execution_count'] = keep, None
    nb['metadata'] = {'kernelspec': nb['metadata']['kernelspec']}
    return nb

def sliders(names=('doorway', 'camp'), side:int=144, steps_of_tuning:int=24) -> dict[str,list]:
    """What the page of sliders shows without a kernel: source of a cell -> HTML. Terms and gradients answer every value of a weight at once; the fused
    image does so from networks that were fine-tuned beforehand, for a few values of each weight."""
    import torch
    from smfnet.companion.panels import _shrink
    from smfnet.companion.probe import bar_html, contributions, gradient_limit, image_gradient, probe, pulls, pulls_svg, signed_colours, _mean3
    from smfnet.companion.steps import row, steps
    from smfnet.companion.tuning import FineTune
    from smfnet.companion.words import LETTERS, explain, summand
    from smfnet.companion.views import channel_cc
    from smfnet.data.examples import EXAMPLE_CREDIT, example_pair
    from smfnet.losses.ours import OurLossWeights
    from smfnet.network.weights import load_model
    torch.manual_seed(0)
    net, printed = load_model('ivf', 'cpu'), OurLossWeights()
    values = dict(alpha5=(0., 1., 2., 5., 10., 20.), alpha4=(0., 2., 5., 10., 20.), structure=(0., .5, 1., 2., 4.), delta=(1.01, 1.1, 1.3, 1.6, 2.))
    with_value = lambda k, v: OurLossWeights(**{k: v})
    pairs = {n: _shrink(example_pair(n), side) for n in names}
    seen, losses, tuned = {}, [], []
    for n,pair in pairs.items():
        p = probe(pair, net, 2)
        limit = gradient_limit(p)
        for k in ('alpha5', 'alpha4', 'structure', 'delta') if n == names[0] else ('alpha5',):
            mark, label = summand(k, 2).label, [f'{v:g}' for v in values[k]]
            def state(w):
                g = signed_colours(_mean3(image_gradient(p, w)['fused']), limit)
                picture = row([p.images['fused'], g], ['fused image', 'where the loss wants it darker (orange) or brighter (purple)'], width=288, quality=70).html
                return explain(k, p, w) + bar_html(contributions(p.terms, w, 2), 2, title='Total loss of stage II', mark=mark) + pulls_svg(p.terms, pulls(p.terms, w, 2)) + picture
            losses.append(steps([state(with_value(k, v)) for v in values[k]], label, f'{n}: what {LETTERS[k].symbol} does', what=LETTERS[k].symbol, start=values[k].index(getattr(printed, k))).html)
        done = {}
        def fused(w):
            if w not in done:
                t = FineTune(pair, net, w, patch=64)
                for _ in range(steps_of_tuning): t.step()
                y, cc = t.look()
                done[w] = y, ', '.join(f'{b} {v:+.2f}' for b,v in cc.items())
            return done[w]
        for k in ('alpha5', 'alpha4', 'structure'):
            shown = [fused(with_value(k, v)) for v in values[k]]
            tuned.append(steps([(pair.ir, pair.vi, y) for y,_ in shown], [f'{v:g}' for v in values[k]], f'{n}: infrared, visible, fused after {steps_of_tuning} steps of fine-tuning', what=LETTERS[k].symbol,
                               notes=[f'Correlations of the features: {cc}' for _,cc in shown], start=values[k].index(getattr(printed, k)), width=900).html)
        seen[n] = pair
    first = seen[names[0]]
    full = example_pair(names[0])
    with torch.no_grad(): whole, f = net(full.ir[None], full.vi[None])[0], net.encode(first.ir[None], first.vi[None])
    maps = []
    for b in ('base', 'detail', 'graph') if net.cfg.graph else ('base', 'detail'):
        a, c = getattr(f, f'{b}_ir'), getattr(f, f'{b}_vi')
        cc, ks = channel_cc(a, c), range(0, net.cfg.dim, max(1, net.cfg.dim//8))
        limit = lambda k: max(1e-6, float(torch.stack([a[0,k], c[0,k]]).abs().quantile(.99)))
        ks = list(ks)[:8]
        maps.append(steps([tuple(signed_colours(o[0,k].numpy(), limit(k)) for o in (a, c)) for k in ks], [f'{k}: CC {cc[k]:+.2f}' for k in ks], f'{b} branch: infrared | visible; orange above 0, purple below', what='channel', width=600).html)
    note = f'<p>{EXAMPLE_CREDIT}. Prepared values; with a kernel (<code>make companion</code>) every value, and a pair of yours.</p>'
    return {'display(companion.chooser.box)': [row([full.ir, full.vi], ['infrared', 'visible']).html + note], 'display(companion.losses.box)': losses, 'display(companion.tuning.box)': tuned,
            'display(companion.fusing.box)': [row([full.ir, full.vi, whole], ['infrared', 'visible', 'fused by the shipped weights']).html], 'display(companion.features.box)': maps}

def record_sliders():
    "The page of sliders, its panels replaced by sliders that need no kernel."
    nb, shown = json.loads((ROOT/'nbs/loss_weights.ipynb').read_text(encoding='utf-8')), sliders()
    for c in nb['cells']:
        if c['cell_type'] == 'code': c['outputs'] = [dict(output_type='display_data', metadata={}, data={'text/html': h, 'text/plain': 'sliders'}) for h in shown.get(''.join(c['source']), [])]
    write('loss_weights', clean(nb))

def write(name:str, nb:dict):
    "Store a record."
    RECORDS.mkdir(exist_ok=True)
    (RECORDS/f'{name}.ipynb').write_text(json.dumps(nb, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')

def record(name:str):
    "Run one and store it."
    import os
    if name == 'loss_weights': return record_sliders()
    import papermill
    os.chdir(ROOT); os.environ.pop('MPLBACKEND', None)
    notebook, params = PLAN[name]
    shutil.rmtree(ROOT/params['out'], ignore_errors=True)
    with tempfile.TemporaryDirectory() as d:
        papermill.execute_notebook(ROOT/f'nbs/{notebook}.ipynb', f'{d}/x.ipynb', params, kernel_name='python3', progress_bar=False)
        nb = clean(json.loads(Path(f'{d}/x.ipynb').read_text(encoding='utf-8')))
    write(name, nb)

if __name__ == '__main__':
    for n in sys.argv[1:] or [*PLAN, 'loss_weights']: record(n); print(n, f'{(RECORDS/n).with_suffix(".ipynb").stat().st_size/1024:.0f} KB', flush=True)
