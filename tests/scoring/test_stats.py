"Intervals that cover, and verdicts that know which way a metric points."
import math
import numpy as np
import pytest
from smfnet.scoring.score import evaluate_pairs
from smfnet.scoring.baselines import average, laplacian
from smfnet.scoring.stats import bootstrap, compare, format_comparison, friedman, rank_correlation, ranks

def test_the_interval_of_many_values_is_the_textbooks():
    d = np.random.default_rng(0).normal(1, 2, 400)
    assert bootstrap(d) == pytest.approx(d.mean() + np.array([-1,1])*1.96*d.std()/20, abs=.03)
    assert bootstrap(d, level=.5)[0] > bootstrap(d)[0]

def test_equal_values_have_no_width_and_a_seed_fixes_the_interval():
    d = np.random.default_rng(0).normal(size=30)
    assert bootstrap([.5]*7) == (.5,.5) and bootstrap(d, seed=3) == bootstrap(d, seed=3) != bootstrap(d, seed=4)

def test_95_percent_intervals_cover_about_95_percent():
    rng = np.random.default_rng(1)
    ends = [bootstrap(rng.normal(size=25), draws=500) for _ in range(200)]
    assert .88 < np.mean([lo <= 0 <= hi for lo,hi in ends]) < .98 # 25 values: a little too narrow

def test_the_interval_agrees_with_scipy():
    stats = pytest.importorskip('scipy.stats')
    d = np.random.default_rng(2).normal(.3, 1, 60)
    ours, theirs = (
        bootstrap(d),
        stats.bootstrap((d,), np.mean, method='percentile', n_resamples=5000).confidence_interval,
    )
    assert ours == pytest.approx(tuple(theirs), abs=.03)

@pytest.mark.parametrize(
    'd,kw,word',
    [
        ([], {}, 'one per image'),
        ([[1.0]], {}, 'one per image'),
        ([1.0], dict(level=95), 'level'),
        ([1.0, math.nan], {}, 'NaN'),
    ],
)
def test_bad_differences_are_refused(d, kw, word):
    with pytest.raises(ValueError, match=word): bootstrap(d, **kw)

def rows(**columns): return [dict(name=str(i), **dict(zip(columns, v))) for i,v in enumerate(zip(*columns.values()))]

def test_a_comparison_is_antisymmetric(pairs):
    a,b = (evaluate_pairs(pairs, f) for f in (laplacian, average))
    for p,q in zip(compare(a, b), compare(b, a)):
        assert p['difference'] == pytest.approx(-q['difference'], abs=1e-12) and (p['verdict'], q['verdict']) in (
            ('a', 'b'),
            ('b', 'a'),
            ('undecided', 'undecided'),
        )
    assert {c['metric']: c['verdict'] for c in compare(a, b)}[
        'SF'
    ] == 'a'  # selection keeps contrast, averaging halves it
    assert {c['verdict'] for c in compare(a, a)} == {'undecided'}

def test_smaller_is_better_for_the_two_distances():
    good, bad = rows(VIF=[2.,2.1,2.2], Eq29=[1.,1.1,.9]), rows(VIF=[1.,1.1,1.2], Eq29=[5.,5.1,5.2])
    got = {c['metric']: c for c in compare(good, bad)}
    assert list(got) == ['VIF','Eq29'] and all(c['verdict'] == 'a' and c['wins'] == 3 for c in got.values())
    assert got['Eq29']['difference'] < 0 and {c['verdict'] for c in compare(bad, good)} == {'b'}

def test_an_image_without_sky_is_left_out_of_sky_alone():
    nan = math.nan
    a,b = rows(EN=[1.,2.,3.], sky=[.9,nan,.8]), rows(EN=[1.,2.,3.], sky=[.5,nan,.3])
    got = {c['metric']: c for c in compare(a, b)}
    assert (got['EN']['images'], got['sky']['images'], got['sky']['verdict']) == (3, 2, 'a') and got['sky'][
        'a'
    ] == pytest.approx(0.85)
    assert [c['metric'] for c in compare(rows(EN=[1.], sky=[nan]), rows(EN=[1.], sky=[nan]))] == ['EN']

