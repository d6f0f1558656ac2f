/** The still or the clip on a scene's card: its image or video, and its takes. */
import { chooseTake } from '../actions/pins.mjs'
import { newTake } from '../actions/takes.mjs'
import { h, set } from '../shared/dom.mjs'
import { t } from '../shared/words.mjs'
import { createBadge, figuresOf, firstSentence } from './checks.mjs'
import { createEnlarge } from './preview.mjs'
import { createComparison } from './takes.mjs'

export function createPart(id, part, studio) {
  const label = t(part === 'still' ? 'Still' : 'Clip')
  const frame = h('div', { className: 'frame' })
  const strip = h('div', { className: 'takes', role: 'group', hidden: true })
  const again = h('button', { type: 'button', className: 'again', onclick: () => newTake(studio, id, part) }, h('span', { className: 'icon', textContent: '↻', aria: { hidden: 'true' } }), h('span', { textContent: t('New take') }))
  const earlier = h('button', {
    type: 'button',
    onclick() {
      strip.hidden = !strip.hidden
      earlier.setAttribute('aria-expanded', String(!strip.hidden))
    },
    aria: { expanded: 'false' },
  })
  const enlarge = createEnlarge(id, part, studio)
  const comparison = createComparison(id, part, studio)
  const compare = h('button', { type: 'button', textContent: t('Compare'), title: t('All takes side by side'), onclick: comparison.open })
  const element = h('figure', {}, frame, h('figcaption', {}, h('span', { className: 'part', textContent: label }), enlarge.element, again, earlier))
  let shown = ''
  let listed = ''
  return {
    element,
    strip,
    paint(scene, title) {
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
      const list = JSON.stringify([takes, chosen, url])
      if (listed === list) return
      listed = list
      const pick = (key, content, name) =>
        h('button', { type: 'button', title: name, onclick: () => chooseTake(studio, id, part, key), aria: { label: name, pressed: String(key === chosen) } }, content)
      const checked = (button, check, name) => {
        if (!check) return button
        const badge = createBadge(studio)
        badge.paint(check, name)
        const figures = h('span', { className: 'figures', textContent: figuresOf(check) })
        return h('div', { className: 'take', title: firstSentence(check) }, button, h('div', {}, badge.element, figures))
      }
      const at = [...strip.children].findIndex(one => one.contains(document.activeElement))
      strip.replaceChildren(
        compare,
        pick('', t('As the graph says'), t('No take chosen: the result of the graph')),
        ...takes.map(({ key, file: one, check }, index) => {
          const number = takes.length - index
          const button = pick(key, media(part, studio.url(one), '', false), t('Use take {} of {}, {}', number, takes.length, key))
          return checked(button, check, t('take {} of {}', number, title))
        }),
      )
      const focused = strip.children[at]
      ;(focused?.querySelector('button') ?? focused)?.focus()
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
