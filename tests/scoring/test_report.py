"The report: what it says, in both forms, and where it puts its pictures."
import json
import pytest
from smfnet.scoring.baselines import average, maximum
from smfnet.scoring.report import extremes, report_numbers, write_json, write_report
from smfnet.scoring.others import measured
from smfnet.scoring.score import evaluate_pairs

@pytest.fixture(scope='module')
def rows(pairs):
    of = lambda f: evaluate_pairs(pairs, f, metrics='SD,SSIM,Eq29')
    return [dict(dataset='scenes', method=f.__name__, protocol='none', **r) for f in (maximum, average) for r in of(f)]

def test_worst_and_best_know_the_direction():
    rows = [dict(name=n, SD=s, Eq29=e) for n,s,e in (('a',1.,3.), ('b',2.,1.), ('c',float('nan'),2.))]
    assert extremes(rows) == {'SD': ('a', 'b'), 'Eq29': ('a', 'b')}

def test_numbers_compare_the_first_method_with_the_others(rows):
    n = report_numbers(rows)['scenes']
    assert (n['first'], n['known'], [m['method'] for m in n['means']]) == ('maximum', [], ['maximum', 'average'])
    d = {c['metric']: c for c in n['differences']['average']}
    assert d['Eq29']['difference'] < 0 and d['Eq29']['verdict'] == 'a'
    assert n['ranks'][0]['rank'] < n['ranks'][1]['rank']

def test_on_a_set_of_table_1_the_measured_methods_stand_beside():
    mine = [{**r, 'method':'mine'} for r in measured('TNO', 'none') if r['method'] == 'IFCNN']
    n = report_numbers(mine)['TNO/test']
    assert {'SwinFusion', 'DIDFuse', 'PMGI'} <= set(n['differences']) and 'SMFNet-authors' not in n['differences']
    assert all(abs(c['difference']) < 1e-9 for c in n['differences']['IFCNN'])
    assert not report_numbers(mine, beside=False)['TNO/test']['known']

def test_json_has_no_nan(rows, tmp_path):
    bad = [{**r, 'sky': float('nan')} for r in rows]
    text = write_json(tmp_path/'r.json', report_numbers(bad), note='x').read_text()
    got = json.loads(text, parse_constant=pytest.fail)
    assert got['note'] == 'x' and got['sets']['scenes']['means'][0]['sky'] is None

@pytest.mark.parametrize('suffix', ['html', 'md'])
def test_a_report_names_and_shows_the_extremes(rows, pairs, tmp_path, suffix):
    fused = {'scenes': {p.name: maximum(p.ir, p.vi) for p in pairs}}
    text = write_report(tmp_path/f'r.{suffix}', rows, {'scenes':pairs}, fused).read_text()
    shown = {n for pair in extremes(rows[:4]).values() for n in pair}
    if suffix == 'html': assert text.count('<img') == 3*len(shown) and not (tmp_path/'r_pictures').exists()
    else: assert len(list((tmp_path/'r_pictures').iterdir())) == 3*len(shown) == text.count('![')
    for n in shown: assert n in text
    assert 'maximum minus the others' in text and 'smaller for Eq29' in text

def test_names_are_no_markup(pairs, tmp_path):
    rows = [dict(dataset='scenes', method=m, protocol='none', name=p.name, SD=1.) for m in ('<b>x</b>', 'y') for p in pairs]
    text = write_report(tmp_path/'r.html', rows, {'scenes':pairs}, {}).read_text()
    assert '<b>x</b>' not in text and '&lt;b&gt;x' in text

def test_another_ending_is_refused(rows, pairs, tmp_path):
    with pytest.raises(ValueError, match='r.pdf: a report ends in .html or .md'): write_report(tmp_path/'r.pdf', rows, {}, {})

def test_three_methods_get_a_critical_difference(rows, pairs, tmp_path):
    three = rows + [{**r, 'method':'again', 'SSIM':r['SSIM'] + .5} for r in rows if r['method'] == 'average']
    n = report_numbers(three)['scenes']
    assert [f['metric'] for f in n['friedman']] == ['SD','SSIM'] and report_numbers(rows)['scenes']['friedman'] == []
    text = write_report(tmp_path/'r.md', three, {'scenes':pairs}, {}).read_text()
    assert f"differ by less than {n['friedman'][0]['distance']:.2f}" in text and '| p (Friedman) |' in text
    assert '| again | ' + ' | '.join(f"{f['again']:.2f}" for f in n['friedman']) in text
