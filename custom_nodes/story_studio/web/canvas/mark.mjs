/** The mark that a node on the canvas bears below its widgets: what a check says of its clip. */
import { SIGNS } from '../shared/check_texts.mjs'
import { set, h } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

/** On which white has a contrast of more than 4.5 to 1; as in `panel.css`. */
const COLOURS = { pass: '#1f6f3d', warn: '#8a5300', fail: '#b3261e' }
const MARK = 'story_studio_check'
const STYLE = 'border-radius: 6px; box-sizing: border-box; color: #fff; font: 600 12px/22px sans-serif; height: 22px; overflow: hidden; padding: 0 8px; text-overflow: ellipsis; white-space: nowrap;'

/** Marks a node with a verdict and a sentence, below its widgets; without them the mark is hidden. It is not saved. */
export function markNode(node, verdict, sentence = '') {
  if (!node?.addDOMWidget) return
  let mark = node.widgets?.find(widget => widget.name === MARK)
  const text = verdict ? [`${SIGNS[verdict]} ${t(verdict)}`, sentence].filter(Boolean).join(' · ') : ''
  if (!mark && text) {
    const element = h('div', { style: STYLE })
    mark = node.addDOMWidget(MARK, MARK, element, { serialize: false, hideOnZoom: false, getMinHeight: () => 26, getMaxHeight: () => 26 })
    mark.serialize = false
    const [, height] = node.computeSize()
    if (node.size[1] < height) node.setSize([node.size[0], height])
  }
  if (!mark || mark.element.textContent === text) return
  set(mark.element, { textContent: text, title: text, hidden: !text })
  mark.element.style.background = COLOURS[verdict] ?? ''
  node.setDirtyCanvas(true, true)
}
