/* Copy buttons, and pictures with a divider that follows the pointer. No library, nothing from elsewhere. */
(() => {
  const text = pre => [...pre.childNodes].map(n => n.textContent).join('').replace(/\n$/, '');

  function copyButtons() {
    for (const box of document.querySelectorAll('.bd-article div.highlight')) {
      const pre = box.querySelector('pre');
      if (!pre || box.closest('.cell_output') || box.querySelector('.smf-copy')) continue;
      const b = document.createElement('button');
      b.type = 'button'; b.className = 'smf-copy'; b.textContent = 'copy'; b.setAttribute('aria-label', 'Copy this code');
      b.addEventListener('click', async () => {
        try { await navigator.clipboard.writeText(text(pre)); }
        catch {                                        // pages opened as files have no clipboard
          const r = document.createRange(); r.selectNodeContents(pre);
          const s = getSelection(); s.removeAllRanges(); s.addRange(r); document.execCommand('copy'); s.removeAllRanges();
        }
        b.textContent = 'copied'; setTimeout(() => b.textContent = 'copy', 1500);
      });
      box.append(b);
    }
  }

  function beforeAfter(box) {
    const frame = box.querySelector('.smf-frame'), knob = box.querySelector('input[type=range]');
    const [under, over] = frame.querySelectorAll('img'), words = frame.querySelectorAll('.smf-word');
    const set = v => { knob.value = v = Math.max(0, Math.min(100, v)); frame.style.setProperty('--part', v + '%'); };
    const follow = e => { const r = frame.getBoundingClientRect(); set(100*(e.clientX - r.left)/r.width); };
    frame.addEventListener('pointermove', follow); frame.addEventListener('pointerdown', follow);
    knob.addEventListener('input', () => set(+knob.value));
    const show = () => {
      const pair = box.querySelector('[data-pair][aria-pressed=true]').dataset, source = box.querySelector('[data-source][aria-pressed=true]').dataset;
      under.src = `front/${pair.pair}-${source.source}.webp`; over.src = `front/${pair.pair}-fused.webp`;
      under.alt = `${source.name} image: ${pair.what}`; over.alt = `Fused image: ${pair.what}`;
      words[0].textContent = source.name; box.querySelector('.smf-what').textContent = pair.what;
    };
    for (const b of box.querySelectorAll('button')) b.addEventListener('click', () => {
      for (const o of b.parentElement.querySelectorAll('button')) o.setAttribute('aria-pressed', o === b);
      show();
    });
    set(50);
  }

  const start = () => { copyButtons(); document.querySelectorAll('.smf-compare').forEach(beforeAfter); };
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start); else start();
})();
