"Table 1, measured: the recorded scores, the status of each row, and the leaderboard."
import html.parser
import math
import os
from pathlib import Path
import pytest
from smfnet.metrics.paper import METRICS
from smfnet.scoring.others import leaderboard_html, measured, score_others, sources, standings, statuses
from smfnet.scoring.score import metric_names, read_rows, summary
from smfnet.scoring.tables import published, wide

def test_every_source_is_scored_in_both_protocols():
    for s in sources():
        for p in ('none', 'minmax'):
            rows = [r for r in measured(s['dataset'], p) if r['method'] == s['method']]
            assert len({r['name'] for r in rows}) == len(rows) == s['images'], (s, p)
            assert all(math.isfinite(r[k]) for r in rows for k in metric_names('picture') if k != 'sky')
            assert all(0 < r['span'] <= 255 for r in rows)

def test_an_image_that_spans_everything_scores_alike_in_both_protocols():
    a, b = ({(r['method'], r['dataset'], r['name']): r for r in measured(None, p)} for p in ('none', 'minmax'))
    full = [k for k,r in a.items() if r['span'] == 255]
    assert full and len(full) < len(a)
    for k in full: assert [a[k][m] for m in METRICS] == [b[k][m] for m in METRICS], k
    assert any(a[k]['SD'] != b[k]['SD'] for k in a if a[k]['span'] < 250)

def test_the_status_of_each_row_of_table_1():
    got = {(s['dataset'], s['method']): s for s in statuses()}
    assert set(got) == {(r['dataset'], r['method']) for r in wide(published(1))}
    word = lambda m: got['TNO', m]['status']
    assert [word(m) for m in ('DIDFuse', 'PMGI', 'SwinFusion', 'DenseFuse', 'U2Fusion', 'TarDAL', 'SMFNet', 'MURF')] == [
        'reproduced', 'reproduced', 'near', 'differs', 'differs', 'differs', 'too few images', 'no images']
    assert all(s['note'] for s in got.values() if s['status'] in ('near', 'differs', 'too few images'))

def test_a_status_is_what_the_numbers_say():
    row = next(r for r in wide(published(1), 'TNO') if r['method'] == 'PMGI')
    mine = next(s for s in summary(measured('TNO', 'none')) if s['method'] == 'PMGI')
    s = next(s for s in statuses() if s['method'] == 'PMGI' and s['dataset'] == 'TNO')
    off = {k: mine[k]/row[k] - 1 for k in METRICS if k in row}
    assert max(map(abs, off.values())) == pytest.approx(abs(s['off'])) and abs(s['off']) < .002

class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.rows, self.options, self.open = [], [], []
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag == 'tr' and 'data-set' in a: self.rows.append(a)
        if tag == 'option': self.options.append(a['value'])
        if tag not in ('option',): self.open.append(tag)
    def handle_endtag(self, tag):
        if tag != 'option': assert self.open.pop() == tag, 'a tag is not closed'

def test_the_leaderboard_is_whole_html_with_every_row(tmp_path):
    page = Page(leaderboard_html(tmp_path))
    assert not page.open and len(page.rows) == len(standings(tmp_path)) and {'TNO', 'MSRS', 'none', 'minmax'} <= set(page.options)
    shown = [r for r in page.rows if 'hidden' not in r]
    assert {r['data-set'] for r in shown} == {'TNO'} and {r['data-protocol'] for r in shown} == {'none', 'published'}
    assert sum(r['class'] == 'published' for r in page.rows) == len(wide(published(1)))

def test_own_results_join_the_leaderboard(tmp_path):
    (tmp_path/'ivf.csv').write_text('method,protocol,dataset,images,' + ','.join(METRICS + ('Eq29', 'Eq30', 'sky')) + '\n'
                                    + ''.join(f'{m},none,TNO/test,25' + ',1.5'*12 + '\n' for m in ('SMFNet', 'average', 'DIDFuse')))
    got = [r for r in standings(tmp_path) if r.get('EN') == 1.5]
    assert [(r['method'], r['kind']) for r in got] == [('SMFNet', 'ours'), ('average', 'measured')]

@pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set: no fused images to score again')
def test_recorded_scores_are_made_again(tmp_path):
    if not (Path(os.environ['SMFNET_DATA'])/'fused'/'SMFNet-authors').is_dir(): pytest.skip('no fused/SMFNet-authors')
    new = read_rows(score_others(tmp_path/'m.csv', methods=['SMFNet-authors'], progress=False), 'picture')
    old = [r for r in measured() if r['method'] == 'SMFNet-authors']
    assert [(r['protocol'], r['name'], int(r['span'])) for r in new] == [(r['protocol'], r['name'], r['span']) for r in old]
    for a,b in zip(new, old):
        assert [a[k] for k in metric_names('picture')] == pytest.approx([b[k] for k in metric_names('picture')], rel=1e-3, nan_ok=True)
