"The paper's numbers, the marks, and measured rows beside published ones."
import math
import pytest
from smfnet.metrics.paper import METRICS
from smfnet.scoring.tables import format_table, mark_best, published, table1, wide

def test_published_tables_agree_with_each_other():
    "Table 5's last row is Table 1's SMFNet on RoadScene; DIDFuse, DenseFuse and SwinFusion stand in Tables 1 to 3."
    one = next(r for r in wide(published(1), 'RoadScene') if r['method'] == 'SMFNet')
    five = next(r for r in wide(published(5)) if r['method'] == 'SMFNet')
    assert {k: five[k] for k in ('EN','SD','VIF','SSIM')} == {k: one[k] for k in ('EN','SD','VIF','SSIM')}
    names = [{r['method'] for r in published(t)} for t in (1,2,3)]
    assert names[0] == names[1] == names[2] and len(names[0]) == 10

def test_marks_of_table_1_are_the_papers():
    "As the paper's text states: highest EN, AG, VIF, Qabf and SF of all; second-best MI and SSIM on TNO."
    row = next(l for l in table1([], 'TNO').split('\n') if l.startswith('| SMFNet')).split(' | ')
    cell = dict(zip(METRICS, row[3:]))
    assert all(cell[k].startswith('**') for k in ('EN','SF','VIF','Qabf','AG'))
    assert all(cell[k].startswith('<u>') for k in ('SD','MI'))

def test_published_numbers_are_complete():
    assert len(published(1)) == 10*3*8
    row = next(r for r in wide(published(1), 'TNO') if r['method'] == 'SMFNet')
    assert (row['EN'], row['SD'], row['SSIM']) == (7.1106, 43.9525, 1.0125)
    assert [len({(r['method'],r['dataset']) for r in published(t)}) for t in range(1,6)] == [30,10,10,14,8]
    assert {r['source'] for r in published(5)} == {'arXiv:2407.06159, Table 5'}

def test_an_unknown_table_or_data_set_is_named():
    with pytest.raises(ValueError, match='tables 1 to 5'): published(6)
    with pytest.raises(ValueError, match='MSRS, RoadScene, TNO'): wide(published(1), 'LLVIP')

def test_best_and_second_best():
    assert mark_best([1., 3., 2., None, math.nan]) == ['1.0000', '**3.0000**', '<u>2.0000</u>', '–', '–']
    assert mark_best([1., 1.00001, .5], 'text') == ['1.0000*', '1.0000*', '0.5000+']
    assert mark_best([1., 3., 2.], 'text', lower=True) == ['1.0000*', '3.0000', '2.0000+']
    assert mark_best([1., None], 'html') == ['1.0000', '–']
    with pytest.raises(ValueError, match='style'): mark_best([1.], 'latex')

def test_marks_are_given_by_column_or_within_groups():
    four = [dict(g=g, EN=v) for g,v in (('x',1.), ('x',2.), ('y',3.), ('y',4.))]
    assert format_table(four, ['EN'], ['g']).count('**') == 2
    assert format_table(four, ['EN'], ['g'], group=lambda r: r['g']).count('**') == 4

def test_a_distance_is_best_where_it_is_smallest():
    text = format_table([dict(m='near', EN=1., Eq29=1.), dict(m='far', EN=2., Eq29=9.)], ['EN','Eq29'], ['m'], 'text')
    near = next(l for l in text.split('\n') if l.startswith('near'))
    assert near.split() == ['near', '1.0000+', '1.0000*']

def test_notations():
    small = [dict(method='a|b', EN=1.), dict(method='<b>', EN=2.)]
    assert (
        format_table(small, ['EN'], ['method'])
        == '| method | EN |\n| --- | --: |\n| a\\|b | <u>1.0000</u> |\n| <b> | **2.0000** |'
    )
    assert '<td>&lt;b&gt;</td><td><b>2.0000</b></td>' in format_table(small, ['EN'], ['method'], 'html')

def measured(protocol='none', **more):
    return dict(method='x', protocol=protocol, images=3, **dict.fromkeys(METRICS, 1.0), **more)

def test_table_1_with_measured_rows():
    md = table1([measured()], 'TNO')
    assert md.count('\n') == 1 + 10 + 1 and '| x | measured, 3 pairs | as fused |' in md
    assert '| SMFNet | published | each image stretched to [0, 1] | **7.1106** |' in md
    assert table1([measured()], 'TNO', methods=('SMFNet',)).count('published') == 1 and 'published' not in table1(
        [measured()], 'scenes'
    )

def test_measures_of_the_picture_are_columns_where_they_were_taken():
    head = lambda *rows: table1(list(rows), 'TNO').split('\n')[0].strip('| ').split(' | ')
    assert head(measured())[3:] == list(METRICS) == head(measured(sky=math.nan))[3:]
    assert head(measured(), measured(Eq29=3.))[3:] == [*METRICS, 'Eq29']

def test_protocols_stand_together():
    rows = table1([measured('minmax'), measured()], 'TNO', within='protocol').split('\n')[2:]
    assert [r.split(' | ')[2] for r in rows[:2]] == ['as fused', 'each image stretched to [0, 1]']
    with pytest.raises(ValueError, match='protocol'): table1([measured('stretched')], 'TNO')
    with pytest.raises(ValueError, match='within'): table1([], within='row')
