"The ledger: every number that is cited has an answer, and what an answer claims of the paper's tables and of our measurements is so."
import re
import pytest
from smfnet.companion.ledger import LEDGER, Deviation, ledger_cards, ledger_search
from smfnet.core.files import project_root
from smfnet.scoring.tables import published

ROOT = project_root()

def test_numbers_have_no_gap_and_no_entry_an_empty_field():
    assert [e.number for e in LEDGER] == list(range(1, len(LEDGER)+1)) and LEDGER[6].tag == 'D-07'
    assert all(v for e in LEDGER for v in vars(e).values()) and {e.part for e in LEDGER} == {'network','losses','training','tasks'}

def test_cited_numbers_exist():
    known, files = {e.tag for e in LEDGER}, [*(ROOT/'nbs').rglob('*.ipynb'), *(ROOT/'smfnet').rglob('*.py')]
    cited = {(p.name, t) for p in files for t in re.findall(r'\bD-\d\d\b', p.read_text(encoding='utf-8'))}
    assert len(cited) > 50 and sorted((n,t) for n,t in cited if t not in known) == []

def test_links_arrive():
    "From nbs/evidence, where the table stands; anchors of the two pages there are looked up."
    here = ROOT/'nbs/evidence'
    for e in LEDGER:
        for path,anchor in re.findall(r'\]\((?!http)([^)#]*)(?:#([^)]*))?\)', ' '.join((e.ours, e.why, e.evidence))):
            page = here/(path or 'ledger.ipynb')
            assert page.is_file(), f'{e.tag}: {path}'
            if anchor: assert f'id=\\"{anchor}\\"' in page.read_text(encoding='utf-8'), f'{e.tag}: {path}#{anchor}'

def test_cards_are_anchored_and_leave_out_what_there_is_not():
    one = ledger_cards([Deviation(7, 'losses', 'Eq. 1', 'a', '–', '|b|', 'c', 'd')])
    assert one.splitlines() == ['<div class="smf-card" id="d-07">', '', '**D-07** · Eq. 1', '', '- **printed**: a', '- **here**: |b|', '- **why**: c', '- **shown in**: d', '', '</div>']
    assert ledger_cards(LEDGER).count('<div class="smf-card" id="d-') == len(LEDGER)

def test_search_field_filters_cards():
    assert 'type="search"' in ledger_search() and '.smf-card' in ledger_search() and '/\\s+/' in ledger_search()

def pick(table, **k): return [r for r in published(table) if all(r[a] == b for a,b in k.items())]

def test_ssim_of_table_4_falls_into_two_heaps(): # D-26
    heap = [r['value'] for r in pick(4, column='SSIM')]
    assert not any(.4 < v < 1.4 for v in heap) and min(heap) < .4 and max(heap) > 1.4

def test_table_1_has_eight_columns_without_scd(): # D-27
    columns = {r['column'] for r in pick(1)}
    assert len(columns) == 8 and 'SCD' not in columns

@pytest.mark.parametrize('dataset, place', [('TNO',3), ('RoadScene',3), ('MSRS',2)])
def test_rank_of_the_papers_own_ssim(dataset, place): # D-37
    values = {r['method']: r['value'] for r in pick(1, dataset=dataset, column='SSIM')}
    assert 1 + sum(v > values['SMFNet'] for v in values.values()) == place

def test_table_3_leaves_next_to_nothing_for_a_ninth_class(): # D-40
    for m in {r['method'] for r in pick(3)}:
        got = {r['column']: r['value'] for r in pick(3, method=m)}
        eight = [v for k,v in got.items() if k not in ('mAcc','mIoU')]
        assert len(eight) == 8 and 0 < 9*got['mIoU'] - sum(eight) < .08 and sum(eight)/8 - got['mIoU'] > .02

def test_step_sizes_of_120_epochs(): # D-29: six plateaus, the floor is not reached
    rates = {max(1e-4 * .5**(epoch//20), 1e-6) for epoch in range(120)}
    assert len(rates) == 6 and min(rates) > 1e-6
