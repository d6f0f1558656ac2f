/** What a card says of takes that are chosen: what each one overrules, or that it has let go. */
import { chooseTake } from '../actions/pins.mjs'
import { h, set } from '../shared/dom.mjs'
import { PARTS } from '../shared/nodes.mjs'
import { date, partName, t } from '../shared/words.mjs'

/** The notes of a scene's still and clip. */
export function createPins(id, studio) {
  const notes = PARTS.map(part => createNote(id, part, studio))
  const element = h('div', { className: 'pins', role: 'status' }, ...notes.map(note => note.element))
  return {
    element,
    paint(scene, title) {
      notes.forEach(note => note.paint(scene, title))
      set(element, { hidden: notes.every(note => note.element.hidden) })
    },
  }
}

function createNote(id, part, studio) {
  const text = h('span')
  const again = h('button', { type: 'button', textContent: t('Use it again') })
  const drop = h('button', { type: 'button' })
  const element = h('p', { hidden: true }, text, again, drop)
  return {
    element,
    paint(scene, title) {
      const pin = scene[part]?.pin
      set(element, { hidden: !pin })
      if (!pin) return
      const isUsed = pin.kind === 'used' || pin.kind === 'overrules'
      element.dataset.kind = pin.kind
      set(text, { textContent: `${partName(part)}: ${sentences(pin, scene[part]).join(' ')}` })
      set(again, { hidden: pin.kind !== 'released', onclick: () => chooseTake(studio, id, part, pin.key) })
      set(drop, { textContent: isUsed ? t('Let go') : t('Clear'), onclick: () => chooseTake(studio, id, part, '') })
      again.setAttribute('aria-label', t(`Use the chosen take of the ${part} of {} again`, title))
      drop.setAttribute('aria-label', t(`Let go of the chosen take of the ${part} of {}`, title))
    },
  }
}

function sentences({ kind, key, take }, now) {
  const which = date(take?.date) || key
  if (kind === 'gone') return [t('The chosen take {} is gone.', key)]
  if (kind === 'released') return [t('The take of {} is no longer used: the prompt, seed or settings have changed since it was chosen.', which)]
  const found = [t('The take of {} is used instead of what the graph says.', which)]
  if (take?.prompt && take.prompt !== now.prompt) found.push(t('Its prompt: {}', take.prompt))
  if (take && take.seed !== null && take.seed !== now.seed) found.push(t('Its seed: {}.', take.seed))
  if (kind === 'overrules') found.push(t('Changes of the prompt, seed or settings have no effect on it.'))
  return found
}