def test_one_image_decides_nothing():
    assert [c['verdict'] for c in compare(rows(EN=[2.]), rows(EN=[1.]))] == ['undecided']

def test_methods_on_different_images_are_not_compared():
    a = rows(EN=[1.,2.,3.])
    with pytest.raises(ValueError, match='different images: 0 only in one'): compare(a, a[1:])
    with pytest.raises(ValueError, match='twice'): compare(a+a, a)

def test_the_table_names_both_methods():
    text = format_comparison(compare(rows(EN=[2.,3.]), rows(EN=[1.,2.])), 'ours', 'theirs')
    assert text.split('\n')[0] == '| metric | ours | theirs | difference | 95 % interval | ours better in | better |'
    assert text.endswith('| 2 of 2 | ours |')

# ranks

def test_ranks_by_hand():
    rows = [dict(method=m, name=n, SD=s, Eq29=e) for n in 'xy' for m,s,e in (('a',3.,1.), ('b',2.,2.), ('c',1.,2.))]
    got = {r['method']: r for r in ranks(rows, ('SD','Eq29'))}
    assert [got[m]['rank'] for m in 'abc'] == [1, 2.25, 2.75] # in Eq29 less is better; equal values share 2 and 3
    assert got['b']['SD'] == 2 and got['b']['Eq29'] == 2.5 and got['a']['low'] == got['a']['high'] == 1

def test_ranks_agree_with_scipy():
    from scipy.stats import rankdata, spearmanr
    rng = np.random.default_rng(0)
    rows = [dict(method=m, name=n, SD=float(rng.integers(5)), AG=rng.random()) for m in 'abcd' for n in 'uvwxyz']
    x = np.array([[[r[k] for r in rows if r['method'] == m] for m in 'abcd'] for k in ('SD','AG')])
    want = rankdata(-x, axis=1).mean((0,2))
    assert {r['method']: r['rank'] for r in ranks(rows, ('SD','AG'))} == pytest.approx(dict(zip('abcd', want)))
    names, c = rank_correlation(rows, ('SD','AG'))
    each = [spearmanr(x[0,:,i], x[1,:,i])[0] for i in range(6) if np.ptp(x[0,:,i])]
    assert c[0,1] == pytest.approx(np.mean(each)) and c[0,0] == pytest.approx(1)

def test_ranks_need_two_methods_on_the_same_images():
    row = lambda m,n: dict(method=m, name=n, SD=1.)
    for bad in ([row('a','x')], [row('a','x'), row('b','y')], []):
        with pytest.raises(ValueError, match='at least two methods'): ranks(bad, ('SD',))

def test_friedman_and_nemenyi_as_in_a_textbook():
    "Demšar 2006 has q = 2.343 for three methods and 2.569 for four; five images that agree have p = exp(-5)."
    rows = lambda methods, n: [dict(method=m, name=i, EN=float(v), Eq29=float(v)) for v,m in enumerate(methods) for i in range(n)]
    a,b = friedman(rows('abc', 5), ('EN','Eq29'))
    assert (a['metric'], a['images'], a['p']) == ('EN', 5, pytest.approx(math.exp(-5))) and a['distance'] == pytest.approx(2.343*math.sqrt(3*4/(6*5)), rel=1e-3)
    assert [a[m] for m in 'abc'] == [3,2,1] and [b[m] for m in 'abc'] == [1,2,3]
    assert friedman(rows('abcd', 14), ('EN',))[0]['distance'] == pytest.approx(2.569*math.sqrt(4*5/(6*14)), rel=1e-3)
    assert friedman([{**r, 'EN':1.} for r in rows('abc', 5)], ('EN',))[0]['p'] == 1
    with pytest.raises(ValueError, match='three or more methods; these are a, b'): friedman(rows('ab', 5))
