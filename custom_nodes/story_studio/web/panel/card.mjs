/** The card of a scene. */
import { show } from '../canvas/widgets.mjs'
import { firstSentence } from '../shared/check_texts.mjs'
import { h, set } from '../shared/dom.mjs'
import { percent, t } from '../shared/words.mjs'
import { createBadge } from './checks.mjs'
import { createEditor, createHandle } from './edit.mjs'
import { createFold } from './fold.mjs'
import { createPart } from './part.mjs'
import { createPins } from './pin.mjs'
import { createForecast } from './plan.mjs'
import { createSceneMenu } from './scene_menu.mjs'
import { createVoice } from './voice.mjs'

/** States that say that all is well, which the recording may not be. */
const WARNED = ['done', 'waiting', 'pinned']
const WITH = { warning: '{}, with a warning', error: '{}, with an error' }
/** Where a click on a card does not show its scene on the canvas. */
const NO_CLICK = 'video, figcaption, .fold, .scene-menu, .takes, .verdict, .edit, .pins, .voice'
/** What else stands on a card: functions of a scene's id and the studio that return
 * `{element, paint(scene, title)}`; `edit()` if they edit its words, and `close()` if something goes on when the card is gone. */
const MORE = [createPins, createForecast, createEditor, createSceneMenu, createVoice]

/**
 * The card of a scene.
 *
 * @returns `element`; `paint(scene)`, with the scene as `shownScenes` gives it; and `close()`, which ends what sounds or
 *   records once the card is gone.
 */
export function createCard({ id, ...scene }, studio) {
  const name = h('button', { type: 'button', className: 'name', dir: 'auto', title: t('Show on the canvas') })
  const state = h('span', { className: 'state' })
  const badge = createBadge(studio)
  const reason = h('p', { className: 'reason', role: 'alert' })
  const finding = h('p', { className: 'finding' })
  const prompt = h('p', { className: 'prompt', dir: 'auto' })
  const parts = ['still', 'clip'].filter(part => scene[part]).map(part => createPart(id, part, studio))
  const more = MORE.map(create => create(id, studio))
  const media = h('div', { className: 'media' }, ...parts.map(part => part.element))
  const handle = createHandle(id, studio)
  const fold = createFold(id, studio)
  const element = h('li', {}, h('div', { className: 'head' }, handle.element, name, badge.element, state, fold.element), reason, finding, media)
  element.append(...parts.map(part => part.strip), prompt, ...more.map(one => one.element))
  element.addEventListener('unfold', fold.open)
  prompt.onclick = event => {
    event.stopPropagation()
    fold.open()
    more.forEach(one => one.edit?.())
  }
  element.onclick = event => {
    const { clip, still } = studio.scene(id) ?? {}
    if (event.target.closest(NO_CLICK) || !(clip ?? still) || !studio.isShown()) return
    show(studio.app, clip ?? still)
  }
  return {
    element,
    close: () => more.forEach(one => one.close?.()),
    paint(now) {
      const { title } = now
      set(name, { textContent: title })
      const words = now.warned && WARNED.includes(now.state) ? t(WITH[now.warned], t(now.state)) : t(now.state)
      set(state, { textContent: words + percent(now.progress) })
      element.toggleAttribute('data-warned', !!now.warned)
      badge.paint(now.check, title)
      set(finding, { textContent: firstSentence(now.check), hidden: !now.check?.finding })
      set(reason, { textContent: now.reason, hidden: !now.reason })
      set(prompt, { textContent: now.prompt, title: now.prompt, hidden: !now.prompt })
      element.dataset.state = now.state
      handle.paint(now, title)
      fold.paint(now, title)
      parts.forEach(part => part.paint(now, title))
      more.forEach(one => one.paint(now, title))
    },
  }
}
