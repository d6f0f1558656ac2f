/** What the canvas leaves out: scenes that are muted or bypassed there, which no run makes. */
import { inTurn } from '../actions/turn.mjs'
import { bypass, leftOutScenes, takeIn } from '../canvas/left_out.mjs'
import { arrange, h, kept, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'

export function createLeftOut(studio) {
  const list = h('ul')
  const element = h('section', { className: 'not-run', hidden: true, aria: { label: t('Left out on the canvas') } }, list)
  let rows = new Map()

  const act = (change, { name }) =>
    inTurn(studio, async () => {
      // Undo makes all nodes again.
      const scene = leftOutScenes(studio.app).find(one => one.name === name)
      if (scene) await change(studio.app, scene)
      await studio.refresh()
    })
  const button = (text, label, change, scene) => h('button', { type: 'button', textContent: t(text), aria: { label: t(label, scene.name) }, onclick: () => act(change, scene) })

  function createRow(scene, ends) {
    const text = scene.isMuted ? (ends ? '{} is muted on the canvas. That ends the film there: bypass it to leave out only this scene.' : '{} is muted on the canvas.') : '{} is bypassed on the canvas.'
    const use = button('Use it again', 'Use {} again', takeIn, scene)
    const only = scene.isMuted && ends && button('Bypass it', 'Bypass {}', bypass, scene)
    return h('li', {}, h('span', { textContent: t(text, scene.name) }), h('div', { className: 'tools' }, use, ...(only ? [only] : [])))
  }

  return {
    element,
    paint(scenes) {
      const found = leftOutScenes(studio.app)
      // A muted scene passes nothing on, so that what comes before it is in no film.
      const ends = scenes.some(scene => !scene.in_film)
      set(element, { hidden: !found.length })
      rows = kept(rows, found.map(({ name, isMuted }) => JSON.stringify([{ name, isMuted }, ends])), key => createRow(...JSON.parse(key)))
      const at = [...list.children].findIndex(row => row.contains(document.activeElement))
      arrange(list, [...rows.values()])
      if (at < 0 || list.contains(document.activeElement)) return
      // What was used again leaves the focus to the next one, or to what stands above the cards.
      const next = list.children[Math.min(at, list.children.length - 1)] ?? element.previousElementSibling
      next.querySelector('button').focus({ preventScroll: true })
    },
  }
}
