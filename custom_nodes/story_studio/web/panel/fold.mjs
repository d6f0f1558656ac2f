/** Cards are small, so that many scenes are seen at once: what is seldom needed on them folds out. */
import { h, set } from '../shared/dom.mjs'
import { isOpen, remember } from '../shared/folds.mjs'
import { t } from '../shared/words.mjs'

const ALL = 'cards'

/** The button of a card that folds out all that can be done with its scene; `open` does so too. */
export function createFold(id, studio) {
  const element = h('button', { type: 'button', className: 'fold', onclick: () => unfold(!isUnfolded()) })
  const isUnfolded = () => studio.unfolded.get(id) ?? isOpen(ALL)

  function unfold(open) {
    studio.unfolded.set(id, open)
    show()
  }

  function show() {
    const open = isUnfolded()
    element.closest('li').classList.toggle('small', !open)
    element.setAttribute('aria-expanded', String(open))
    set(element, { textContent: open ? '▴' : '▾', title: t(open ? 'Less' : 'More of this scene: its words, voice, takes and what can be rendered') })
  }

  return {
    element,
    open: () => unfold(true),
    paint(_, title) {
      element.setAttribute('aria-label', t('More of {}', title))
      show()
    },
  }
}

/** What stands above the cards: how many there are, and a button that folds all of them. */
export function createScenesHead(studio) {
  const heading = h('h3')
  const toggle = h('button', { type: 'button', textContent: t('Details'), title: t('Show all that can be done with every scene'), onclick: toggleAll })
  const element = h('div', { className: 'scenes-head' }, heading, toggle)

  function toggleAll() {
    remember(ALL, !isOpen(ALL))
    studio.unfolded.clear()
    studio.changed()
  }

  return {
    element,
    paint(scenes) {
      set(element, { hidden: !scenes.length })
      set(heading, { textContent: t('Scenes: {}', scenes.length) })
      toggle.setAttribute('aria-pressed', String(isOpen(ALL)))
    },
  }
}
