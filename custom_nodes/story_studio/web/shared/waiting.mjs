/** Shows that something takes a while, over ComfyUI: the panel may be closed. */
import { h } from './dom.mjs'

/** Milliseconds after which it is shown. */
const LATER = 700

/**
 * Does something, and shows a bar meanwhile.
 *
 * @param label what is done.
 * @param act is given a function to call with how much of how much is done; before that, and without it, the bar only moves.
 * @returns what it returns.
 */
export async function showProgress(label, act) {
  const bar = h('progress', { aria: { label } })
  const box = h('div', { className: 'story-studio-waiting', role: 'status' }, h('span', { textContent: label }), bar)
  const timer = setTimeout(() => document.body.append(box), LATER)
  try {
    return await act((done, all) => (done < all ? Object.assign(bar, { max: all, value: done }) : bar.removeAttribute('value')))
  } finally {
    clearTimeout(timer)
    box.remove()
  }
}
