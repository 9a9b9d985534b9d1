"Each row of the ablation differs from the default in exactly what it declares, and a configuration's key changes with whatever decides a result."
import dataclasses, re
import pytest
import torch
from smfnet.core.devices import set_seed
from smfnet.losses.ours import OurLossWeights, make_loss
from smfnet.losses.stage_one import LossWeights, StageOneLoss
from smfnet.network.model import ModelConfig, SMFNet
from smfnet.scoring.tables import published
from smfnet.studies.budgets import ABLATION, MEDICAL, PAPER_ROWS, ROWS, Budget, digest, named_budget, settings, stage_one_key
from smfnet.training.config import TrainConfig

SMOKE = ABLATION['smoke']
SMALL = dataclasses.replace(SMOKE, model=dict(dim=16, heads=2))

# What each row of Table 5 may change, written down a second time: parameters that go, parameters that come (patterns), and fields of the losses and of the training.
DECLARED = {
    'default':               dict(),
    'both_cc_graph':         dict(losses={'graph_stage1'}),
    'one_stage':             dict(train={'joint', 'steps'}),
    'no_intensity_semantic': dict(losses={'intensity', 'semantic'}),
    'no_residual':           dict(gone=r'encoder\.base\.\d\.conv\.'),
    'plain_inn':             dict(gone=r'encoder\.detail\.cross\.'),
    'no_graph':              dict(gone=r'(encoder\.graph|fuse_graph)\.'),
    'swapped_fusion':        dict(gone=r'fuse_(base|detail)\.', came=r'fuse_(base|detail)\.'),
}

def built(row):
    "Settings and the shapes of all parameters."
    s = settings(row, SMALL)
    return s, {k: tuple(v.shape) for k,v in SMFNet(s.model).state_dict().items()}

def test_the_eight_rows_are_those_of_the_paper():
    assert set(DECLARED) == set(PAPER_ROWS)
    assert {ROWS[k].paper for k in PAPER_ROWS} == {r['method'] for r in published(5)} == {r.paper for r in ROWS.values() if r.paper}
    assert [sum(map(bool, (ROWS[k].model, ROWS[k].losses, ROWS[k].joint))) for k in PAPER_ROWS] == [0]+[1]*7

@pytest.mark.parametrize('row', DECLARED)
def test_row_differs_in_exactly_what_is_declared(row):
    want, (s0,p0), (s,p) = DECLARED[row], built('default'), built(row)
    changed = {k for k in p0.keys() | p.keys() if p0.get(k) != p.get(k)}
    gone, came = want.get('gone'), want.get('came')
    for k in changed:
        assert (k in p0 and gone and re.match(gone, k)) or (k in p and came and re.match(came, k)), f'{row} changes {k}'
    assert bool(changed) == bool(gone or came)
    fields = lambda a,b: {f.name for f in dataclasses.fields(a) if getattr(a,f.name) != getattr(b,f.name)}
    assert fields(s0.loss_weights, s.loss_weights) == want.get('losses', set())
    assert fields(s0.train2, s.train2) == want.get('train', set())
    assert (s.train1 is None) == (row == 'one_stage') and (s.train1 is None or s.train1 == s0.train1)
    assert s.data == s0.data

