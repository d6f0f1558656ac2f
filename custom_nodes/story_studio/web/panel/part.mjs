/** The still or the clip on a scene's card: its image or video, and its takes. */
import { chooseTake } from '../actions/pins.mjs'
import { newTake } from '../actions/takes.mjs'
import { figuresOf, firstSentence } from '../shared/check_texts.mjs'
import { arrange, h, kept, set } from '../shared/dom.mjs'
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
  const graph = h('button', { type: 'button', title: t('No take chosen: the result of the graph'), textContent: t('As the graph says'), onclick: () => chooseTake(studio, id, part, '') })
  let takes = new Map()
  let shown = ''
  let now = null
  let name = ''

  /** Fills the takes while they are shown: those of all scenes would be thousands of videos. */
  function fill() {
    takes = kept(takes, strip.hidden ? [] : now.takes.map(take => take.key), createTake)
    arrange(strip, strip.hidden ? [] : [compare, graph, ...[...takes.values()].map(one => one.element)])
    if (strip.hidden) return
    graph.setAttribute('aria-pressed', String(!now.chosen))
    now.takes.forEach((take, index) => takes.get(take.key).paint(take, now.takes.length - index))
  }

  function createTake(key) {
    const button = h('button', { type: 'button', onclick: () => chooseTake(studio, id, part, key) })
    const badge = createBadge(studio)
    const figures = h('span', { className: 'figures' })
    const element = h('div', { className: 'take' }, button, h('div', {}, badge.element, figures))
    return {
      element,
      paint({ file, check }, number) {
        if (!button.firstChild) button.append(media(part, studio.url(file), '', false))
        const label = t('Use take {} of {}, {}', number, now.takes.length, key)
        set(button, { title: label })
        button.setAttribute('aria-label', label)
        button.setAttribute('aria-pressed', String(key === now.chosen))
        badge.paint(check, t('take {} of {}', number, name))
        set(figures, { textContent: check ? figuresOf(check) : '' })
        set(element, { title: firstSentence(check) })
        element.toggleAttribute('data-checked', !!check)
      },
    }
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
        const hasFocus = frame.contains(document.activeElement)
        frame.replaceChildren(url ? media(part, url, `${label}: ${title}`, true) : h('span', { textContent: t('not rendered yet') }))
        shown = url
        if (hasFocus) (frame.querySelector('video') ?? again).focus({ preventScroll: true })
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
