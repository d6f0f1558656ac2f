/** The still or the clip on a scene's card: its image or video, and its takes. */
import { chooseTake } from '../actions/pins.mjs'
import { newTake } from '../actions/takes.mjs'
import { figuresOf, firstSentence } from '../shared/check_texts.mjs'
import { h, set } from '../shared/dom.mjs'
import { partName, t } from '../shared/words.mjs'
import { createBadge } from './checks.mjs'
import { createEnlarge } from './preview.mjs'
import { createComparison } from './takes.mjs'

export function createPart(id, part, studio) {
  const label = partName(part)
  const frame = h('div', { className: 'frame' })
  const strip = h('div', { className: 'takes', role: 'group', hidden: true })
  const again = h('button', { type: 'button', className: 'again', onclick: () => newTake(studio, id, part) }, h('span', { className: 'icon', textContent: '↻', aria: { hidden: 'true' } }), h('span', { textContent: t('New take') }))
  const earlier = h('button', {
    type: 'button',
    onclick() {
      strip.hidden = !strip.hidden
      fill()
      earlier.setAttribute('aria-expanded', String(!strip.hidden))
    },
    aria: { expanded: 'false' },
  })
  const enlarge = createEnlarge(id, part, studio)
  const comparison = createComparison(id, part, studio)
  const compare = h('button', { type: 'button', textContent: t('Compare'), title: t('All takes side by side'), onclick: comparison.open })
  const element = h('figure', {}, frame, h('figcaption', {}, h('span', { className: 'part', textContent: label }), enlarge.element, again, earlier))
  let shown = ''
  let listed = null
  let now = null
  let name = ''

  /** Fills the takes while they are shown: those of all scenes would be thousands of videos. */
  function fill() {
    const { takes, chosen } = now
    if (strip.hidden) {
      listed = null
      return strip.replaceChildren()
    }
    const list = JSON.stringify([takes, chosen])
    if (listed === list) return
    listed = list
    const at = [...strip.children].findIndex(one => one.contains(document.activeElement))
    const takeOf = (take, index) => createTake(take, takes.length - index, takes.length)
    strip.replaceChildren(compare, pick('', t('As the graph says'), t('No take chosen: the result of the graph')), ...takes.map(takeOf))
    const focused = strip.children[at]
    ;(focused?.querySelector('button') ?? focused)?.focus()
  }

  function pick(key, content, label) {
    const aria = { label, pressed: String(key === now.chosen) }
    return h('button', { type: 'button', title: label, onclick: () => chooseTake(studio, id, part, key), aria }, content)
  }

  function createTake({ key, file, check }, number, count) {
    const button = pick(key, media(part, studio.url(file), '', false), t('Use take {} of {}, {}', number, count, key))
    if (!check) return button
    const badge = createBadge(studio)
    badge.paint(check, t('take {} of {}', number, name))
    const figures = h('span', { className: 'figures', textContent: figuresOf(check) })
    return h('div', { className: 'take', title: firstSentence(check) }, button, h('div', {}, badge.element, figures))
  }

  return {
    element,
    strip,
    paint(scene, title) {
      now = scene[part]
      name = title
      const { file, old, takes, chosen } = scene[part]
      const url = file ? studio.url(file) : ''
      if (shown !== url || !frame.firstChild) {
        frame.replaceChildren(url ? media(part, url, `${label}: ${title}`, true) : h('span', { textContent: t('not rendered yet') }))
        shown = url
      }
      const stale = old && file
      set(frame, { className: `frame ${file ? part : ''} ${stale ? 'old' : ''}`, title: stale ? t('Rendered before the last change') : '' })
      enlarge.paint(scene, title)
      again.setAttribute('aria-label', t(`New take of the ${part} of {}`, title))
      again.title = t(`Render only this ${part} again, with another seed`)
      set(earlier, { textContent: chosen ? t('Take chosen') : t('Takes {}', takes.length), hidden: !takes.length && !chosen })
      strip.setAttribute('aria-label', t(`Takes of the ${part} of {}`, title))
      comparison.paint(scene[part], title)
      compare.setAttribute('aria-label', t(`Compare the takes of the ${part} of {}`, title))
      set(compare, { hidden: !takes.length })
      fill()
    },
  }
}

function media(part, src, label, large) {
  if (part === 'still') return h('img', { src, alt: label, loading: 'lazy' })
  const video = h('video', { src, preload: 'metadata', tabIndex: large ? 0 : -1, aria: { label } })
  // Permanent controls would cover a video this small.
  const control = wanted => () => (video.controls = wanted || !video.paused)
  if (large) Object.assign(video, { onmouseenter: control(true), onfocus: control(true), onmouseleave: control(false), onblur: control(false) })
  return video
}