def losses_of(row):
    "Both stages' totals and terms of the row's losses on one fixed network and batch."
    s = settings(row, SMALL)
    set_seed(0); net = SMFNet(settings('default', SMALL).model)
    ir,vi = torch.rand(2, 2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        f = net.encode(ir, vi)
        return {k: {'total': t.item(), **{n: v.item() for n,v in d.items()}} for k in (1,2)
                for t,d in [make_loss(k, s.loss_weights)(*net(ir, vi, stage=k, features=True)[:1], ir, vi, f)]}

def test_losses_differ_only_where_declared():
    base = losses_of('default')
    for row in set(DECLARED) - {'default','both_cc_graph','no_intensity_semantic'}: assert losses_of(row) == base, row
    both, without = losses_of('both_cc_graph'), losses_of('no_intensity_semantic')
    assert both[2] == base[2] and {k for k in base[1] if both[1][k] != base[1][k]} == {'total','decomp'}
    more = base[1]['cc_graph']**2/(base[1]['cc_base'] + 1.01)
    assert both[1]['decomp'] - base[1]['decomp'] == pytest.approx(more, rel=1e-3)
    assert without[2] == base[2] and base[1].keys() - without[1].keys() == {'intensity','semantic'}
    assert base[1]['total'] - without[1]['total'] == pytest.approx(base[1]['intensity'] + base[1]['semantic'], rel=1e-4)

def test_rows_beyond_the_paper():
    s = {k: settings(k, SMALL) for k in ROWS}
    assert (s['default'].loss_weights.alpha4, s['default'].loss_weights.alpha5) == (2., 10.) # the release's, with which the recorded results were made
    assert s['alphas_as_printed'].loss_weights == LossWeights()
    assert s['dilated_nodes'].model.graph_nodes == 'dilated' and s['gram_patches'].loss_weights.gram == 'patches' and not s['lovasz_released'].loss_weights.semantic
    assert s['signed_edges'].loss_weights == OurLossWeights(alpha4=2., alpha5=10., edges='signed')
    assert s['three_scales'].loss_weights == OurLossWeights(alpha4=2., alpha5=10., edges='signed', edge_scales=3)
    two = SMFNet(s['two_branch'].model)
    assert two.encoder.graph is None and two.fuse_graph is None and all(b.conv is None for b in two.encoder.base)

def test_a_budget_shares_out_its_steps():
    b = Budget(steps=(10,20), train=dict(batch=2))
    assert [b.config(1).steps, b.config(2).steps, b.config(2, joint=True).steps] == [10, 20, 30]
    assert [Budget().config(1).total_steps(600), Budget().config(2, joint=True).total_steps(600)] == [40*100, 120*100]
    with pytest.raises(TypeError): Budget(train=dict(bach=2)).config(1)

def test_presets_hold_what_they_promise():
    assert ABLATION.keys() == MEDICAL.keys() and named_budget(ABLATION, 'paper').config(1) == TrainConfig(stage=1)
    for b in (ABLATION['paper'], ABLATION['small'], ABLATION['smoke']): assert b.items == tuple(ROWS)
    assert ABLATION['paper'].steps == (None, None) and not ABLATION['paper'].model and not ABLATION['smoke'].data and not MEDICAL['smoke'].data
    with pytest.raises(ValueError, match='preset must be one of paper, small, smoke, ci'): named_budget(MEDICAL, 'big')
    with pytest.raises(ValueError, match='row must be one of default'): settings('no_such_row', SMOKE)

def test_keys_tell_configurations_apart():
    assert len({digest(*settings(k, SMOKE, s)) for k in ROWS for s in (0,1)}) == 2*len(ROWS)
    base = digest(*settings('default', SMOKE))
    for over in (dict(patch=48), dict(stride=65), dict(scenes=3), dict(data='MSRS/train'), dict(steps=(4,5)), dict(losses=dict(alpha4=3.)), dict(model=dict(dim=32))):
        assert digest(*settings('default', dataclasses.replace(SMOKE, **over))) != base, over
    assert digest('a', 'b') != digest('b', 'a') and digest(('a', None)) != digest(('a',)) and digest(1) != digest(True)

def test_keys_of_equal_configurations_are_equal():
    assert digest(*settings('default', SMOKE)) == digest(*settings('default', dataclasses.replace(SMOKE)))
    assert digest(TrainConfig(device='cpu', save_minutes=1., workers=2)) == digest(TrainConfig()) == digest(TrainConfig(lr=1e-4))
    assert digest(dict(a=1, b=2.)) == digest(dict(b=2, a=1.)) and digest((1,2)) == digest([1,2])
    @dataclasses.dataclass
    class Before: a:int = 1
    @dataclasses.dataclass
    class After: a:int = 1; more:float = .5; list_of:list = dataclasses.field(default_factory=list)
    assert digest(Before(2)) == digest(After(2)) != digest(After(2, .7)) # a field added later changes no key
    with pytest.raises(TypeError): digest(torch.zeros(1))                # nothing is hashed by its address

def test_defaults_that_keys_stand_on():
    "A key holds differences from defaults. Whoever changes one raises budgets._GENERATION, gives the recorded results new keys, and then changes this list."
    ours = dict(edges='magnitude', edge_scales=1, structure=0.)
    wanted = {
        LossWeights: dict(alpha1=2., alpha2=5., alpha3=8., beta1=10., alpha4=10., alpha5=2., delta=1.01, intensity=True, semantic=True, gram='literal', graph_stage1=False,
                          graph_stage2=True),
        ModelConfig: dict(dim=64, heads=8, expansion=2., base_blocks=2, base_layers=2, graph_steps=2, graph_stride=2, graph_nodes='pooled', detail_layers=2,
                          cross_attention=True, base_residual=True, graph=True, swap_fusion=False),
        TrainConfig: dict(stage=1, joint=False, steps=None, epochs=None, batch=6, lr=1e-4, optimizer='adam', schedule='step', step_epochs=20, floor=1e-6, warmup=0, clip=.01,
                          ema=0., augment=False, precision='fp32', seed=0)}
    for kind,values in (wanted | {OurLossWeights: wanted[LossWeights] | ours}).items():
        have = {f.name: f.default for f in dataclasses.fields(kind)}
        assert {k: have.get(k, 'gone') for k in values} == values, kind.__name__

def test_rows_that_change_stage_two_alone_share_stage_one():
    keys = {k: stage_one_key(settings(k, SMOKE)) for k in ROWS}
    assert [k for k in ROWS if keys[k] == keys['default']] == ['default', 'swapped_fusion', 'alphas_as_printed', 'signed_edges', 'three_scales']
    assert keys['one_stage'] is None and len(set(keys.values())) == 11
    assert stage_one_key(settings('default', SMOKE, 1)) != keys['default']

def test_sharing_stage_one_is_right():
    "Rows of equal key have the same loss and gradient in stage I before the first update, a row of another key has not."
    def start(row):
        s = settings(row, SMOKE)
        set_seed(0); net = SMFNet(s.model)
        x = torch.rand(2,1,1,32,32, generator=torch.Generator().manual_seed(0))
        out,f = net(*x, stage=1, features=True)
        total,_ = StageOneLoss(s.loss_weights)(out, *x, f)
        total.backward()
        return total.item(), net.encoder.shallow.conv.weight.grad
    loss, grad = start('default')
    for row in ('swapped_fusion', 'alphas_as_printed', 'three_scales'):
        l,g = start(row)
        assert l == loss and torch.equal(g, grad), row
    assert start('both_cc_graph')[0] != loss
