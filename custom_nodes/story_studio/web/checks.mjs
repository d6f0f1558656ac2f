/** What a check says of a clip: its verdict as a badge, its figures, and the image of its worst moments. */
import { h, set } from './dom.mjs'
import { t } from './words.mjs'

/** On which white has a contrast of more than 4.5 to 1; as in `panel.css`. */
const COLOURS = { pass: '#1f6f3d', warn: '#8a5300', fail: '#b3261e' }
const MARK = 'story_studio_check'
const STYLE = 'border-radius: 6px; box-sizing: border-box; color: #fff; font: 600 12px/22px sans-serif; height: 22px; overflow: hidden; padding: 0 8px; text-overflow: ellipsis; white-space: nowrap;'
const SIGNS = { pass: '✓', warn: '!', fail: '✗' }

/** A badge that shows the image of the worst moments when it is clicked; `paint` takes a check or nothing. */
export function createBadge(actions) {
  let check = null
  const element = h('button', { type: 'button', className: 'verdict', hidden: true, onclick: () => showSheet(element, actions.url(check.sheet)) })
  return {
    element,
    paint(now, title) {
      check = now
      set(element, { hidden: !check })
      if (!check) return
      element.dataset.verdict = check.verdict
      set(element, { textContent: `${SIGNS[check.verdict]} ${t(check.verdict)}`, title: t('Show the worst moments') })
      element.setAttribute('aria-label', t('Check of {}: {}. Show the worst moments', title, t(check.verdict)))
    },
  }
}

/** The worst finding as a sentence. The server writes English; elsewhere it is the name and value of the figure. */
export function firstSentence(check) {
  if (!check?.finding) return ''
  const { name, value, text } = check.finding
  return t(name) === name ? text : `${t(name)}: ${value}`
}

/** The key figures, one a line. */
export const figuresOf = check => check.figures.map(({ name, value }) => `${t(name)}: ${value}`).join('\n')

function showSheet(badge, src) {
  const image = h('img', { src, alt: t('The worst moments of the clip') })
  const dialog = h('dialog', { className: 'sheet', onclick: () => dialog.close(), onclose: () => dialog.remove(), aria: { label: image.alt } })
  // ComfyUI has its own use for Escape, and keeps it from the browser.
  dialog.onkeydown = event => event.key === 'Escape' && dialog.close()
  dialog.append(image, h('button', { type: 'button', textContent: t('Close') }))
  badge.closest('.story-studio').append(dialog)
  dialog.showModal()
}

/** Marks a node with a check, below its widgets; without one the mark is removed. It is not saved. */
export function markNode(node, check) {
  if (!node?.addDOMWidget) return
  let mark = node.widgets?.find(widget => widget.name === MARK)
  const text = check ? [`${SIGNS[check.verdict]} ${t(check.verdict)}`, firstSentence(check)].filter(Boolean).join(' · ') : ''
  if (!mark && text) {
    const element = h('div', { style: STYLE })
    mark = node.addDOMWidget(MARK, MARK, element, { serialize: false, hideOnZoom: false, getMinHeight: () => 26, getMaxHeight: () => 26 })
    mark.serialize = false
    const [, height] = node.computeSize()
    if (node.size[1] < height) node.setSize([node.size[0], height])
  }
  if (!mark || mark.element.textContent === text) return
  set(mark.element, { textContent: text, title: text, hidden: !text })
  mark.element.style.background = COLOURS[check?.verdict] ?? ''
  node.setDirtyCanvas(true, true)
}
